"""The baselines are the ones everybody would try first, and give the same answers every time."""

from __future__ import annotations

from typing import Any

import pytest

from osler import baseline
from osler.errors import InputError

COMPLAINTS = {
    "gout": ["my big toe is red and swollen", "sudden pain in the big toe at night", "swollen toe after a heavy meal"],
    "migraine": ["throbbing headache with flashing lights", "one sided headache and nausea"],
    "asthma": ["wheezing and short of breath at night", "tight chest and wheezing in cold air"],
}
TRAIN = [
    {"case_id": f"{label}-{number}", "text": text, "label": label, "subgroups": {}, "group": None}
    for label, texts in COMPLAINTS.items()
    for number, text in enumerate(texts)
]
TEST = [
    {"case_id": "t1", "text": "my toe is swollen", "label": "gout", "subgroups": {"sex": "male"}, "group": None},
    {
        "case_id": "t2",
        "text": "a throbbing headache",
        "label": "migraine",
        "subgroups": {"sex": "female"},
        "group": None,
    },
    {
        "case_id": "t3",
        "text": "I was wheezing at night",
        "label": "asthma",
        "subgroups": {"sex": "female"},
        "group": None,
    },
]


def test_majority_ranks_the_panel_by_frequency_and_breaks_ties_by_label() -> None:
    predictions = baseline.majority(TRAIN, TEST, task="complaints", split="test")
    assert {row.ranked for row in predictions} == {("gout", "asthma", "migraine")}
    assert predictions[0].probabilities == pytest.approx((3 / 7, 2 / 7, 2 / 7))
    assert predictions == baseline.majority(TRAIN[::-1], TEST, task="complaints", split="test")


@pytest.mark.parametrize("system", [baseline.tfidf_svm, baseline.tfidf_char_svm])
def test_linear_classifiers_rank_the_whole_panel_without_probabilities(system: Any) -> None:
    predictions = system(TRAIN, TEST, task="complaints", split="test")
    assert [row.answer for row in predictions] == ["gout", "migraine", "asthma"]
    assert all(sorted(row.ranked) == ["asthma", "gout", "migraine"] for row in predictions)
    assert {row.probabilities for row in predictions} == {None}
    assert predictions == system(TRAIN, TEST, task="complaints", split="test")


@pytest.mark.parametrize("system", [baseline.majority, baseline.tfidf_svm, baseline.tfidf_char_svm])
def test_a_prediction_says_whose_it_is(system: Any) -> None:
    rows = system(TRAIN, TEST, task="complaints", split="test")
    assert {(row.system, row.task, row.split) for row in rows} == {(system.__name__, "complaints", "test")}
    expected = [(case["case_id"], case["label"], case["subgroups"]) for case in TEST]
    assert [(row.case_id, row.label, row.subgroups) for row in rows] == expected


def test_characters_meet_a_misspelt_word() -> None:
    misspelt = [{"case_id": "t", "text": "migrainous hedache", "label": "migraine", "subgroups": {}, "group": "PMID:1"}]
    (prediction,) = baseline.tfidf_char_svm(TRAIN, misspelt, task="complaints", split="test")
    assert prediction.correct
    assert prediction.group == "PMID:1"


def test_two_labels_are_ranked_too() -> None:
    two = [row for row in TRAIN if row["label"] != "gout"]
    predictions = baseline.tfidf_svm(two, TEST[1:], task="complaints", split="test")
    assert [row.ranked for row in predictions] == [("migraine", "asthma"), ("asthma", "migraine")]


def test_a_label_outside_the_training_panel_is_wrong() -> None:
    new = [{**TEST[0], "label": "pseudogout"}]
    assert not baseline.tfidf_svm(TRAIN, new, task="complaints", split="test")[0].correct


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="at least one training row"):
        baseline.majority([], TEST, task="complaints", split="test")
    with pytest.raises(InputError, match="two labels"):
        baseline.tfidf_svm(TRAIN[:3], TEST, task="complaints", split="test")
