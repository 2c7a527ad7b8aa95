"""Every metric of one system on one split, each with its interval.

Values come from the modules in ``osler/metrics``. The interval of a metric is of the method whose simulated coverage
was right for it (``docs/decisions/statistics.md`` has the figures), from the same resamples for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from osler.runs import Prediction
from osler.statistics import Floats, Ints, intervals, resampling

AVERAGED_OVER_LABELS = ("balanced_accuracy", "recall", "precision", "macro_f1", "weighted_f1", "average_precision")
MIN_GROUPS = 5  # effective ones; with fewer, bootstrap intervals hold a mean in half to four fifths of the samples


MethodInterval = tuple[float | None, float | None, str]


@dataclass(frozen=True)
class Resamples:
    """``counts`` (resamples, cases) of :func:`resample_counts`, drawn over ``groups`` if not None."""

    counts: Floats
    groups: Ints | None

    @property
    def units(self) -> float:
        """How many independent units there are: cases, or effective groups of them."""
        return float(self.counts.shape[1]) if self.groups is None else intervals.effective_groups(self.groups)

    @property
    def too_few(self) -> bool:
        """Whether there are too few groups for resampling them to say anything."""
        return self.groups is not None and self.units < MIN_GROUPS

    def method(self, name: str) -> str:
        """The name of a bootstrap method, which says so where groups of cases were drawn, or were too few."""
        return "too_few_groups" if self.too_few else name if self.groups is None else f"cluster_{name}"


def columns_of(rows: Sequence[Prediction]) -> dict[str, Any]:
    """The predictions as columns, named as the metric modules name what they take; only those the system has.

    ``ranked`` is there where some ranking holds two labels or more; ``probabilities`` (cases, panel), its ``labels``,
    and ``confidences`` where every answer has probabilities over two labels or more. An answer that could not be parsed
    has none, and no number is made up for it.
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
        for case, row in enumerate(rows):
            probabilities[case, [column[label] for label in row.ranked]] = row.probabilities
        # Files are rounded; what is built on the sum being one (temperatures, scikit-learn) wants it exact.
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        columns |= {"labels": labels, "probabilities": probabilities, "confidences": probabilities.max(axis=1)}
    return columns


def label_columns(columns: dict[str, Any]) -> Ints:
    """The column in ``probabilities`` of each case's label."""
    column = {label: position for position, label in enumerate(columns["labels"])}
    return np.array([column[label] for label in columns["references"]])


