"""Several tasks in one training run: how many rows of each an epoch holds, and which.

An epoch holds every training row of the recipe's own task once. Of each further task it holds as many as its weight
asks for: ``weight`` times as many. A temperature T makes the weights from the numbers of rows instead, as in
multilingual and multitask training: the share of a task with n rows is proportional to n^(1/T) (Arivazhagan et al.
2019, arXiv:1907.05019; Raffel et al. 2020, JMLR 21:140, section 3.5.2). T = 1 takes every row of every task once, a
large T as many rows of a small task as of a large one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from osler.data.duplicates import normalise
from osler.data.training_rows import load_training_rows, source_rows
from osler.errors import InputError
from osler.recipe import DataSection, MixtureSection, Recipe, find_tasks
from osler.tasks import Case, Task, load_task


@dataclass(frozen=True)
class Component:
    """The share of one task in a training run.

    Attributes:
        task: the task.
        data: the recipe's settings for its simulated patients; None where the task simulates none.
        rows: those of one epoch; a row that is repeated has a case id for each time.
        available: how many different rows the task has.
        dropped: reason → how many rows of its source were left out.
        augmentation: the report on augmented copies among the rows; None where there are none.
    """

    task: Task
    data: DataSection | None
    rows: list[Case]
    available: int
    dropped: dict[str, int]
    augmentation: dict[str, Any] | None = None

    def without(self, units: Collection[str]) -> Component:
        """This one without the rows of ``units``, which are counted."""
        rows = [row for row in self.rows if row.unit not in units]
        if len(rows) == len(self.rows):
            return self
        left = {"in another fold": len(self.rows) - len(rows)}
        return replace(self, rows=rows, available=len(rows), dropped={**self.dropped, **left})


def load_components(recipe: Recipe, task: Task) -> list[Component]:
    """The tasks a run learns: the recipe's own ``task`` first, then those of its mixture in their order.

    Raises :class:`InputError` where a task has no training rows left, or its weight is too small for a single one.
    """
    training = load_training_rows(recipe, task)
    own = Component(
        task, recipe.data, training.rows, len(training.rows), training.dropped, augmentation=training.augmentation
    )
    _check_rows(own)
    if recipe.mixture is None:
        return [own]
    others = _load_others(recipe, recipe.mixture, task)
    sizes = rows_per_epoch(recipe.mixture, own.available, [other.available for other in others])
    for other, size in zip(others, sizes, strict=True):
        if size == 0:
            name = other.task.name
            raise InputError(
                f"mixture.tasks.{name}: not one of its {other.available:,} rows in an epoch; raise its weight"
            )
    sampled = [
        replace(other, rows=_sample(other, size, recipe.seed)) for other, size in zip(others, sizes, strict=True)
    ]
    return [own, *sampled]


def rows_per_epoch(mixture: MixtureSection, own: int, others: Sequence[int]) -> list[int]:
    """How many rows of each further task an epoch holds, where ``own`` and ``others`` are the rows that tasks have."""
    if mixture.temperature is None:
        return [round(own * (task.weight or 0)) for task in mixture.tasks.values()]
    return [round(own * (size / own) ** (1 / mixture.temperature)) for size in others]


def _sample(component: Component, size: int, seed: int) -> list[Case]:
    """``size`` rows of a task: all of them as often as that goes, and some once more, drawn without replacement."""
    name, available = component.task.name, component.available
    times, rest = divmod(size, available)
    drawn = sorted(random.Random(f"mixture/{seed}/{name}").sample(range(available), rest))
    return [
        replace(case, case_id=f"{name}/{case.case_id}" + (f"#{time}" if time else ""))
        for time in range(times + 1)
        for case in (component.rows if time < times else [component.rows[position] for position in drawn])
    ]


def _load_others(recipe: Recipe, mixture: MixtureSection, own: Task) -> list[Component]:
    """The further tasks with all their training rows, except texts that are held out from the recipe's own task."""
    held_out = {normalise(row.text) for split in own.splits for row in own.source.split(split)}
    folder = find_tasks(recipe.path)
    components = []
    for name, settings in mixture.tasks.items():
        task = load_task(folder / name, settings.panel)
        training = source_rows(task, settings.data, recipe.seed)
        rows = [row for row in training.rows if normalise(row.text) not in held_out]
        held_back = Counter({f"text is held out of {own.name}": len(training.rows) - len(rows)})
        dropped = dict(Counter(training.dropped) + held_back)  # without reasons that no row has
        component = Component(task, settings.data, rows, len(rows), dropped)
        _check_rows(component)
        components.append(component)
    return components


def _check_rows(component: Component) -> None:
    if not component.rows:
        raise InputError(f"{component.task.name}: no training rows are left; dropped: {component.dropped}")
