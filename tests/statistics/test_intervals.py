"""Intervals hold as often as they say, tests reject no more often than they say: shown by simulation, seeds fixed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from osler.statistics import intervals as statistics
from osler.statistics import resampling, significance


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert statistics.wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_the_one_of_scipy() -> None:
    for successes, n in ((0, 1), (1, 1), (3, 7), (40, 81), (81, 81)):
        theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")
        assert statistics.wilson_interval(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    with pytest.raises(ValueError, match="3 successes of 2"):
        statistics.wilson_interval(3, 2)


@pytest.mark.parametrize("n", [30, 81, 212])
def test_wilson_covers(n: int) -> None:
    intervals = np.array([statistics.wilson_interval(successes, n) for successes in range(n + 1)])
    draw = np.random.default_rng(0)
    truths = draw.uniform(0.02, 0.98, size=20_000)
    low, high = intervals[draw.binomial(n, truths)].T
    assert 0.93 <= np.mean((low <= truths) & (truths <= high)) <= 0.97


def test_the_paired_score_interval_holds_the_difference_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    for n, only_a, only_b in ((60, 0.1, 0.1), (150, 0.1, 0.05), (150, 0.02, 0.02)):
        counts = draw.multinomial(n, [only_a, only_b, 1 - only_a - only_b], size=1500)
        limits = np.array([statistics.paired_score_interval(a, b, n) for a, b, _ in counts])
        covered = (limits[:, 0] <= only_a - only_b) & (only_a - only_b <= limits[:, 1])
        assert 0.93 <= covered.mean() <= 0.985


def test_systems_that_never_disagree_are_not_shown_to_be_equal_by_a_few_cases() -> None:
    z2 = stats.norm.ppf(0.975) ** 2
    for n in (1, 30, 150):
        reach = z2 / (n + z2)
        assert statistics.paired_score_interval(0, 0, n) == pytest.approx((-reach, reach), abs=1e-6)
    assert statistics.paired_score_interval(7, 0, 7)[1] == 1
    low, high = statistics.paired_score_interval(9, 2, 80)
    assert statistics.paired_score_interval(2, 9, 80) == pytest.approx((-high, -low))
    assert low < 7 / 80 < high


@pytest.mark.parametrize(
    ("sizes", "bounds"), [([4] * 40, (0.93, 0.97)), ([4] * 10, (0.93, 0.98)), ([1] * 40 + [6] * 8, (0.93, 0.97))]
)
def test_a_proportion_over_groups_is_covered_and_by_plain_wilson_is_not(
    sizes: list[int], bounds: tuple[float, float]
) -> None:
    draw = np.random.default_rng(0)
    groups, truth, samples = np.repeat(np.arange(len(sizes)), sizes), 0.6, 1500
    # Each group has an accuracy of its own, with mean 0.6 and an intraclass correlation of 1/3.
    accuracies = draw.beta(2 * truth, 2 * (1 - truth), size=(samples, len(sizes)))[:, groups]
    correct = draw.random((samples, len(groups))) < accuracies
    low, high = bounds
    assert low <= coverage([statistics.proportion_interval(row, groups) for row in correct], truth) <= high
    assert coverage([statistics.proportion_interval(row) for row in correct], truth) < 0.9


def test_effective_numbers_by_hand() -> None:
    assert statistics.effective_groups([0] * 27 + [1] * 8) == pytest.approx(35**2 / (27**2 + 8**2))
    # Two of four groups of two are right: pairs say no more than one of them.
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    assert statistics.effective_size([1, 1, 1, 1, 0, 0, 0, 0], groups) == pytest.approx(3)
    assert statistics.effective_size([1, 0] * 4, groups) == 8
    assert statistics.effective_size([1] * 8, groups) == 4
    assert statistics.proportion_interval([True, False, True], np.zeros(3, dtype=int)) == (0.0, 1.0)


def test_percentile_interval_is_the_one_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=60)
    ours = statistics.percentile_interval(
        resampling.resampled_mean(values, resampling.resample_counts(60, 9999, seed=0))
    )
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bootstrap_covers_a_mean_reciprocal_rank() -> None:
    draw = np.random.default_rng(0)
    values, shares = 1 / np.arange(1, 9), np.array([0.5, 0.15, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05])
    counts = resampling.resample_counts(100, 600, seed=0)
    samples = (draw.choice(values, p=shares, size=100) for _ in range(1000))
    intervals = [statistics.percentile_interval(resampling.resampled_mean(sample, counts)) for sample in samples]
    assert 0.93 <= coverage(intervals, float(values @ shares)) <= 0.97


def test_bca_is_the_one_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=200) ** 2
    counts = resampling.resample_counts(200, 9999, seed=0)
    ours = statistics.bca_interval(values, resampling.resampled_mean(values, counts))
    theirs = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_bca_covers_a_skewed_mean_better_than_percentiles() -> None:
    """A log loss: most cases cost little, a few cost much."""
    draw = np.random.default_rng(0)
    counts = resampling.resample_counts(100, 1000, seed=0)
    samples = draw.gamma(0.6, 1.0, size=(1500, 100))
    replicates = samples @ counts.T / 100
    bca = [statistics.bca_interval(*pair) for pair in zip(samples, replicates, strict=True)]
    assert 0.93 <= coverage(bca, 0.6) <= 0.97
    assert coverage([statistics.percentile_interval(row) for row in replicates], 0.6) < coverage(bca, 0.6)


@pytest.mark.parametrize("sizes", [[4] * 30, [1] * 60 + [6] * 12])
def test_cluster_bootstrap_covers_and_the_one_over_cases_does_not(sizes: list[int]) -> None:
    draw = np.random.default_rng(0)
    groups, samples = np.repeat(np.arange(len(sizes)), sizes), 1500
    values = draw.normal(size=(samples, len(sizes)))[:, groups] + draw.normal(size=(samples, len(groups)))
    counts = resampling.resample_counts(len(groups), 1500, seed=1, groups=groups)
    units = statistics.effective_groups(groups)
    intervals = [statistics.percentile_interval(row, units) for row in values @ counts.T / counts.sum(axis=1)]
    assert 0.93 <= coverage(intervals, 0) <= 0.97
    over_cases = values @ resampling.resample_counts(len(groups), 500, seed=1).T / len(groups)
    assert coverage([statistics.percentile_interval(row) for row in over_cases], 0) < 0.88


def test_normal_interval_covers_averages_over_labels() -> None:
    cases, recalls = np.array([90, 80, 60, 40, 30]), np.array([0.9, 0.5, 0.7, 0.6, 0.8])
    covered = label_metric_coverage(cases, recalls, samples=500)
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered


def test_averages_over_labels_are_rough_with_few_cases_a_label() -> None:
    """What ``normal_interval`` says of itself, on the shape of the two rare-disease panels."""
    draw = np.random.default_rng(7)
    small = label_metric_coverage(np.array([2] * 26 + [3] * 6 + [5, 6]), draw.beta(1.8, 1.2, size=34), samples=300)
    assert all(0.92 <= share <= 0.98 for share in small.values()), small
    large = label_metric_coverage(
        np.array([1] * 140 + [2] * 15 + [4] * 9 + [6]), draw.beta(1.5, 1.5, size=165), samples=150
    )
    assert all(0.87 <= share <= 0.98 for share in large.values()), large


def test_percentiles_cover_areas_under_curves() -> None:
    def areas_and_risk(probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        answers = probabilities.max(axis=1), probabilities.argmax(axis=1), labels
        areas = resampling.resampled_areas(probabilities, labels, range(probabilities.shape[1]), counts)
        risk = resampling.resampled_selective(*answers, counts)["aurc"]
        return {"macro_roc_auc": areas["macro_roc_auc"], "micro_roc_auc": areas["micro_roc_auc"], "aurc": risk}

    counts, many = resampling.resample_counts(200, 300, seed=1), 40_000
    intervals: dict[str, list[tuple[float, float]]] = {}
    for sample in simulated_probabilities(200, samples=300, skill=1.5):
        for name, replicates in areas_and_risk(*sample, counts).items():
            intervals.setdefault(name, []).append(statistics.percentile_interval(replicates, 200))
    truths = areas_and_risk(*simulated_probabilities(many, samples=1, skill=1.5)[0], np.ones((1, many)))
    covered = {name: coverage(intervals[name], truths[name][0]) for name in intervals}
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered


@pytest.mark.parametrize(("skill", "bounds"), [(1.2, (0.93, 0.97)), (3.0, (0.93, 1.0))])
def test_selective_accuracy_is_covered_near_the_ceiling_too(skill: float, bounds: tuple[float, float]) -> None:
    def replicated(probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        answers = probabilities.max(axis=1), probabilities.argmax(axis=1), labels
        values = resampling.resampled_selective(*answers, counts)
        return {name: values[name] for name in ("selective_accuracy_50", "selective_accuracy_80")}

    many = 40_000
    counts = np.vstack([np.ones(100), resampling.resample_counts(100, 400, seed=0)])
    intervals: dict[str, list[tuple[float, float]]] = {}
    for sample in simulated_probabilities(100, samples=500, skill=skill):
        for name, (value, *replicates) in replicated(*sample, counts).items():
            interval = statistics.selective_interval(value, np.array(replicates), int(name[-2:]))
            intervals.setdefault(name, []).append(interval)
    truths = replicated(*simulated_probabilities(many, samples=1, skill=skill)[0], np.ones((1, many)))
    covered = {name: coverage(intervals[name], truths[name][0]) for name in intervals}
    assert all(bounds[0] <= share <= bounds[1] for share in covered.values()), covered


@pytest.mark.parametrize("n", [80, 330])
@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_calibration_error_is_covered_whether_calibrated_or_not(n: int, temperature: float) -> None:
    """And the plug-in estimate's percentiles are not, where there is nothing to find (temperature 1)."""
    counts, many = resampling.resample_counts(n, 400, seed=0), 200_000
    intervals: dict[str, list[tuple[float, float]]] = {"ece": [], "ece_debiased": []}
    for probabilities, labels in simulated_probabilities(n, samples=300, skill=1.8, temperature=temperature):
        answers = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        resampled = resampling.resampled_calibration_error(*answers, counts)
        for name, interval in statistics.calibration_error_intervals(*resampled, n).items():
            intervals[name].append(interval)
    ((probabilities, labels),) = simulated_probabilities(many, 1, 1.8, temperature)
    confidences, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = resampling.equal_mass_bins(confidences)
    gaps = np.array([confidences[bins == b].mean() - correct[bins == b].mean() for b in range(10)])
    assert 0.92 <= coverage(intervals["ece"], float(np.abs(gaps).mean())) <= 0.99
    assert 0.93 <= coverage(intervals["ece_debiased"], float(np.sqrt((gaps**2).mean()))) <= 1