class Measurement:
    """The metrics of one system and their intervals; what several metrics need is computed once."""

    def __init__(self, columns: dict[str, Any], resamples: Resamples) -> None:
        self.columns, self.resamples = columns, resamples
        self.correct = np.array(columns["predictions"]) == np.array(columns["references"])

    def values(self, metrics: Sequence[Any]) -> dict[str, Any]:
        """Metric name to ``{value, low, high, method}``, of the modules whose columns the system has.

        ``low`` and ``high`` are null where cases come in too few groups for an interval, or no resample has one
        (``method`` says which). Left out are metrics that are not defined on these cases (NaN), and those of rankings
        shorter than they ask for: they would be read as poor rankings.
        """
        values = {}
        for metric in metrics:
            if not metric.features.keys() <= self.columns.keys():
                continue
            inputs = {name: self.columns[name] for name in metric.features}
            if "probabilities" in inputs:
                inputs["labels"] = self.columns["labels"]
            # _compute and not compute: that one writes an Arrow table a call.
            for name, value in metric._compute(**inputs).items():
                if not math.isnan(value) and not self._too_short(name):
                    low, high, method = self._interval(metric, name, value, inputs)
                    values[name] = {"value": value, "low": low, "high": high, "method": method}
        return values

    def proportion(self, successes: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_] | None = None) -> dict:
        """A share of the cases, or of those in ``among``, with its interval, as ``results.json`` holds it."""
        groups = self.resamples.groups
        if among is not None:
            successes = successes[among]
            groups = None if groups is None else np.unique(groups[among], return_inverse=True)[1]
        low, high = intervals.proportion_interval(successes, groups)
        method = "wilson" if groups is None else "wilson_effective_n"
        return {"value": float(successes.mean()), "low": low, "high": high, "method": method}

    def _too_short(self, name: str) -> bool:
        if not name.startswith(("top_", "sensitivity_at_k")):
            return False
        lengths = [len(labels) for labels in self.columns["ranked"] if labels]
        if name.startswith("top_"):
            return int(name.split("_")[1]) > max(lengths)
        return min(lengths) < len(set().union(*self.columns["ranked"]))

    def _interval(self, metric: Any, name: str, value: float, inputs: dict[str, Any]) -> MethodInterval:
        units, groups = self.resamples.units, self.resamples.groups
        values = self._per_case.get(name)
        if values is not None and values.dtype == bool:
            share = self.proportion(values)
            return share["low"], share["high"], share["method"]
        if self.resamples.too_few:
            return None, None, self.resamples.method("")
        if values is not None:
            replicates = resampling.resampled_mean(values, self.resamples.counts)
            if groups is not None:
                return self.percentile_interval(replicates)
            return *intervals.bca_interval(values, replicates), "bootstrap_bca"
        if metric.name == "ece":
            return *self._calibration_error[name], self.resamples.method("bootstrap_bounds")
        replicates = self._replicates(metric, name, inputs)
        if np.isnan(replicates).all():
            return None, None, "undefined_on_all_resamples"
        if metric.name == "selective_accuracy":
            answered = len(self.correct) * int(name.rpartition("_")[2]) / 100
            interval = intervals.selective_interval(value, replicates, answered, groups)
            return *interval, "wilson_effective_n"
        if name in AVERAGED_OVER_LABELS:
            return *intervals.normal_interval(value, replicates, units), self.resamples.method("bootstrap_normal")
        return self.percentile_interval(replicates)

    def percentile_interval(self, replicates: Floats) -> MethodInterval:
        """The interval of anything, from its values on the resamples."""
        if self.resamples.too_few:
            return None, None, self.resamples.method("")
        return *intervals.percentile_interval(replicates, self.resamples.units), self.resamples.method(
            "bootstrap_percentile"
        )

    def _replicates(self, metric: Any, name: str, inputs: dict[str, Any]) -> Floats:
        if metric.name in ("macro_roc_auc", "micro_roc_auc", "average_precision"):
            return self._areas[name]
        if metric.name in ("selective_accuracy", "aurc"):
            return self._selective[name]
        if name in AVERAGED_OVER_LABELS:
            return self._label_metrics[name]
        return self._recomputed(metric, name, inputs)

    def _recomputed(self, metric: Any, name: str, inputs: dict[str, Any]) -> Floats:
        """A metric that has no vectorised form on every resample, a call each: seconds, not milliseconds."""
        replicates = []
        for counts in self.resamples.counts:
            drawn = np.repeat(np.arange(len(counts)), counts.astype(int))
            sample = {
                column: cells if column == "labels" else [cells[case] for case in drawn]
                for column, cells in inputs.items()
            }
            replicates.append(float(metric._compute(**sample)[name]))
        return np.array(replicates)

    @cached_property
    def _per_case(self) -> dict[str, npt.NDArray[Any]]:
        """The metrics that are a mean of one value a case; booleans make a proportion."""
        references, columns = self.columns["references"], self.columns
        values: dict[str, npt.NDArray[Any]] = {"accuracy": self.correct, "parse_rate": np.array(columns["parsed"])}
        if "ranked" in columns:
            pairs = zip(columns["ranked"], references, strict=True)
            ranks = np.array([labels.index(label) + 1 if label in labels else math.inf for labels, label in pairs])
            panel = max(map(len, columns["ranked"]))
            values |= {f"top_{k}_accuracy": ranks <= k for k in (3, 5)}
            values |= {"mrr": 1 / ranks, "sensitivity_at_k_auc": np.maximum(0, panel + 1 - ranks) / panel}
        if "probabilities" in columns:
            given = columns["probabilities"][np.arange(len(references)), label_columns(self.columns)]
            values["brier"] = (columns["probabilities"] ** 2).sum(axis=1) - 2 * given + 1
            values["log_loss"] = -np.log(np.clip(given, np.finfo(np.float64).eps, None))
        return values

    @cached_property
    def _label_metrics(self) -> dict[str, Floats]:
        references, predictions = self.columns["references"], self.columns["predictions"]
        return resampling.resampled_label_metrics(references, predictions, self.resamples.counts)

    @cached_property
    def _areas(self) -> dict[str, Floats]:
        return resampling.resampled_areas(
            self.columns["probabilities"], label_columns(self.columns), self.resamples.counts
        )

    @cached_property
    def _selective(self) -> dict[str, Floats]:
        return resampling.resampled_selective(self.columns["confidences"], self.correct, self.resamples.counts)

    @cached_property
    def _calibration_error(self) -> dict[str, intervals.Interval]:
        resampled = resampling.resampled_calibration_error(
            self.columns["confidences"], self.correct, self.resamples.counts
        )
        return intervals.calibration_error_intervals(*resampled, self.resamples.units)
