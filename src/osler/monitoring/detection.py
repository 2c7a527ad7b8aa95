"""Everything that is compared with an evaluation, and where it is told as an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from osler.monitoring import drift
from osler.monitoring.accuracy import Calibrated, recent_shortfall
from osler.monitoring.bins import MEANING, NUMBERS
from osler.monitoring.drift import BUDGET, CASES, WINDOW
from osler.monitoring.gaps import Subgroups
from osler.monitoring.observed import Observed
from osler.monitoring.records import Feature, Group, Kind, Swapped
from osler.monitoring.reference import Reference
from osler.statistics import Floats

FLIPS, ACCURACY = "share of other first answers", "change of accuracy"  # what swaps are told apart by


class Raised(NamedTuple):
    """An :class:`Alarm` before it is known when its case was asked."""

    kind: Kind
    about: str
    case: int
    value: float
    limit: float
    text: str


class Detectors:
    """What the cases of a stream are held against: those of an evaluation, with the limits that follow from them."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.watched = drift.watched_features(reference.cases, reference.watched)
        self.calibrated = Calibrated.of(reference.cases, reference.resamples)
        self.subgroups = Subgroups(reference.cases, reference.resamples)

    def psi(self, cases: Observed) -> dict[Feature, Floats]:
        """Feature → its PSI in each full window of ``cases``."""
        return {one.feature: drift.windowed_psi(one, cases) for one in self.watched}

    def alarms(
        self, cases: Observed, psi: Mapping[Feature, Floats], groups: Sequence[Group], calibrated: bool = True
    ) -> list[Raised]:
        """All of them, in the order of their cases; ``psi`` and ``groups`` are those of ``cases``, whose probabilities
        are ``calibrated`` or not."""
        found = [*self._drifted(cases, psi), *self._changed(cases), *unequal(len(cases), groups)]
        if calibrated and self.calibrated is not None:
            found += _wrong(cases, self.calibrated)
        return sorted(found, key=lambda one: one.case)

    def _drifted(self, cases: Observed, psi: Mapping[Feature, Floats]) -> Iterator[Raised]:
        """An alarm a feature where it leaves its limit; the windows after it in which it stays there add none."""
        for one in self.watched:
            beyond = psi[one.feature] > one.limit
            for number in np.flatnonzero(beyond & ~np.insert(beyond, 0, False)[:-1]).tolist():
                start, end = number * WINDOW, (number + 1) * WINDOW
                moved = one.bins.moved(self.reference.cases, cases.take(slice(start, end)), self.reference.named)
                seen = float(psi[one.feature][number])
                text = (
                    f"{MEANING[one.feature]}: cases {start + 1:,} to {end:,} are unlike the evaluation: {moved}"
                    f" (PSI {seen:.2f}, limit {one.limit:.2f})"
                )
                yield Raised("drift", one.feature, end, seen, one.limit, text)

    def _changed(self, cases: Observed) -> Iterator[Raised]:
        for feature in [one for one in self.reference.watched if one in NUMBERS]:
            values = NUMBERS[feature](cases)
            for place in drift.changes(feature, self.reference.cases, cases):
                earlier, recent = values[: max(0, place + 1 - WINDOW)], values[: place + 1][-WINDOW:]
                before = earlier if len(earlier) else NUMBERS[feature](self.reference.cases)
                was, now = float(np.nanmean(before)), float(np.nanmean(recent))
                text = f"{MEANING[feature]}: has changed by case {place + 1:,}: mean {was:.4g} before, {now:.4g} since"
                yield Raised("change", feature, place + 1, now, was, text)


def _wrong(cases: Observed, calibrated: Calibrated) -> Iterator[Raised]:
    """Where judged cases are right less often than their probabilities said."""
    away = False
    for end in range(WINDOW, len(cases) + 1, WINDOW):
        found = recent_shortfall(cases.confidence[:end], cases.right[:end], calibrated, _level("accuracy"))
        if found and found[0] < found[1] and not away:
            text = (
                f"accuracy: {found[0]:.3f} of the cases judged last, up to case {end:,}; their probabilities say above"
                f" {found[1]:.3f}"
            )
            yield Raised("accuracy", "realised accuracy", end, *found, text)
        away = bool(found and found[0] < found[1])


def unequal(n: int, groups: Sequence[Group]) -> Iterator[Raised]:
    """Subgroups whose gap over the first ``n`` cases is not that of the evaluation."""
    limit = _level("gap")
    for group in groups:
        for measure, p in group.changed.items():
            if p < limit:
                who, gap = f"{group.attribute} {group.value}", group.gap[measure]
                text = (
                    f"subgroup {who} (n = {group.n:,}): {measure} is {gap.value:+.3f} against the others, which is not"
                    f" the gap of the evaluation (p = {p:.1g} after Holm)"
                )
                yield Raised("gap", f"{who}, {measure}", n, p, limit, text)


def dependent(n: int, swaps: Sequence[Swapped]) -> Iterator[Raised]:
    """Swaps that do more to the answers to the first ``n`` cases, or less, than they did in the evaluation."""
    limit = _level("gap")
    for swap in swaps:
        for measure, p in swap.differs.items():
            if p < limit:
                seen = swap.flip_rate if measure == FLIPS else swap.change
                value = f"{seen.value:.3f}" if seen else "–"
                text = (
                    f"{swap.swap.replace('_', ' ')} (n = {swap.n:,}): {measure} is {value}, which is not as in the"
                    f" evaluation (p = {p:.1g} after Holm)"
                )
                yield Raised("gap", f"{swap.swap}, {measure}", n, p, limit, text)


def _level(kind: Kind) -> float:
    """The chance of a false alarm that a detector of this kind has at the end of a window."""
    return BUDGET.shares[kind] / CASES * WINDOW
