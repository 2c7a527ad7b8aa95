"""Subgroups of the cases in use: how each fares beside the others, and whether that is as in the evaluation.

The evaluation's test of subgroups, run on a stream. Differences between groups that were there in the evaluation are
shown and raise no alarm here: its report and the model card tell them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from osler.monitoring.accuracy import Calibrated, accuracy_of
from osler.monitoring.observed import Observed
from osler.monitoring.records import Accuracy, Group
from osler.runs import Estimate
from osler.statistics import Floats, Resamples, resampled_mean, significance

MIN_SUBGROUP = 10  # cases; as in an evaluation, the accuracy of fewer is not given
MIN_TESTED = 30  # cases on both sides: below, the normal distribution says too little of so small p values
ESTIMATED = "estimated accuracy"
MEASURES: dict[str, Callable[[Observed], Floats]] = {
    ESTIMATED: lambda cases: cases.confidence,
    "share too unsure": lambda cases: cases.abstained,
    "realised accuracy": lambda cases: cases.right,
}


class Gap(NamedTuple):
    """A mean in a group minus that of the other cases, its standard error, and the cases of the smaller side."""

    value: float
    error: float
    n: int


@dataclass(frozen=True)
class Subgroups:
    """The subgroups of an evaluation's cases, to hold those of a stream against."""

    reference: Observed
    resamples: Resamples

    def groups(self, cases: Observed, calibrated: Calibrated | None) -> list[Group]:
        """Every subgroup of ``cases``; what probabilities say is left out where they are not ``calibrated``."""
        found = list(_members(cases))
        gaps = [_gaps(cases, among, [one for one in MEASURES if calibrated or one != ESTIMATED]) for *_, among in found]
        tests = [
            (number, measure, _p_value(gap, before))
            for number, ((attribute, value, _), of) in enumerate(zip(found, gaps, strict=True))
            for measure, gap in of.items()
            if gap.n >= MIN_TESTED and (before := self._gap_before(attribute, value, measure)) is not None
        ]
        adjusted = significance.holm([p for _, _, p in tests])
        changed: list[dict[str, float]] = [{} for _ in found]
        for (number, measure, _), p in zip(tests, adjusted, strict=True):
            changed[number][measure] = p
        return [
            Group(
                attribute=attribute,
                value=value,
                n=int(among.sum()),
                accuracy=_accuracy(cases, among, calibrated),
                gap={measure: _estimate(gap) for measure, gap in of.items()},
                changed=now,
            )
            for (attribute, value, among), of, now in zip(found, gaps, changed, strict=True)
        ]

    def _gap_before(self, attribute: str, value: str, measure: str) -> Gap | None:
        """The gap in the evaluation, whose publications are resampled for its error; None where there were too few."""
        among = self.reference.subgroup(attribute, value)
        values = MEASURES[measure](self.reference)
        n = int(min(among.sum(), (~among).sum()))
        if n < MIN_TESTED or np.isnan(values).any() or self.resamples.too_few:
            return None
        sides = [resampled_mean(values, self.resamples.counts, side) for side in (among, ~among)]
        return Gap(float(values[among].mean() - values[~among].mean()), float(np.nanstd(sides[0] - sides[1])), n)


def group_accuracies(cases: Observed, calibrated: Calibrated | None) -> dict[str, dict[str, Accuracy]]:
    """Attribute → value → what is known of its cases, of those with enough."""
    told: dict[str, dict[str, Accuracy]] = {}
    for attribute, value, among in _members(cases):
        if (known := _accuracy(cases, among, calibrated)) is not None:
            told.setdefault(attribute, {})[value] = known
    return told


def _members(cases: Observed) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    pairs = sorted({pair for own in cases.subgroups for pair in own.items()})
    return ((attribute, value, cases.subgroup(attribute, value)) for attribute, value in pairs)


def _accuracy(cases: Observed, among: npt.NDArray[np.bool_], calibrated: Calibrated | None) -> Accuracy | None:
    enough = among.sum() >= MIN_SUBGROUP
    return accuracy_of(cases.take(np.flatnonzero(among)), calibrated) if enough else None


def _gaps(cases: Observed, among: npt.NDArray[np.bool_], measures: Iterable[str]) -> dict[str, Gap]:
    """Measure → its gap, of those that both sides have enough cases of."""
    gaps = {}
    for measure in measures:
        values = MEASURES[measure](cases)
        sides = [values[side & ~np.isnan(values)] for side in (among, ~among)]
        if (n := min(map(len, sides))) >= MIN_SUBGROUP:
            one, other = sides
            gaps[measure] = Gap(float(one.mean() - other.mean()), math.hypot(*map(_error, sides)), n)
    return gaps


def _error(values: Floats) -> float:
    """The standard error of a mean. Shares of few cases get one right and one wrong case more, or none right would have
    no error: Agresti & Caffo (2000), Am. Stat. 54:280."""
    if np.isin(values, (0, 1)).all():
        values = np.append(values, [0, 1])
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _estimate(gap: Gap) -> Estimate:
    reach = float(norm.ppf(0.975)) * gap.error
    return Estimate(value=gap.value, low=gap.value - reach, high=gap.value + reach, method="normal")


def _p_value(now: Gap, before: Gap) -> float:
    error = math.hypot(now.error, before.error)
    return float(2 * norm.sf(abs(now.value - before.value) / error)) if error else 1.0
