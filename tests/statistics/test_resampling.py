"""The vectorised forms give, on every resample, what the definition gives when the cases are really drawn out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from osler.evaluation.measurement import load_metrics
from osler.statistics import resampling


def test_resamples_are_seeded_and_of_the_right_size() -> None:
    counts = resampling.resample_counts(50, 20, seed=3)
    assert counts.shape == (20, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert (counts == resampling.resample_counts(50, 20, seed=3)).all()
    assert (counts != resampling.resample_counts(50, 20, seed=4)).any()
    with pytest.raises(ValueError, match="0 resamples"):
        resampling.resample_counts(50, 0, seed=3)


def test_resampled_metrics_are_those_of_scikit_learn_on_each_resample() -> None:
    draw = np.random.default_rng(0)
    references, predictions = simulated_answers(draw, np.array([7, 5, 2, 1, 1]), np.array([0.9, 0.4, 0.6, 0.5, 0.5]))
    predictions[3], predictions[8] = "", "a label that nobody has"
    counts = resampling.resample_counts(len(references), 40, seed=0)
    values = resampling.resampled_label_metrics(references, predictions, counts)
    for row, times in enumerate(counts.astype(int)):
        y, given = np.repeat(references, times), np.repeat(predictions, times)
        macro = {"labels": np.unique(y), "average": "macro", "zero_division": 0}
        expected = {
            "balanced_accuracy": metrics.recall_score(y, given, **macro),
            "recall": metrics.recall_score(y, given, **macro),
            "precision": metrics.precision_score(y, given, **macro),
            "macro_f1": metrics.f1_score(y, given, **macro),
            "weighted_f1": metrics.f1_score(y, given, **{**macro, "average": "weighted"}),
        }
        assert {name: column[row] for name, column in values.items()} == pytest.approx(expected)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    """Forty cases over six labels, with ties; twelve resamples of them, and each drawn out."""
    draw = np.random.default_rng(0)
    labels = draw.choice(5, size=40, p=[0.4, 0.3, 0.2, 0.05, 0.05])  # nobody has the sixth
    probabilities = np.round(draw.dirichlet(np.full(6, 0.4), size=40) + 0.3 * np.eye(6)[labels], 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    counts = resampling.resample_counts(40, 12, seed=1)
    return {
        "labels": labels,
        "probabilities": probabilities,
        "confidences": probabilities.max(axis=1),
        "correct": probabilities.argmax(axis=1) == labels,
        "counts": counts,
        "samples": [np.repeat(np.arange(40), times.astype(int)) for times in counts],
    }


@pytest.mark.filterwarnings("error")
def test_areas_are_those_of_scikit_learn_on_each_resample(drawn: dict[str, Any]) -> None:
    values = resampling.resampled_areas(drawn["probabilities"], drawn["labels"], range(6), drawn["counts"])
    for row, cases in enumerate(drawn["samples"]):
        actual = drawn["labels"][cases, None] == np.arange(6)
        scores = drawn["probabilities"][cases]
        present = np.flatnonzero(actual.any(axis=0))
        rest = {"average": "macro"}
        assert {name: column[row] for name, column in values.items()} == pytest.approx(
            {
                "macro_roc_auc": metrics.roc_auc_score(actual[:, present], scores[:, present], **rest),
                "micro_roc_auc": metrics.roc_auc_score(actual, scores, average="micro"),
                "average_precision": metrics.average_precision_score(actual[:, present], scores[:, present], **rest),
            }
        )


@pytest.mark.filterwarnings("error")
def test_selective_metrics_are_those_of_the_modules_on_each_resample(drawn: dict[str, Any]) -> None:
    modules = [metric for metric in load_metrics() if metric.name in ("selective_accuracy", "aurc")]
    answers, references = drawn["correct"].astype(str), np.full(40, "True")
    values = resampling.resampled_selective(drawn["confidences"], answers, references, drawn["counts"])
    for row, cases in enumerate(drawn["samples"]):
        columns = {"confidences": drawn["confidences"][cases], "references": ["True"] * len(cases)}
        expected: dict[str, float] = {}
        for module in modules:
            expected |= module.compute(**columns, predictions=list(answers[cases]))
        assert {name: column[row] for name, column in values.items()} == pytest.approx(expected)


def test_what_is_kept_of_one_system_is_not_given_for_another(drawn: dict[str, Any]) -> None:
    confidences, right, counts = drawn["confidences"], np.full(40, "a"), drawn["counts"]
    wrong = np.full(40, "b")
    for predictions, risk in ((right, 0), (wrong, 1), (right, 0)):
        assert resampling.resampled_selective(confidences, predictions, right, counts)["aurc"] == pytest.approx(risk)


def test_ties_share_a_bin_and_bins_are_otherwise_of_one_size() -> None:
    assert np.bincount(resampling.equal_mass_bins(np.random.default_rng(0).random(80))).tolist() == [8] * 10
    assert resampling.equal_mass_bins(np.array([0.2, 0.2, 0.2, 0.9]), bins=2).tolist() == [0, 0, 0, 1]
    assert set(resampling.equal_mass_bins(np.full(50, 0.7))) == {0}


def test_groups_are_drawn_whole_and_every_one_as_often_as_another() -> None:
    groups = np.array([0, 1, 1, 2, 2, 2, 3])
    counts = resampling.resample_counts(7, 4000, seed=0, groups=groups)
    assert (counts[:, 1] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3, 6]].sum(axis=1) == 4).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.06)


def test_a_mean_over_some_cases_is_undefined_where_none_was_drawn() -> None:
    counts = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    among = resampling.resampled_mean([1.0, 0.0, 1.0], counts, np.array([True, True, False]))
    assert among == pytest.approx([2 / 3, np.nan], nan_ok=True)


def simulated_answers(draw: np.random.Generator, cases: np.ndarray, recalls: np.ndarray) -> tuple[list[str], list[str]]:
    """``cases[i]`` cases of label i, answered with it in ``recalls[i]`` of them, with any other label else."""
    references = np.repeat(np.arange(len(cases)), cases)
    others = (references + draw.integers(1, len(cases), size=len(references))) % len(cases)
    predictions = np.where(draw.random(len(references)) < recalls[references], references, others)
    return [f"{label:03d}" for label in references], [f"{label:03d}" for label in predictions]
