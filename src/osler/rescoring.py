"""Published weights asked once more: are these the answers that were published? For publishing and for reproducing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osler.errors import InputError
from osler.narrative import stable_unit
from osler.prediction_file import Prediction, read_predictions
from osler.recipe import Recipe
from osler.run import Run, tuned_name

if TYPE_CHECKING:  # osler.task imports transformers
    from osler.task import Task

BOUND = 1e-3  # of the difference between two probabilities of a label


@dataclass(frozen=True)
class Agreement:
    """How the published answers of one system to one split compare with its answers now.

    Attributes:
        split, system: whose answers these are.
        n: the cases compared.
        same_first_label, same_ranking: of how many the first label, and all of the ranking, is what it was.
        max_probability_difference: of any label of any case; None for a system without probabilities.
        first: the first case that differs by more than may be, and how, in one line; None where the answers agree:
            no probability has moved by more than :data:`BOUND`, and no two labels further apart than it have changed
            places. Without probabilities every ranking, and every text, has to be the same.
    """

    split: str
    system: str
    n: int
    same_first_label: int
    same_ranking: int
    max_probability_difference: float | None
    first: str | None

    @property
    def holds(self) -> bool:
        """Whether the answers agree."""
        return self.first is None


def rescore(
    run: Run, recipe: Recipe, task: Task, system: str, splits: Sequence[str], limit: int | None = None
) -> list[Agreement]:
    """Have ``system`` answer the cases of ``splits`` again and compare with the run's prediction files, split by split.

    ``system`` is the tuned model (adapter on the base) or the merged one; its weights are those in ``run``, which may
    be a downloaded version. Nothing is written into it. With ``limit`` only that many cases of a split are answered,
    those that a stable hash of the case id puts first. A split whose data is not on this machine is left out.

    Raises:
        InputError: a prediction file, the weights, or a published case is not there; the case has another label, or
            the task another prompt, than was published.
    """
    asked: dict[str, list[Prediction]] = {}
    rows = {split: {row["case_id"]: row for row in task.source.split(split)} for split in splits}
    for split in [split for split in splits if rows[split]]:
        path = run.answers(task.name, split, system)
        published = read_predictions(path)
        asked[split] = sorted(published, key=lambda row: stable_unit(f"rescore/{row.case_id}"))[:limit]
        for row in asked[split]:
            case = rows[split].get(row.case_id)
            if case is None or case["label"] != row.label:
                now = "is not in the data" if case is None else f"has the label {case['label']!r}"
                raise InputError(
                    f"{path}: {row.case_id} (label {row.label!r}) {now} on this machine: other data than was published"
                )
            if row.prompt_sha256 not in (None, task.prompt.sha256):
                raise InputError(
                    f"{path}: asked with the prompt {str(row.prompt_sha256)[:12]}…, but tasks/{task.name} has"
                    f" {task.prompt.sha256[:12]}…: bring back the published one"
                )
    if not asked:
        return []
    from osler import model, prediction

    # In the order of the data, so that the batches of all cases are those of the evaluation.
    cases = {split: [rows[split][id] for id in rows[split] if id in {p.case_id for p in asked[split]}] for split in asked}
    tokenizer = model.load_tokenizer(recipe.base)
    tuned = system == tuned_name(recipe)
    loaded = model.load_tuned(recipe.base, run.adapter) if tuned else model.load_merged(recipe.base, run.merged)
    scorer = prediction.scorer(task.scorer or recipe.evaluation.scorer, loaded.eval(), tokenizer, task)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for split, of_split in cases.items():
            path = Path(folder) / f"{split}.jsonl"
            prediction.predict(of_split, system, split, task, scorer, path)
            found.append(compare(asked[split], read_predictions(path)))
    return found


def compare(published: Sequence[Prediction], again: Sequence[Prediction]) -> Agreement:
    """Hold two systems of answers to the same cases of one split against one another."""
    now = {row.case_id: row for row in again}
    pairs = [(row, now[row.case_id]) for row in published]
    moved = [_moved(*pair) for pair in pairs]
    return Agreement(
        published[0].split,
        published[0].system,
        len(pairs),
        sum(was.answer == row.answer for was, row in pairs),
        sum(was.ranked == row.ranked for was, row in pairs),
        max((m for m in moved if m is not None), default=None),
        next((text for pair in pairs if (text := _differs(*pair))), None),
    )


def _probabilities(row: Prediction) -> Mapping[str, float] | None:
    return None if row.probabilities is None else dict(zip(row.ranked, row.probabilities, strict=True))


def _moved(was: Prediction, now: Prediction) -> float | None:
    """The largest difference of a label's probability; a label that is not ranked has 0."""
    before, after = _probabilities(was), _probabilities(now)
    if before is None or after is None:
        return None
    return max((abs(before.get(label, 0) - after.get(label, 0)) for label in {*before, *after}), default=0.0)


def _differs(was: Prediction, now: Prediction) -> str | None:
    """What is not the same, beyond :data:`BOUND`."""
    moved, before = _moved(was, now), _probabilities(was)
    where = f"{was.split}, {was.case_id}"
    if was.text != now.text:
        return f"{where}: wrote another text"
    if moved is None or before is None:
        if was.ranked != now.ranked or (was.probabilities is None) != (now.probabilities is None):
            return f"{where}: answers {now.answer or 'nothing'!r}, published {was.answer or 'nothing'!r}, or ranks others"
        return None
    if moved > BOUND:
        return f"{where}: a probability differs by {moved:.2g}, more than {BOUND:g}"
    lowest = ("", 2.0)
    for label in now.ranked:  # behind a label that was further behind than the bound allows?
        if before.get(label, 0) - lowest[1] > BOUND:
            return f"{where}: {lowest[0]!r} is ranked before {label!r}, which was ahead by more than {BOUND:g}"
        lowest = min(lowest, (label, before.get(label, 0.0)), key=lambda item: item[1])
    return None