def test_paired_difference_covers_and_is_narrower_than_an_unpaired_one() -> None:
    draw = np.random.default_rng(0)
    n, share_a, share_b, share_both = 150, 0.7, 0.6, 0.52
    outcomes = np.array([(1, 1), (1, 0), (0, 1), (0, 0)])
    chances = [share_both, share_a - share_both, share_b - share_both, 1 - share_a - share_b + share_both]
    counts = resampling.resample_counts(n, 600, seed=0)
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
        statistics.paired_bootstrap_difference([1, 0], [1], resampling.resample_counts(2, 10, seed=0))
    with pytest.raises(ValueError, match="shorter"):
        significance.mcnemar_exact([True, False], [True])


def test_mcnemar_by_hand() -> None:
    # 9 cases only a has right, 1 only b: 2 * (1 + 10) / 2**10.
    a = [True] * 9 + [False] + [True] * 30 + [False] * 5
    b = [False] * 9 + [True] + [True] * 30 + [False] * 5
    assert significance.mcnemar_exact(a, b) == pytest.approx(22 / 1024)
    assert significance.mcnemar_exact(b, a) == pytest.approx(22 / 1024)
    assert significance.mcnemar_exact(a, a) == 1.0


def test_mcnemar_rejects_equal_systems_in_at_most_five_of_a_hundred_test_sets() -> None:
    draw = np.random.default_rng(0)
    outcomes = np.array([(1, 1), (1, 0), (0, 1), (0, 0)], dtype=bool)
    samples = outcomes[draw.choice(4, p=[0.5, 0.15, 0.15, 0.2], size=(1000, 100))]
    rejected = [significance.mcnemar_exact(sample[:, 0], sample[:, 1]) < 0.05 for sample in samples]
    assert 0.01 <= np.mean(rejected) <= 0.05


