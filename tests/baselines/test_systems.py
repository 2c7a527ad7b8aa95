"""The baselines are the ones everybody would try first, and give the same answers every time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from osler.baselines import systems
from osler.errors import InputError
from osler.tasks.case import Case

COMPLAINTS = {
    "gout": ["my big toe is red and swollen", "sudden pain in the big toe at night", "swollen toe after a heavy meal"],
    "migraine": ["throbbing headache with flashing lights", "one sided headache and nausea"],
    "asthma": ["wheezing and short of breath at night", "tight chest and wheezing in cold air"],
}
TRAIN = [
    Case(f"{label}-{number}", text, label) for label, texts in COMPLAINTS.items() for number, text in enumerate(texts)
]
TEST = [
    Case("t1", "my toe is swollen", "gout", {"sex": "male"}),
    Case("t2", "a throbbing headache", "migraine", {"sex": "female"}),
    Case("t3", "I was wheezing at night", "asthma", {"sex": "female"}),
]


def test_majority_ranks_the_panel_by_frequency_and_breaks_ties_by_label() -> None:
    predictions = systems.majority(TRAIN, TEST, task="complaints", split="test")
    assert {row.ranked for row in predictions} == {("gout", "asthma", "migraine")}
    assert predictions[0].probabilities == pytest.approx((3 / 7, 2 / 7, 2 / 7))
    assert predictions == systems.majority(TRAIN[::-1], TEST, task="complaints", split="test")


@pytest.mark.parametrize("system", [systems.tfidf_svm, systems.tfidf_char_svm])
def test_linear_classifiers_rank_the_whole_panel_without_probabilities(system: Any) -> None:
    predictions = system(TRAIN, TEST, task="complaints", split="test")
    assert [row.answer for row in predictions] == ["gout", "migraine", "asthma"]
    assert all(sorted(row.ranked) == ["asthma", "gout", "migraine"] for row in predictions)
    assert {row.probabilities for row in predictions} == {None}
    assert predictions == system(TRAIN, TEST, task="complaints", split="test")


@pytest.mark.parametrize("system", [systems.majority, systems.tfidf_svm, systems.tfidf_char_svm])
def test_a_prediction_says_whose_it_is(system: Any) -> None:
    rows = system(TRAIN, TEST, task="complaints", split="test")
    assert {(row.system, row.task, row.split) for row in rows} == {(system.__name__, "complaints", "test")}
    expected = [(case.case_id, case.label, case.subgroups) for case in TEST]
    assert [(row.case_id, row.label, row.subgroups) for row in rows] == expected


def test_characters_meet_a_misspelt_word() -> None:
    misspelt = [Case("t", "migrainous hedache", "migraine", group="PMID:1")]
    (prediction,) = systems.tfidf_char_svm(TRAIN, misspelt, task="complaints", split="test")
    assert prediction.correct
    assert prediction.group == "PMID:1"


def test_two_labels_are_ranked_too() -> None:
    two = [row for row in TRAIN if row.label != "gout"]
    predictions = systems.tfidf_svm(two, TEST[1:], task="complaints", split="test")
    assert [row.ranked for row in predictions] == [("migraine", "asthma"), ("asthma", "migraine")]


def test_a_label_outside_the_training_panel_is_wrong() -> None:
    new = [replace(TEST[0], label="pseudogout")]
    assert not systems.tfidf_svm(TRAIN, new, task="complaints", split="test")[0].correct


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="at least one training row"):
        systems.majority([], TEST, task="complaints", split="test")
    with pytest.raises(InputError, match="two labels"):
        systems.tfidf_svm(TRAIN[:3], TEST, task="complaints", split="test")
