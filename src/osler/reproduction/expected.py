"""What a recipe produced when it was run: ``<recipe>.expected.json``, and the tables made from all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student_t

from osler.errors import InputError

# The files are sorted by key: the order of splits and systems in the tables is the recipe's.
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top_3_accuracy", "top_5_accuracy", "mrr")
MIN_RUNS = 3  # before a spread says anything


def path_of(recipe_path: Path) -> Path:
    """Where the expected file of a recipe is."""
    return recipe_path.with_suffix(".expected.json")


def values_of_runs(expected: Mapping[str, Any]) -> list[Mapping[str, Mapping[str, float]]]:
    """By split and metric, the tuned model's figures in each run; files from before there were ``runs`` have seeds."""
    return [run["values"] for run in expected["runs"]] if "runs" in expected else list(expected["seeds"].values())


def mean_over_runs(expected: Mapping[str, Any], split: str, metric: str) -> float:
    """What another run is expected to find, give or take the ``tolerance``."""
    return mean(values[split][metric] for values in values_of_runs(expected))


def recorded_tolerance(expected: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """The ``tolerance`` of an expected file, by split and metric; none where it was not recorded, nor where there are
    no ``runs`` to compute it from again: anybody may have written it."""
    return (expected["tolerance"] or {}) if "runs" in expected else {}


def check(expected: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`InputError` where ``expected``, read from ``path``, has a number that is none, no runs, runs that
    do not all have the figures of the first, or splits without cases: nothing can be computed from these."""
    anew = "bring back the one that was recorded, or record it anew with scripts/record_expected.py"
    if place := not_finite(expected):
        raise InputError(f"{path}: {place}: NaN and Infinity are no figures; {anew}")
    runs = values_of_runs(expected)
    if not runs:
        raise InputError(f"{path}: there is no run in it; {anew}")
    first, *others = ({split: set(values) for split, values in run.items()} for run in runs)
    if odd := next((place for place, run in enumerate(others, 2) if run != first), None):
        raise InputError(
            f"{path}: run {odd} of {len(runs)} has figures of other splits or metrics than the first; {anew}"
        )
    for split, of in expected["splits"].items():
        if type(of.get("n")) is not int or of["n"] < 1:
            raise InputError(f"{path}: {split}, n: {of.get('n')!r} is no number of cases; {anew}")


def not_finite(value: Any, where: str = "") -> str | None:
    """The place of the first NaN or infinity, which Python reads in JSON although JSON has none; None without."""
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    places = (not_finite(of, f"{where}, {key}" if where else str(key)) for key, of in items)
    return next((place for place in places if place), None)


def tolerance(
    runs: Sequence[Mapping[str, Mapping[str, float]]], cases: Mapping[str, int]
) -> dict[str, dict[str, float]] | None:
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


def _threads(expected: Mapping[str, Any]) -> str:
    return f"{expected['threads']} thread{'s' if expected['threads'] > 1 else ''}"
