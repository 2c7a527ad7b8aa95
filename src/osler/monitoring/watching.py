"""A model in use, watched: its cases held against its evaluation, and what is told as an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np

from osler.errors import InputError
from osler.feedback import StoredPrediction, Verdict
from osler.monitoring import drift
from osler.monitoring.accuracy import Calibrated, accuracy_of, recent_shortfall
from osler.monitoring.bins import MEANING, NUMBERS
from osler.monitoring.drift import BUDGET, CASES, WINDOW, WatchedFeature
from osler.monitoring.gaps import Subgroups, group_accuracies
from osler.monitoring.observed import Observed
from osler.monitoring.records import Alarm, Group, Kind, Monitoring, ReferenceRecord, Shift, Window
from osler.monitoring.reference import Reference, read_reference
from osler.runs import Manifest, Run


class Raised(NamedTuple):
    """An :class:`Alarm` before it is known when its case was asked."""

    kind: Kind
    about: str
    case: int
    value: float
    limit: float
    text: str


@dataclass
class Watch:
    """What a model's cases are held against.

    Attributes:
        manifest: of its training: which model it is.
        reference: the cases of its evaluation.
    """

    manifest: Manifest
    reference: Reference
    _watched: list[WatchedFeature] = field(init=False)

    def __post_init__(self) -> None:
        self._watched = drift.watched_features(self.reference.cases, self.reference.watched)

    @classmethod
    def of(cls, run: Run) -> Watch:
        """Of an evaluated run. Raises :class:`InputError` as :func:`read_reference`."""
        return cls(run.read_manifest(), read_reference(run))

    @cached_property
    def _calibrated(self) -> Calibrated | None:
        return Calibrated.of(self.reference.cases, self.reference.resamples)

    def answered(self, predictions: Sequence[StoredPrediction]) -> list[StoredPrediction]:
        """Those of this model, in the order they were asked.

        Raises :class:`InputError` where there are none.
        """
        own = [one for one in predictions if one.weights_sha256 == self.manifest.adapter_sha256]
        if not own:
            others = sorted({f"{one.model}@{one.version}" for one in predictions})
            there = f"answers of {', '.join(others)} alone" if others else "no answers"
            raise InputError(
                f"the store has {there} in this period, and none of {self.manifest.recipe.name}"
                f"@{self.manifest.recipe.version} with these weights: name its run, or an earlier --since"
            )
        return sorted(own, key=lambda one: (one.at, one.id))

    def report(self, predictions: Sequence[StoredPrediction], verdicts: Sequence[Verdict] = ()) -> Monitoring:
        """What is seen in the answers of this model. Raises :class:`InputError` as :meth:`answered`."""
        answered = self.answered(predictions)
        cases, times = Observed.of(answered, verdicts), [one.at for one in answered]
        # A probability that is not calibrated says nothing of how often an answer is right.
        calibrated = self._calibrated if all(one.calibrated for one in answered) else None
        windows = self._windows(cases, times, calibrated)
        groups = Subgroups(self.reference.cases, self.reference.resamples, calibrated).groups(cases)
        raised = [*self._drifted(cases, windows), *self._changed(cases), *_unequal(len(cases), groups)]
        if calibrated is not None:
            raised += _wrong(cases, calibrated)
        recipe = self.manifest.recipe
        return Monitoring(
            schema=1,
            model=recipe.name,
            version=recipe.version,
            task=self.manifest.task.name,
            window=WINDOW,
            n=len(cases),
            disputed=cases.disputed,
            reference=ReferenceRecord(
                split=self.reference.split,
                n=len(self.reference.cases),
                not_watched=dict(self.reference.not_watched),
                bias=self._calibrated.bias if self._calibrated else None,
            ),
            false_alarms=BUDGET,
            accuracy=accuracy_of(cases, calibrated),
            windows=tuple(windows),
            groups=tuple(groups),
            alarms=tuple(
                Alarm(**one._asdict(), at=times[one.case - 1]) for one in sorted(raised, key=lambda one: one.case)
            ),
        )

    def _windows(self, cases: Observed, times: Sequence[datetime], calibrated: Calibrated | None) -> list[Window]:
        found = {one.feature: drift.windowed_psi(one, cases) for one in self._watched}
        windows = []
        for number, start in enumerate(range(0, len(cases), WINDOW)):
            own = cases.take(slice(start, start + WINDOW))
            full = len(own) == WINDOW
            windows.append(
                Window(
                    n=len(own),
                    begins=times[start],
                    ends=times[start + len(own) - 1],
                    drift={
                        one.feature: Shift(psi=float(found[one.feature][number]), limit=one.limit)
                        for one in self._watched
                        if full
                    },
                    accuracy=accuracy_of(own, calibrated),
                    groups=group_accuracies(own, calibrated),
                )
            )
        return windows

    def _drifted(self, cases: Observed, windows: Sequence[Window]) -> Iterator[Raised]:
        """An alarm a feature where it leaves its limit; the windows after it in which it stays there add none."""
        for one in self._watched:
            away = False
            for number, window in enumerate(windows):
                shift = window.drift.get(one.feature)
                if shift is None:
                    continue
                if shift.psi > shift.limit and not away:
                    start, end = number * WINDOW, (number + 1) * WINDOW
                    moved = one.bins.moved(self.reference.cases, cases.take(slice(start, end)))
                    told = f"cases {start + 1:,} to {end:,} are unlike the evaluation: {moved}"
                    text = f"{MEANING[one.feature]}: {told} (PSI {shift.psi:.2f}, limit {shift.limit:.2f})"
                    yield Raised("drift", one.feature, end, shift.psi, shift.limit, text)
                away = shift.psi > shift.limit

    def _changed(self, cases: Observed) -> Iterator[Raised]:
        for feature in self.reference.watched:
            if feature not in NUMBERS:
                continue
            values = NUMBERS[feature](cases)
            for place in drift.changes(feature, self.reference.cases, cases):
                earlier = values[: max(0, place + 1 - WINDOW)]
                before = earlier if len(earlier) else NUMBERS[feature](self.reference.cases)
                was, now = float(np.nanmean(before)), float(np.nanmean(values[: place + 1][-WINDOW:]))
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


def _unequal(n: int, groups: Sequence[Group]) -> Iterator[Raised]:
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


def _level(kind: Kind) -> float:
    """The chance of a false alarm that a detector of this kind has at the end of a window."""
    return BUDGET.shares[kind] / CASES * WINDOW