def test_sign_flips_by_hand() -> None:
    a = np.array([True, True, True, False, True, False])
    b = np.array([False, False, True, True, False, False])
    # Differences by group: 2 and -1 + 1 = 0 and 0, or 2, -1 and 1: of 8 sign patterns all but 2 × |0| reach |2|.
    assert significance.sign_flip_exact(a, b, np.array([0, 0, 1, 1, 1, 2])) == 1.0
    assert significance.sign_flip_exact(a, b, np.array([0, 0, 1, 2, 3, 1])) == pytest.approx(6 / 8)
    alone = np.arange(6)
    assert significance.sign_flip_exact(a, b, alone) == pytest.approx(significance.mcnemar_exact(a, b))
    assert significance.sign_flip_exact(a, a, alone) == 1.0


def test_sign_flips_reject_equal_systems_in_at_most_five_of_a_hundred_test_sets_and_mcnemar_in_more() -> None:
    """Eight patients a publication, alike in which of the two systems has them right."""
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 8)
    a_wins = draw.beta(0.7, 0.7, size=(600, 20))[:, groups]
    a = draw.random(a_wins.shape) < a_wins
    p_values = [(significance.sign_flip_exact(row, ~row, groups), significance.mcnemar_exact(row, ~row)) for row in a]
    flips, mcnemar = np.mean(np.array(p_values) < 0.05, axis=0)
    assert 0.02 <= flips <= 0.06
    assert mcnemar > 0.2


