"""Intervals hold as often as they say, tests reject no more often than they say: shown by simulation, seeds fixed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from osler import statistics


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert statistics.wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [30, 81, 212])
def test_wilson_covers(n: int) -> None:
    intervals = np.array([statistics.wilson_interval(successes, n) for successes in range(n + 1)])
    draw = np.random.default_rng(0)
    truths = draw.uniform(0.02, 0.98, size=20_000)
    low, high = intervals[draw.binomial(n, truths)].T
    assert 0.93 <= np.mean((low <= truths) & (truths <= high)) <= 0.97


def test_resamples_are_seeded_and_of_the_right_size() -> None:
    counts = statistics.resample_counts(50, 20, seed=3)
    assert counts.shape == (20, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert (counts == statistics.resample_counts(50, 20, seed=3)).all()
    assert (counts != statistics.resample_counts(50, 20, seed=4)).any()
    with pytest.raises(ValueError, match="0 resamples"):
        statistics.resample_counts(50, 0, seed=3)


def test_resampled_metrics_are_those_of_scikit_learn_on_each_resample() -> None:
    draw = np.random.default_rng(0)
    references, predictions = simulated_answers(draw, np.array([7, 5, 2, 1, 1]), np.array([0.9, 0.4, 0.6, 0.5, 0.5]))
    predictions[3], predictions[8] = "", "a label that nobody has"
    counts = statistics.resample_counts(len(references), 40, seed=0)
    values = statistics.resampled_label_metrics(references, predictions, counts)
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


def test_percentile_interval_is_the_one_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=60)
    ours = statistics.percentile_interval(
        statistics.resampled_mean(values, statistics.resample_counts(60, 9999, seed=0))
    )
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bootstrap_covers_a_mean_reciprocal_rank() -> None:
    draw = np.random.default_rng(0)
    values, shares = 1 / np.arange(1, 9), np.array([0.5, 0.15, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05])
    counts = statistics.resample_counts(100, 600, seed=0)
    samples = (draw.choice(values, p=shares, size=100) for _ in range(1000))
    intervals = [statistics.percentile_interval(statistics.resampled_mean(sample, counts)) for sample in samples]
    assert 0.93 <= coverage(intervals, float(values @ shares)) <= 0.97


def test_bootstrap_covers_averages_over_labels() -> None:
    cases, recalls = np.array([90, 80, 60, 40, 30]), np.array([0.9, 0.5, 0.7, 0.6, 0.8])
    covered = label_metric_coverage(cases, recalls, samples=500)
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered


def test_bootstrap_of_averages_over_labels_is_rough_with_few_cases_a_label() -> None:
    """What the docstring of ``percentile_interval`` warns of, on the shape of the two rare-disease panels."""
    draw = np.random.default_rng(7)
    small = label_metric_coverage(np.array([2] * 26 + [3] * 6 + [5, 6]), draw.beta(1.8, 1.2, size=34), samples=300)
    assert all(0.9 <= share <= 0.98 for share in small.values()), small
    large = label_metric_coverage(
        np.array([1] * 140 + [2] * 15 + [4] * 9 + [6]), draw.beta(1.5, 1.5, size=165), samples=150
    )
    assert large["precision"] < 0.9 > large["macro_f1"], large


def test_paired_difference_covers_and_is_narrower_than_an_unpaired_one() -> None:
    draw = np.random.default_rng(0)
    n, share_a, share_b, share_both = 150, 0.7, 0.6, 0.52
    outcomes = np.array([(1, 1), (1, 0), (0, 1), (0, 0)])
    chances = [share_both, share_a - share_both, share_b - share_both, 1 - share_a - share_b + share_both]
    counts = statistics.resample_counts(n, 600, seed=0)
    intervals, unpaired = [], []
    for _ in range(1000):
        a, b = outcomes[draw.choice(4, p=chances, size=n)].T
        difference, low, high = statistics.paired_bootstrap_difference(a, b, counts)
        assert difference == pytest.approx(a.mean() - b.mean())
        intervals.append((low, high))
        unpaired.append(2 * 1.96 * np.sqrt((a.var() + b.var()) / n))
    assert 0.93 <= coverage(intervals, share_a - share_b) <= 0.97
    assert np.mean([high - low for low, high in intervals]) < 0.8 * np.mean(unpaired)


def test_a_paired_comparison_needs_the_same_cases() -> None:
    with pytest.raises(ValueError, match="2 values against 1"):
        statistics.paired_bootstrap_difference([1, 0], [1], statistics.resample_counts(2, 10, seed=0))
    with pytest.raises(ValueError, match="shorter"):
        statistics.mcnemar_exact([True, False], [True])


def test_mcnemar_by_hand() -> None:
    # 9 cases only a has right, 1 only b: 2 * (1 + 10) / 2**10.
    a = [True] * 9 + [False] + [True] * 30 + [False] * 5
    b = [False] * 9 + [True] + [True] * 30 + [False] * 5
    assert statistics.mcnemar_exact(a, b) == pytest.approx(22 / 1024)
    assert statistics.mcnemar_exact(b, a) == pytest.approx(22 / 1024)
    assert statistics.mcnemar_exact(a, a) == 1.0


def test_mcnemar_rejects_equal_systems_in_at_most_five_of_a_hundred_test_sets() -> None:
    draw = np.random.default_rng(0)
    outcomes = np.array([(1, 1), (1, 0), (0, 1), (0, 0)], dtype=bool)
    samples = outcomes[draw.choice(4, p=[0.5, 0.15, 0.15, 0.2], size=(1000, 100))]
    rejected = [statistics.mcnemar_exact(sample[:, 0], sample[:, 1]) < 0.05 for sample in samples]
    assert 0.01 <= np.mean(rejected) <= 0.05


def test_holm_by_hand() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.6, 0.5]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_holm_makes_one_false_claim_in_at_most_five_of_a_hundred_families() -> None:
    p_values = np.random.default_rng(0).uniform(size=(4000, 6))
    assert np.mean([min(row) < 0.05 for row in p_values]) > 0.2
    assert 0.03 <= np.mean([min(statistics.holm(list(row))) < 0.05 for row in p_values]) <= 0.06


def simulated_answers(draw: np.random.Generator, cases: np.ndarray, recalls: np.ndarray) -> tuple[list[str], list[str]]:
    """``cases[i]`` cases of label i, answered with it in ``recalls[i]`` of them, with any other label else."""
    references = np.repeat(np.arange(len(cases)), cases)
    others = (references + draw.integers(1, len(cases), size=len(references))) % len(cases)
    predictions = np.where(draw.random(len(references)) < recalls[references], references, others)
    return [f"{label:03d}" for label in references], [f"{label:03d}" for label in predictions]


def label_metric_coverage(cases: np.ndarray, recalls: np.ndarray, samples: int) -> dict[str, float]:
    """How often the 95% interval of each metric holds its value in the long run (the mean over the samples)."""
    draw = np.random.default_rng(0)
    counts = np.vstack([np.ones(cases.sum()), statistics.resample_counts(int(cases.sum()), 400, seed=0)])
    values: dict[str, list[float]] = {}
    intervals: dict[str, list[tuple[float, float]]] = {}
    for _ in range(samples):
        for name, column in statistics.resampled_label_metrics(
            *simulated_answers(draw, cases, recalls), counts
        ).items():
            values.setdefault(name, []).append(column[0])
            intervals.setdefault(name, []).append(statistics.percentile_interval(column[1:]))
    return {name: coverage(intervals[name], float(np.mean(values[name]))) for name in values}


def coverage(intervals: list[tuple[float, float]], truth: float) -> float:
    low, high = np.array(intervals).T
    return float(np.mean((low <= truth) & (truth <= high)))
