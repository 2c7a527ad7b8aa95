"""Every metric of one system on one split, each with its interval; the same resamples for all.

A metric is one file, ``osler/metrics/<name>/<name>.py``, that holds an ``evaluate.Metric``. What ``_compute`` returns
are its values, and their intervals are by default the percentiles of what it returns on every resample, which takes
seconds. A metric may bring, besides ``_compute``, one of these, which take the same columns:

* ``per_case(**columns)``: name → one value a case, of which the metric is the mean. Booleans make a proportion, with
  Wilson's interval; floats have BCa's, over groups of cases the percentiles. A name that it leaves out is not measured.
* ``replicates(counts, **columns)``: name → the values on the resamples, ``counts`` (resamples, cases) being how often
  each holds each case. The attribute ``interval`` names the method they are used by: ``percentile`` or ``normal``.
* ``intervals(values, resamples, **columns)``: name → ``(low, high, method)``, for a method of its own.

The attribute ``calibration = True`` says that a metric judges the probabilities themselves: it is given again after
they were tempered. Which method is right for which metric was simulated: ``docs/decisions/evaluation.md``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from osler.runs import Prediction
from osler.statistics import Ints, MethodInterval, Resamples, intervals
from osler.storage import checkout

METRICS = checkout.PACKAGE / "metrics"


def load_metrics() -> list[Any]:
    """Every ``evaluate.Metric`` in ``osler/metrics``, by local path: a metric is added by adding its file."""
    # `python scripts/evaluate.py` puts scripts/ first on the path, where `import evaluate` would find that script.
    path = list(sys.path)
    sys.path[:] = [entry for entry in path if not (Path(entry) / "evaluate.py").is_file()]
    try:
        import evaluate  # slow: it imports transformers, and torch where there is one
    finally:
        sys.path[:] = path
    return [evaluate.load(str(file), keep_in_memory=True) for file in sorted(METRICS.glob("*/*.py"))]


def prediction_columns(rows: Sequence[Prediction]) -> dict[str, Any]:
    """The predictions as columns, named as the metric modules name what they take; only those the system has.

    ``ranked`` is there where some ranking holds two labels or more; ``probabilities`` (cases, panel), its ``labels``,
    those among them that a case's answer has ``named`` (cases, panel), and ``confidences`` where every answer has
    probabilities over two labels or more. An answer that could not be parsed has none, and no number is made up for it.
    """
    columns: dict[str, Any] = {
        "references": [row.label for row in rows],
        "predictions": [row.answer for row in rows],
        "parsed": [row.parsed for row in rows],
    }
    ranked = [list(row.ranked) if row.parsed else [] for row in rows]
    if max(map(len, ranked)) < 2:
        return columns
    columns["ranked"] = ranked
    if all(row.parsed and row.probabilities is not None for row in rows):
        labels = sorted(set(columns["references"]).union(*ranked))
        column = {label: position for position, label in enumerate(labels)}
        probabilities = np.zeros((len(rows), len(labels)))
        named = np.zeros(probabilities.shape, dtype=bool)
        for case, row in enumerate(rows):
            places = [column[label] for label in row.ranked]
            probabilities[case, places], named[case, places] = row.probabilities, True
        # Files are rounded; what is built on the sum being one (temperatures, scikit-learn) wants it exact.
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        columns |= {"labels": labels, "probabilities": probabilities, "confidences": probabilities.max(axis=1)}
        columns["named"] = named
    return columns


def label_columns(columns: dict[str, Any]) -> Ints:
    """The column in ``probabilities`` of each case's label."""
    column = {label: position for position, label in enumerate(columns["labels"])}
    return np.array([column[label] for label in columns["references"]])


def proportion(
    successes: npt.NDArray[np.bool_], groups: Ints | None, among: npt.NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """A share of the cases, or of those in ``among``, with its interval, as ``results.json`` holds it."""
    if among is not None:
        successes = successes[among]
        groups = None if groups is None else np.unique(groups[among], return_inverse=True)[1]
    low, high = intervals.proportion_interval(successes, groups)
    method = "wilson" if groups is None else "wilson_effective_n"
    return {"value": float(successes.mean()), "low": low, "high": high, "method": method}


class Measurement:
    """The columns of one system on one split, measured."""

    def __init__(self, columns: dict[str, Any], resamples: Resamples) -> None:
        self.columns, self.resamples = columns, resamples
        self.correct = np.array(columns["predictions"]) == np.array(columns["references"])

    def measure(self, metric: Any) -> dict[str, Any]:
        """Name to ``{value, low, high, method}`` of all that a metric module measures.

        ``low`` and ``high`` are null where cases come in too few groups for an interval, or no resample has one
        (``method`` says which). Nothing where the system lacks its columns; left out are values that are not defined on
        these cases (NaN), and those of rankings shorter than they ask for: they would be read as poor rankings.
        """
        if not metric.features.keys() <= self.columns.keys():
            return {}
        columns = {name: self.columns[name] for name in metric.features}
        if "probabilities" in columns:
            columns["labels"] = self.columns["labels"]
        # _compute and not compute: that one writes an Arrow table a call.
        values = {name: value for name, value in metric._compute(**columns).items() if not math.isnan(value)}
        return {
            name: {"value": values[name], "low": low, "high": high, "method": method}
            for name, (low, high, method) in self._intervals(metric, values, columns).items()
        }

    def proportion(self, successes: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_] | None = None) -> dict:
        """:func:`proportion` of these cases."""
        return proportion(successes, self.resamples.groups, among)

    def _intervals(
        self, metric: Any, values: Mapping[str, float], columns: Mapping[str, Any]
    ) -> dict[str, MethodInterval]:
        """The intervals of what is measured of ``values``, by what the metric brings."""
        if hasattr(metric, "per_case"):
            per_case = metric.per_case(**columns)
            return {name: self._mean_interval(per_case[name]) for name in values if name in per_case}
        if self.resamples.too_few:
            return dict.fromkeys(values, (None, None, "too_few_groups"))
        if hasattr(metric, "intervals"):
            own: dict[str, MethodInterval] = metric.intervals(values, self.resamples, **columns)
            return own
        if hasattr(metric, "replicates"):
            replicates = metric.replicates(self.resamples.counts, **columns)
        else:
            replicates = self._recomputed(metric, values, columns)
        method = getattr(metric, "interval", "percentile")
        return {name: self.resamples.interval(value, replicates[name], method) for name, value in values.items()}

    def _mean_interval(self, values: npt.NDArray[Any]) -> MethodInterval:
        if values.dtype != bool:
            return self.resamples.mean_interval(values)
        share = self.proportion(values)
        return share["low"], share["high"], share["method"]

    def _recomputed(
        self, metric: Any, names: Iterable[str], columns: Mapping[str, Any]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """The metric computed on every resample, its cases drawn out: seconds, not milliseconds."""
        computed = []
        for counts in self.resamples.counts:
            drawn = np.repeat(np.arange(len(counts)), counts.astype(int))
            computed.append(
                metric._compute(
                    **{
                        name: cells if name == "labels" else [cells[case] for case in drawn]
                        for name, cells in columns.items()
                    }
                )
            )
        return {name: np.array([float(values[name]) for values in computed]) for name in names}