def test_a_difference_of_the_detectable_size_is_found_in_four_of_five_test_sets() -> None:
    draw = np.random.default_rng(0)
    n, discordance = 80, 0.4
    difference = significance.minimum_detectable_difference(n, discordance)
    assert difference is not None
    only_a, only_b = (discordance + difference) / 2, (discordance - difference) / 2
    outcomes = draw.choice([1, -1, 0], p=[only_a, only_b, 1 - discordance], size=(2000, n))
    found = [significance.mcnemar_exact(row == 1, row == -1) < 0.05 for row in outcomes]
    assert np.mean(found) == pytest.approx(0.8, abs=0.025)
    # Close to the textbook's approximation (Connor 1987, Biometrics 43:207) where there are many cases.
    large = significance.minimum_detectable_difference(5000, discordance)
    assert large == pytest.approx((1.96 + 0.8416) * np.sqrt(discordance / 5000), rel=0.03)


def test_no_difference_is_detectable_where_systems_hardly_differ() -> None:
    assert significance.minimum_detectable_difference(80, 0.0) is None
    assert significance.minimum_detectable_difference(80, 0.03) is None
    assert significance.minimum_detectable_difference(1, 1.0) is None


def test_holm_by_hand() -> None:
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.6, 0.5]) == [1.0, 1.0]
    assert significance.holm([]) == []


def test_holm_makes_one_false_claim_in_at_most_five_of_a_hundred_families() -> None:
    p_values = np.random.default_rng(0).uniform(size=(4000, 6))
    assert np.mean([min(row) < 0.05 for row in p_values]) > 0.2
    assert 0.03 <= np.mean([min(significance.holm(list(row))) < 0.05 for row in p_values]) <= 0.06


def simulated_answers(draw: np.random.Generator, cases: np.ndarray, recalls: np.ndarray) -> tuple[list[str], list[str]]:
    """``cases[i]`` cases of label i, answered with it in ``recalls[i]`` of them, with any other label else."""
    references = np.repeat(np.arange(len(cases)), cases)
    others = (references + draw.integers(1, len(cases), size=len(references))) % len(cases)
    predictions = np.where(draw.random(len(references)) < recalls[references], references, others)
    return [f"{label:03d}" for label in references], [f"{label:03d}" for label in predictions]


def label_metric_coverage(cases: np.ndarray, recalls: np.ndarray, samples: int) -> dict[str, float]:
    """How often the 95% interval of each metric holds its value in the long run (the mean over the samples)."""
    draw = np.random.default_rng(0)
    counts = np.vstack([np.ones(cases.sum()), resampling.resample_counts(int(cases.sum()), 400, seed=0)])
    values: dict[str, list[float]] = {}
    intervals: dict[str, list[tuple[float, float]]] = {}
    for _ in range(samples):
        for name, column in resampling.resampled_label_metrics(
            *simulated_answers(draw, cases, recalls), counts
        ).items():
            values.setdefault(name, []).append(column[0])
            interval = statistics.normal_interval(column[0], column[1:], len(counts[0]))
            intervals.setdefault(name, []).append(interval)
    return {name: coverage(intervals[name], float(np.mean(values[name]))) for name in values}


def coverage(intervals: list[tuple[float, float]], truth: float) -> float:
    low, high = np.array(intervals).T
    return float(np.mean((low <= truth) & (truth <= high)))


def simulated_probabilities(
    n: int, samples: int, skill: float, temperature: float = 1.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Probabilities over five labels, and the labels: perfectly calibrated at a temperature of 1, overconfident below.

    Each label has a score from a normal distribution, which lies ``skill`` higher for the right one; the probabilities
    are what Bayes makes of the scores.
    """
    draw = np.random.default_rng(1)
    drawn = []
    for _ in range(samples):
        labels = draw.integers(5, size=n)
        scores = skill * (draw.normal(size=(n, 5)) + skill * np.eye(5)[labels])
        drawn.append((special.softmax(scores / temperature, axis=1), labels))
    return drawn
