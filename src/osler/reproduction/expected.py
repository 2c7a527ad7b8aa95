"""``<recipe>.expected.json``: what a recipe produced when it was run, and how far another run may be from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

from pydantic import Field
from scipy.stats import t as student_t

from osler.errors import InputError
from osler.runs import Abstention, Change, Estimate, FittedOn, Fusion, TrainedContent
from osler.storage import Contract, FileContract, read_model

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top_3_accuracy", "top_5_accuracy", "mrr")
MIN_RUNS = 3  # before a spread says anything
Depth = Literal["scores", "predictions", "training"]
Verdict = Literal["reproduced", "missed", "undecided", "differs"]
Values = dict[str, dict[str, float]]
"""Split → metric → the tuned model's figure."""


class Hardware(Contract):
    """The machine of the first run."""

    cpu: str | None
    cores: int | None
    memory_bytes: int
    gpus: tuple[str, ...]


class RecordedRun(Contract):
    """One training of the recipe, or of it with another seed, and what it came to."""

    seed: int
    threads: int
    cpu: str | None
    git_commit: str | None
    values: Values


class ExpectedComparison(Contract):
    """The accuracy of ``a``, the tuned model or ``fused``, minus that of ``b``."""

    a: str
    b: str
    difference: float
    low: float | None
    high: float | None
    p_value: float
    p_adjusted: float
    method: str


class ExpectedMeasures(Contract):
    """Measures of calibration; the reliability tables are long, and computed again in no time from the predictions."""

    brier: Estimate | None = None
    ece: Estimate | None = None
    ece_debiased: Estimate | None = None
    log_loss: Estimate | None = None


class ExpectedCalibration(Contract):
    """As :class:`osler.runs.Calibration`, without the reliability tables."""

    before: ExpectedMeasures | None = None
    fitted_on: FittedOn | None = None
    temperature: float | None = None
    named: float = 1.0
    after: ExpectedMeasures | None = None
    abstention: Abstention | None = None


class SubgroupGap(Contract):
    """The worst and the best subgroup of an attribute, and the gap between them."""

    worst: str | None
    best: str | None
    gap: Estimate | None


class ExpectedSplit(Contract):
    """One split: of the tuned model every metric, its calibration and subgroup gaps, of the others :data:`METRICS`."""

    n: int
    groups: int | None
    systems: dict[str, dict[str, Estimate]]
    comparisons: tuple[ExpectedComparison, ...]
    calibration: ExpectedCalibration
    subgroups: dict[str, SubgroupGap]
    predictions_sha256: str

    def against(self, a: str) -> dict[str, ExpectedComparison]:
        """System → the comparison of ``a`` with it, of those there are."""
        return {row.b: row for row in self.comparisons if row.a == a}


class ExpectedPerturbation(Contract):
    """What one perturbation does to the tuned model's answers; null where it changes no case."""

    perturbation: str
    strength: float
    n: int
    accuracy: Estimate | None
    change: Change | None
    top_1_flip_rate: Estimate | None


class ExpectedBenchmark(Contract):
    """What the tuned model made of a benchmark's split, and its untuned base; null where the base was not asked."""

    n: int
    accuracy: Estimate
    parse_rate: Estimate | None = None
    base_accuracy: Estimate | None = None
    comparison: ExpectedComparison | None = None


class RecordedReproduction(Contract):
    """What came of ``scripts/reproduce.py`` at one depth."""

    verdict: Verdict
    date: str
    cpu: str | None
    git_commit: str | None
    differences: tuple[str, ...]
    figures: int
    figures_inside: int
    answers: int
    same_rankings: int
    max_probability_difference: float | None


class Expected(FileContract):
    """The expected file of a recipe.

    ``runs`` are all that say how far its figures spread, the recipe's own first: everything else is of that one.
    ``manifest_sha256`` is of its manifest, so that it cannot pass for its own reproduction; null where nobody kept it.
    """

    recipe_sha256: str
    recorded: str
    git_commit: str | None
    git_dirty: bool | None
    packages: dict[str, str | None]
    hardware: Hardware
    threads: int
    train_minutes: float
    peak_memory_gb: float
    content: TrainedContent
    manifest_sha256: str | None
    runs: tuple[RecordedRun, ...]
    tolerance: Values | None
    splits: dict[str, ExpectedSplit]
    fused: Fusion | None
    robustness: dict[str, tuple[ExpectedPerturbation, ...]] | None
    benchmarks: dict[str, dict[str, ExpectedBenchmark]] | None
    reproductions: dict[Depth, RecordedReproduction] = Field(default_factory=dict)

    def over_seeds(self, split: str, metric: str) -> list[float]:
        """The figure of every training seed, each from the first run that has it."""
        by_seed: dict[int, float] = {}
        for run in self.runs:
            by_seed.setdefault(run.seed, run.values[split][metric])
        return list(by_seed.values())

    def mean_over_runs(self, split: str, metric: str) -> float:
        """What another run is expected to come to, give or take the ``tolerance``."""
        return mean(run.values[split][metric] for run in self.runs)


def expected_path(recipe_path: Path) -> Path:
    """Where the expected file of a recipe is."""
    return recipe_path.with_suffix(".expected.json")


def read_expected(path: Path) -> Expected:
    """Read an expected file.

    Raises :class:`InputError` where it is none, has no runs, runs that do not all have the figures of the first, or
    splits without cases: nothing can be computed from these.
    """
    anew = "bring back the one that was recorded, or record it anew with scripts/record_expected.py"
    try:
        expected = read_model(path, Expected)
    except InputError as error:
        raise InputError(f"{error}; {anew}") from None
    if not expected.runs:
        raise InputError(f"{path}: there is no run in it; {anew}")
    first, *others = ({split: set(values) for split, values in run.values.items()} for run in expected.runs)
    if odd := next((place for place, run in enumerate(others, 2) if run != first), None):
        raise InputError(
            f"{path}: run {odd} of {len(expected.runs)} has figures of other splits or metrics than the first; {anew}"
        )
    for split, record in expected.splits.items():
        if record.n < 1:
            raise InputError(f"{path}: {split}, n: {record.n} is no number of cases; {anew}")
    return expected


def tolerance(runs: Sequence[Mapping[str, Mapping[str, float]]], cases: Mapping[str, int]) -> Values | None:
    """By split and metric, how far from the mean over ``runs`` another run's figure is 95% of the time at most; None
    for fewer than ``MIN_RUNS``. ``cases``: of each split.

    The two-sided 95% prediction interval of a normal sample: t · s · √(1 + 1/k) for k runs. It is never below one case,
    the resolution of a figure that counts cases: that a few runs agreed to the last case does not show that the next
    one will.
    """
    k = len(runs)
    if k < MIN_RUNS:
        return None
    reach = float(student_t.ppf(0.975, k - 1)) * math.sqrt(1 + 1 / k)
    return {
        split: {
            name: math.ceil(10_000 * max(reach * stdev(run[split][name] for run in runs), 1 / cases[split])) / 10_000
            for name in metrics
        }
        for split, metrics in runs[0].items()
    }


def threads_text(threads: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
