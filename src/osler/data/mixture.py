"""Several tasks in one training run: how many rows of each a pass holds, and which.

A pass holds every training row of the recipe's own task once. Of each further task it holds as many as its weight asks
for: ``weight`` times as many. A temperature T makes the weights from the numbers of rows instead, as in multilingual
and multitask training: the share of a task with n rows is proportional to n^(1/T) (Arivazhagan et al. 2019,
arXiv:1907.05019; Raffel et al. 2020, JMLR 21:140, section 3.5.2). T = 1 takes every row of every task once, a large T
as many rows of a small task as of a large one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osler.data import training_rows
from osler.errors import InputError

if TYPE_CHECKING:
    from osler.recipe import DataSection, MixtureSection, Recipe
    from osler.tasks import Case, Task


@dataclass(frozen=True)
class Part:
    """What a training run takes from one task.

    Attributes:
        task, data: the task, and the patients asked of it where they are simulated.
        rows: those of one pass; a row that comes several times has a case id for each.
        available: how many different rows there were to take.
        dropped: what was left out of them, and why.
        augmentation: what ``data_report.json`` says of augmented rows among them; None where there are none.
    """

    task: Task
    data: DataSection | None
    rows: list[Case]
    available: int
    dropped: dict[str, int]
    augmentation: dict[str, Any] | None = None


def parts(recipe: Recipe, task: Task) -> list[Part]:
    """What the run learns from: the recipe's own ``task`` first, then those of its mixture in their order.

    Raises :class:`InputError` where a task has no training rows left, or its weight is too small for a single one.
    """
    learnt = training_rows.training(recipe, task)
    own = Part(task, recipe.data, learnt.rows, len(learnt.rows), learnt.dropped, learnt.augmentation)
    _check_rows(own)
    if recipe.mixture is None:
        return [own]
    others = _others(recipe, task)
    sizes = rows_a_pass(recipe.mixture, own.available, [part.available for part in others])
    mixed = []
    for part, size in zip(others, sizes, strict=True):
        if size == 0:
            name = part.task.name
            raise InputError(
                f"mixture.tasks.{name}: not one of its {part.available:,} rows in a pass; raise its weight"
            )
        mixed.append(Part(part.task, part.data, taken(part, size, recipe.seed), part.available, part.dropped))
    return [own, *mixed]


def rows_a_pass(mixture: MixtureSection, own: int, others: Sequence[int]) -> list[int]:
    """How many rows of each further task a pass holds, where ``own`` and ``others`` are the rows that tasks have."""
    if mixture.temperature is None:
        return [round(own * (mixed.weight or 0)) for mixed in mixture.tasks.values()]
    return [round(own * (size / own) ** (1 / mixture.temperature)) for size in others]


def taken(part: Part, size: int, seed: int) -> list[Case]:
    """``size`` rows of a task: all of them as often as that goes, and some once more, drawn without replacement."""
    times, rest = divmod(size, part.available)
    drawn = random.Random(f"mixture/{seed}/{part.task.name}").sample(range(part.available), rest)
    rows = []
    for time in range(times + 1):
        for position in range(part.available) if time < times else sorted(drawn):
            case = part.rows[position]
            case_id = f"{part.task.name}/{case.case_id}" + (f"#{time}" if time else "")
            rows.append(replace(case, case_id=case_id))
    return rows


def _others(recipe: Recipe, own: Task) -> list[Part]:
    """The further tasks with all their training rows, but those that are held out from the recipe's own task."""
    from osler.data.contamination import normalise
    from osler.recipe import find_tasks
    from osler.tasks import load_task

    assert recipe.mixture is not None
    held_out = {normalise(row.text) for split in own.splits for row in own.source.split(split)}
    folder = find_tasks(recipe.path)
    found = []
    for name, mixed in recipe.mixture.tasks.items():
        task = load_task(folder / name, mixed.panel)
        learnt = task.source.training(mixed.data, recipe.seed)
        rows = [row for row in learnt.rows if normalise(row.text) not in held_out]
        dropped = Counter(learnt.dropped) + Counter({f"text is held out of {own.name}": len(learnt.rows) - len(rows)})
        found.append(Part(task, mixed.data, rows, len(rows), dict(dropped)))
        _check_rows(found[-1])
    return found


def _check_rows(part: Part) -> None:
    if not part.rows:
        raise InputError(f"{part.task.name}: no training rows are left; dropped: {part.dropped}")
