"""A model in use, watched: its cases held against its evaluation."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from datetime import datetime

from osler.errors import InputError
from osler.feedback import StoredPrediction, Verdict
from osler.monitoring.accuracy import Calibrated, accuracy_of
from osler.monitoring.detection import Detectors, dependent
from osler.monitoring.drift import BUDGET, WINDOW
from osler.monitoring.gaps import group_accuracies
from osler.monitoring.observed import Observed
from osler.monitoring.records import Alarm, Feature, Monitoring, ReferenceRecord, Shift, Swapped, Window
from osler.monitoring.reference import read_reference
from osler.runs import Run

NEEDED = ("river", "prometheus_client")


class Watch:
    """The detectors of an evaluated run.

    Raises :class:`InputError` as :func:`read_reference`, and where the extra `monitor` is not installed.
    """

    def __init__(self, run: Run) -> None:
        if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
            raise InputError(f"{', '.join(missing)}: not installed; pip install 'osler[monitor]'")
        self.manifest = run.read_manifest()
        self.detectors = Detectors(read_reference(run))

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

    def report(
        self,
        predictions: Sequence[StoredPrediction],
        verdicts: Sequence[Verdict] = (),
        swaps: Sequence[Swapped] | None = None,
    ) -> Monitoring:
        """What is seen in the answers of this model, and in those to the ``swaps`` that it was asked.

        Raises :class:`InputError` as :meth:`answered`.
        """
        answered = self.answered(predictions)
        cases, times = Observed.of(answered, verdicts), [one.at for one in answered]
        # A probability that is not calibrated says nothing of how often an answer is right.
        trusted = all(one.calibrated for one in answered)
        calibrated = self.detectors.calibrated if trusted else None
        psi, groups = self.detectors.psi(cases), self.detectors.subgroups.groups(cases, calibrated)
        limits = {one.feature: one.limit for one in self.detectors.watched}
        drifts = [
            {feature: Shift(psi=float(found[number]), limit=limits[feature]) for feature, found in psi.items()}
            for number in range(len(cases) // WINDOW)
        ]
        recipe, reference = self.manifest.recipe, self.detectors.reference
        return Monitoring(
            schema=1,
            model=recipe.name,
            version=recipe.version,
            task=self.manifest.task.name,
            window=WINDOW,
            n=len(cases),
            disputed=cases.disputed,
            reference=ReferenceRecord(
                split=reference.split,
                n=len(reference.cases),
                not_watched=dict(reference.not_watched),
                bias=self.detectors.calibrated.bias if self.detectors.calibrated else None,
            ),
            false_alarms=BUDGET,
            accuracy=accuracy_of(cases, calibrated),
            windows=tuple(_windows(cases, times, calibrated, drifts)),
            groups=tuple(groups),
            swaps=None if swaps is None else tuple(swaps),
            alarms=tuple(
                Alarm(**one._asdict(), at=times[one.case - 1])
                for one in (
                    *self.detectors.alarms(cases, psi, groups, trusted),
                    *dependent(len(cases), swaps or ()),
                )
            ),
        )


def _windows(
    cases: Observed,
    times: Sequence[datetime],
    calibrated: Calibrated | None,
    drifts: Sequence[dict[Feature, Shift]],
) -> list[Window]:
    windows = []
    for number, start in enumerate(range(0, len(cases), WINDOW)):
        own = cases.take(slice(start, start + WINDOW))
        windows.append(
            Window(
                n=len(own),
                begins=times[start],
                ends=times[start + len(own) - 1],
                drift=drifts[number] if number < len(drifts) else {},  # the last window may not be full
                accuracy=accuracy_of(own, calibrated),
                groups=group_accuracies(own, calibrated),
            )
        )
    return windows
