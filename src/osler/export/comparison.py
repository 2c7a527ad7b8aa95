"""How near an artefact's answers are to those of the evaluated model, from prediction files alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from osler.evaluation import results
from osler.runs import BaseDistance, Estimate, ExportedSplit, LabelLogP, Prediction, read_predictions
from osler.statistics import Floats, wilson_interval
from osler.storage import sha256_file

# Mean |Δ log p| of labels between the evaluated model and its base below which training has changed nothing that an
# artefact could have lost: what rounding to bfloat16 does is of that size.
UNCHANGED = 0.01


def log_p_differences(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> Floats:
    """|Δ log p|, in nats, over the labels of the same cases in the same order, (cases · labels,). Log-probabilities
    that a file holds as 0 count as the smallest that it can hold."""
    differences = []
    for one, other in zip(ours, theirs, strict=True):
        a, b = (dict(zip(row.ranked, row.probabilities or (), strict=True)) for row in (one, other))
        for label in a:
            smaller, larger = sorted((a[label], b[label]))
            differences.append(np.log(max(larger, sys.float_info.min) / max(smaller, sys.float_info.min)))
    return np.array(differences)


def compare(
    tuned: Mapping[str, Path], answers: Mapping[str, Path], system: str, resamples: int
) -> tuple[ExportedSplit, ...]:
    """The record of every split. ``tuned`` and ``answers``: split → prediction file of the evaluated model and of the
    artefact, which is called ``system``.

    Raises :class:`InputError` where they are not of the same cases.
    """
    rows = []
    with TemporaryDirectory() as folder:
        files = [*tuned.values(), *answers.values()]
        scored = results.score(files, Path(folder) / "results.json", resamples, compared=system)
    for record in scored.records:
        ours, theirs = read_predictions(answers[record.split]), read_predictions(tuned[record.split])
        same = sum(one.answer == other.answer for one, other in zip(ours, theirs, strict=True))
        low, high = wilson_interval(same, record.n)
        differences = log_p_differences(ours, theirs)
        rows.append(
            ExportedSplit(
                split=record.split,
                n=record.n,
                accuracy=record.systems[system].metrics["accuracy"],
                compared=record.against(system)[theirs[0].system],
                same_first=Estimate(value=same / record.n, low=low, high=high, method="wilson"),
                log_p=LabelLogP(mean=float(differences.mean()), max=float(differences.max())),
                predictions_sha256=sha256_file(answers[record.split]),
            )
        )
    return tuple(rows)


def from_base(artefact: Path, tuned: Path, base: Path) -> BaseDistance:
    """How far an artefact is from the untuned base, on the cases that the base has answered."""
    untuned = read_predictions(base)
    files = ({row.case_id: row for row in read_predictions(path)} for path in (artefact, tuned))
    exported, trained = ([rows[row.case_id] for row in untuned] for rows in files)
    return BaseDistance(
        n=len(untuned),
        to_base=float(log_p_differences(exported, untuned).mean()),
        to_tuned=float(log_p_differences(exported, trained).mean()),
        tuned_to_base=float(log_p_differences(trained, untuned).mean()),
    )


def base_fault(distance: BaseDistance) -> str | None:
    """Why an artefact is not the model that was trained; None where it is, or training changed next to nothing."""
    if distance.tuned_to_base < UNCHANGED or distance.to_tuned < distance.to_base:
        return None
    return (
        f"it answers like the untuned base: on {distance.n} cases the log-probabilities of labels are"
        f" {distance.to_base:.3g} from the base's and {distance.to_tuned:.3g} from the evaluated model's (mean |Δ|)"
    )
