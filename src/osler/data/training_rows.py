"""The training rows of a recipe: those of its task, and augmented copies of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osler.errors import InputError
from osler.tasks import Augmentation

if TYPE_CHECKING:
    from osler.recipe import Recipe
    from osler.tasks import Case, Task


@dataclass(frozen=True)
class Training:
    """The training rows of a task, what was left out of them, and what ``data_report.json`` says of their copies."""

    rows: list[Case]
    dropped: dict[str, int]
    augmentation: dict[str, Any] | None


def training(recipe: Recipe, task: Task) -> Training:
    """The training rows of the recipe's own ``task``, with their augmented copies where it has ``augment:``.

    The same recipe gives the same rows in the same order. Copies that would put a held-out text, a wording training may
    not use or a text that is there already into training are not made, and are counted.
    """
    learnt = task.source.training(recipe.data, recipe.seed)
    if recipe.augment is None:
        return Training(learnt.rows, learnt.dropped, None)
    copies, report = _copies(learnt.rows, recipe, task)
    rows = [*learnt.rows, *copies]
    random.Random(f"augmented/{recipe.seed}").shuffle(rows)
    return Training(rows, learnt.dropped, report)


def _copies(rows: Sequence[Case], recipe: Recipe, task: Task) -> tuple[list[Case], dict[str, Any]]:
    from osler.data.contamination import normalise

    assert recipe.augment is not None
    skipped = _missing_models(recipe)
    strengths = {name: share for name, share in recipe.augment.strengths.items() if name not in skipped}
    there = {normalise(row.text): "text stands in training already" for row in rows}
    for split in task.splits:
        there |= {normalise(row.text): "text is in a held-out split" for row in task.source.split(split)}
    waiting = [
        (row, number, _turns(row, number, list(strengths), recipe.seed))
        for row in rows
        for number in range(1, recipe.augment.copies + 1)
    ]
    told = task.source.augmenter(recipe.data, recipe.seed)
    made: list[tuple[str, Case]] = []
    refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for turn in range(len(strengths)):
        still = []
        for name, wanted in _by_name(waiting, turn):
            copy_ids = [f"{row.case_id}#{name}-{number}" for row, number, _ in wanted]
            originals = [row for row, _, _ in wanted]
            augmentation = Augmentation(name, strengths[name], recipe.seed)
            if name == "back_translation":
                texts = _back_translated(originals, copy_ids, augmentation, recipe)
            else:
                texts = [told(row, augmentation, copy_id) for row, copy_id in zip(originals, copy_ids, strict=True)]
            for item, copy_id, text in zip(wanted, copy_ids, texts, strict=True):
                row, words = item[0], normalise(text)
                reason = there.get(words)
                if text.split() == row.text.split():
                    reason = "nothing to change"
                elif task.source.held_out_wordings(text) - task.source.held_out_wordings(row.text):
                    reason = "holds a wording that is held out"
                if reason:
                    refused[name][reason] += 1
                    still.append(item)
                    continue
                there[words] = "text stands in training already"
                made.append((name, replace(row, case_id=copy_id, text=text, source=f"{row.source}+{name}")))
        waiting = still
    return [copy for _, copy in made], {
        "copies": recipe.augment.copies,
        "strengths": recipe.augment.strengths,
        "rows": {name: sum(name == other for other, _ in made) for name in strengths},
        "refused": {name: dict(reasons) for name, reasons in sorted(refused.items())},
        "not_made": len(waiting),
        "skipped": skipped,
    }


def _turns(row: Case, number: int, names: Sequence[str], seed: int) -> list[str]:
    """By which augmentation a copy is made and, where that one cannot, by which then; each copy begins with another."""
    order = random.Random(f"augmentation/{seed}/{row.case_id}").sample(names, len(names))
    first = (number - 1) % len(order) if order else 0
    return order[first:] + order[:first]


def _by_name(waiting: Sequence[tuple[Case, int, list[str]]], turn: int) -> list[tuple[str, list[Any]]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for item in waiting:
        groups[item[2][turn]].append(item)
    return sorted(groups.items())


def _back_translated(
    rows: Sequence[Case], copy_ids: Sequence[str], augmentation: Augmentation, recipe: Recipe
) -> list[str]:
    from osler.data import back_translation

    assert recipe.augment is not None
    assert recipe.augment.back_translation is not None
    dice = [augmentation.dice(copy_id) for copy_id in copy_ids]
    return back_translation.back_translated([row.text for row in rows], recipe.augment.back_translation, dice)


def _missing_models(recipe: Recipe) -> dict[str, str]:
    """Of the augmentations that need a model, those whose model cannot be had, and why."""
    assert recipe.augment is not None
    if recipe.augment.back_translation is None:
        return {}
    from osler.data import back_translation

    try:
        back_translation.folders(recipe.augment.back_translation)
    except InputError as error:
        print(f"augment.back_translation: skipped: {error}")
        return {"back_translation": str(error)}
    return {}
