"""The training rows of a recipe's own task, with augmented copies of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from osler.data.duplicates import leakage, normalise
from osler.errors import InputError
from osler.recipe import AugmentSection, DataSection, Recipe
from osler.tasks import Augmentation, Case, Cases, Task


@dataclass(frozen=True)
class TrainingRows:
    """Training rows of one task.

    Attributes:
        rows: augmented copies included.
        dropped: reason → how many rows of the source were left out.
        augmentation: the report on the copies, for ``data_report.json``; None without ``augment:``.
    """

    rows: list[Case]
    dropped: dict[str, int]
    augmentation: dict[str, Any] | None


class _Copy(NamedTuple):
    """A copy that is still to be made: of which row, which of its copies, and the augmentations to try, in order."""

    row: Case
    number: int
    augmentations: list[str]

    def case_id(self, augmentation: str) -> str:
        return f"{self.row.case_id}#{augmentation}-{self.number}"


def load_training_rows(recipe: Recipe, task: Task) -> TrainingRows:
    """The training rows of the recipe's own ``task``, with augmented copies where the recipe has ``augment:``.

    The same recipe gives the same rows in the same order. A copy is not made, but counted, where its text is held out,
    is a training text already, or holds a wording that training may not use.
    """
    source = source_rows(task, recipe.data, recipe.seed)
    if recipe.augment is None:
        return TrainingRows(source.rows, source.dropped, None)
    copies, report = _augmented_copies(source.rows, recipe, recipe.augment, task)
    rows = [*source.rows, *copies]
    random.Random(f"augmented/{recipe.seed}").shuffle(rows)
    return TrainingRows(rows, source.dropped, report)


def source_rows(task: Task, data: DataSection | None, seed: int) -> Cases:
    """The training rows of a task's source, without those that are, word for word or nearly, among the cases that the
    task keeps apart; these are counted."""
    cases = task.source.training(data, seed)
    held_out = [(name, case.text) for name, apart in task.kept_apart.items() for case in apart]
    if not held_out:
        return cases
    found = leakage([case.text for case in cases.rows], [text for _, text in held_out]).training
    dropped = Counter(cases.dropped)
    for match in found.values():
        dropped[f"text is {'' if match.exact else 'nearly '}in {held_out[match.row][0]}"] += 1
    return Cases([case for row, case in enumerate(cases.rows) if row not in found], dict(dropped))


def _augmented_copies(
    rows: Sequence[Case], recipe: Recipe, augment: AugmentSection, task: Task
) -> tuple[list[Case], dict[str, Any]]:
    """The copies, and the report on them.

    Each copy is tried with one augmentation after another until one gives a text that training may have.
    """
    skipped = _unavailable(augment)
    strengths = {name: strength for name, strength in augment.strengths.items() if name not in skipped}
    excluded = {normalise(row.text): "text stands in training already" for row in rows}
    for split in task.splits:
        excluded |= {normalise(row.text): "text is in a held-out split" for row in task.source.split(split)}
    pending = [
        _Copy(row, number, _augmentation_order(row, number, list(strengths), recipe.seed))
        for row in rows
        for number in range(1, augment.copies + 1)
    ]
    augment_text = task.source.augmenter(recipe.data, recipe.seed)
    copies: list[Case] = []
    made: Counter[str] = Counter()
    refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for turn in range(len(strengths)):
        failed: list[_Copy] = []
        for name in sorted({copy.augmentations[turn] for copy in pending}):
            batch = [copy for copy in pending if copy.augmentations[turn] == name]
            augmentation = Augmentation(name, strengths[name], recipe.seed)
            if name == "back_translation":
                texts = _back_translated(batch, augmentation, augment)
            else:
                texts = [augment_text(copy.row, augmentation, copy.case_id(name)) for copy in batch]
            for copy, text in zip(batch, texts, strict=True):
                row, words = copy.row, normalise(text)
                reason = excluded.get(words)
                if text.split() == row.text.split():
                    reason = "nothing to change"
                elif task.source.held_out_wordings(text) - task.source.held_out_wordings(row.text):
                    reason = "holds a wording that is held out"
                if reason:
                    refused[name][reason] += 1
                    failed.append(copy)
                    continue
                excluded[words] = "text stands in training already"
                made[name] += 1
                copies.append(replace(row, case_id=copy.case_id(name), text=text, source=f"{row.source}+{name}"))
        pending = failed
    return copies, {
        "copies": augment.copies,
        "strengths": augment.strengths,
        "rows": {name: made[name] for name in strengths},
        "refused": {name: dict(reasons) for name, reasons in sorted(refused.items())},
        "not_made": len(pending),
        "skipped": skipped,
    }


def _augmentation_order(row: Case, number: int, names: Sequence[str], seed: int) -> list[str]:
    """Which augmentation makes a copy and, where it cannot, which one then. Each copy of a row begins with another."""
    order = random.Random(f"augmentation/{seed}/{row.case_id}").sample(names, len(names))
    first = (number - 1) % len(order) if order else 0
    return order[first:] + order[:first]


def _back_translated(copies: Sequence[_Copy], augmentation: Augmentation, augment: AugmentSection) -> list[str]:
    from osler.data import back_translation  # imports torch

    assert augment.back_translation is not None
    dice = [augmentation.dice(copy.case_id(augmentation.name)) for copy in copies]
    return back_translation.back_translate([copy.row.text for copy in copies], augment.back_translation, dice)


def _unavailable(augment: AugmentSection) -> dict[str, str]:
    """Augmentations whose model cannot be had, and why."""
    if augment.back_translation is None:
        return {}
    from osler.data import back_translation  # imports torch

    try:
        back_translation.model_folders(augment.back_translation)
    except InputError as error:
        print(f"augment.back_translation: skipped: {error}")
        return {"back_translation": str(error)}
    return {}
