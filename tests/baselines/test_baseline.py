"""The baselines are the ones everybody would try first, and give the same answers every time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from osler import baselines
from osler.errors import InputError
from osler.recipe import sections
from osler.runs import Prediction, Run
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


def predict(name: str, training: Sequence[Case], cases: Sequence[Case] = TEST) -> list[Prediction]:
    """What the baseline answers that was fitted on ``training``."""
    complaints: Any = SimpleNamespace(name="complaints")
    baseline = baselines.load_baseline(name, complaints, Run(Path("no run")), seed=0, data=None)
    baseline.fit(lambda: training)
    return baseline.predict(cases, "test")


def test_majority_ranks_the_panel_by_frequency_and_breaks_ties_by_label() -> None:
    predictions = predict("majority", TRAIN)
    assert {row.ranked for row in predictions} == {("gout", "asthma", "migraine")}
    assert predictions[0].probabilities == pytest.approx((3 / 7, 2 / 7, 2 / 7))
    assert predictions == predict("majority", TRAIN[::-1])


@pytest.mark.parametrize("system", ["tfidf_svm", "tfidf_char_svm"])
def test_linear_classifiers_rank_the_whole_panel(system: str) -> None:
    predictions = predict(system, TRAIN)
    assert [row.answer for row in predictions] == ["gout", "migraine", "asthma"]
    assert all(sorted(row.ranked) == ["asthma", "gout", "migraine"] for row in predictions)
    assert predictions == predict(system, TRAIN)


def told(draw: random.Random, label: str, number: int, tellings: int = 1, shown: int = 3) -> list[Case]:
    """A patient of ``label``, in words of that label and of any, told several times."""
    own = draw.sample([f"{label}{n}" for n in range(12)], k=shown)
    words = own + draw.sample([f"{of}{n}" for of in COMPLAINTS for n in range(12)], k=6)
    return [
        Case(f"{label}/{number}" + f"#{n}" * (tellings > 1), " ".join(draw.sample(words, len(words))), label)
        for n in range(tellings)
    ]


@pytest.mark.parametrize("tellings", [1, 4])
def test_linear_classifiers_are_as_sure_as_they_are_right_however_often_a_patient_is_told(tellings: int) -> None:
    """Tellings of one patient on both sides of a fold would make it look known, and the classifier too sure."""
    draw = random.Random(0)
    training = [c for number in range(40) for label in COMPLAINTS for c in told(draw, label, number, tellings, shown=1)]
    cases = [c for number in range(300) for label in COMPLAINTS for c in told(draw, label, number, shown=1)]
    rows = predict("tfidf_svm", training, cases)
    accuracy = sum(row.correct for row in rows) / len(rows)
    assert 0.35 < accuracy < 0.9
    assert sum((row.probabilities or (0,))[0] for row in rows) / len(rows) == pytest.approx(accuracy, abs=0.08)
    assert all(sum(row.probabilities or ()) == pytest.approx(1) for row in rows)


def test_a_classifier_whose_labels_are_one_patient_each_gives_no_probabilities_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    training = [replace(case, group=case.label) for case in TRAIN * 4]
    assert {row.probabilities for row in predict("tfidf_svm", training)} == {None}
    assert "tfidf_svm: no probabilities: of 28 training cases fewer than 10" in capsys.readouterr().out


def test_a_label_that_one_fold_alone_has_is_given_a_probability_too() -> None:
    draw = random.Random(0)
    training = [case for number in range(20) for label in ("gout", "asthma") for case in told(draw, label, number)]
    rows = predict("tfidf_svm", [*training, *TRAIN[3:4]])
    assert all(sorted(row.ranked) == ["asthma", "gout", "migraine"] for row in rows)
    assert all(sum(row.probabilities or ()) == pytest.approx(1) for row in rows)


@pytest.mark.parametrize("system", ["majority", "tfidf_svm", "tfidf_char_svm"])
def test_a_prediction_says_whose_it_is(system: str) -> None:
    rows = predict(system, TRAIN)
    assert {(row.system, row.task, row.split) for row in rows} == {(system, "complaints", "test")}
    expected = [(case.case_id, case.label, case.subgroups) for case in TEST]
    assert [(row.case_id, row.label, row.subgroups) for row in rows] == expected


def test_characters_meet_a_misspelt_word() -> None:
    misspelt = [Case("t", "migrainous hedache", "migraine", group="PMID:1")]
    (prediction,) = predict("tfidf_char_svm", TRAIN, misspelt)
    assert prediction.correct
    assert prediction.group == "PMID:1"


def test_two_labels_are_ranked_too() -> None:
    two = [row for row in TRAIN if row.label != "gout"]
    predictions = predict("tfidf_svm", two, TEST[1:])
    assert [row.ranked for row in predictions] == [("migraine", "asthma"), ("asthma", "migraine")]


def test_a_label_outside_the_training_panel_is_wrong() -> None:
    new = [replace(TEST[0], label="pseudogout")]
    assert not predict("tfidf_svm", TRAIN, new)[0].correct


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="baseline majority needs at least one training case"):
        predict("majority", [])
    with pytest.raises(InputError, match="baseline tfidf_svm needs training cases of two labels"):
        predict("tfidf_svm", TRAIN[:3])


def test_every_baseline_that_a_recipe_may_name_is_there() -> None:
    for name in set(get_args(sections.Baseline)) - {"base_model", "base_model_with_labels"}:
        task: Any = SimpleNamespace(name="complaints")
        assert baselines.load_baseline(name, task, Run(Path("no run")), seed=0, data=None).name == name


def test_a_baseline_is_added_by_adding_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first_seen.py").write_text(
        "from osler.baselines import Baseline, Ranking\n"
        "class FirstSeen(Baseline):\n"
        "    def fit(self, training):\n"
        "        self.label = training()[0].label\n"
        "    def rank(self, cases, split):\n"
        "        return [Ranking((self.label,), (1.0,)) for _ in cases]\n"
    )
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    first, *_ = predict("first_seen", TRAIN)
    assert (first.system, first.ranked, first.probabilities) == ("first_seen", ("gout",), (1.0,))
