"""Find a task by its name, read the rows of its dataset, and read how its file says to prepare them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from osler.errors import InputError, nearest
from osler.governance import licences
from osler.preparation.cleaning_steps import DEFAULT_STEPS, Step, parse_steps
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import Columns, Notice, Record, RejectedRow
from osler.preparation.settings import PreparationSettings
from osler.recipe import DatasetSource, Problem, read_task
from osler.storage import checkout, data_folder
from osler.tasks import HubDataset
from osler.terminology import spelling


def read_cleaning_steps(task_file: Path) -> tuple[list[Any], dict[str, Step]]:
    """The cleaning steps in a task's file, as written and as parsed; the default ones if there is no file.

    Raises:
        InputError: a step is wrong.
    """
    section = read_task(task_file.parent).preparation if task_file.is_file() else None
    listed = list(section.cleaning if section else DEFAULT_STEPS)
    try:
        return listed, parse_steps(listed, "preparation.cleaning")
    except Problem as problem:
        raise InputError(f"{task_file}: {problem.key}: {problem.text}") from None


def find_task_path(source: str) -> Path | None:
    """The folder of the task called ``source``, in the working directory or in this checkout.

    None if ``source`` is a file or a folder, or can only be a dataset on the Hub.

    Raises:
        InputError: ``source`` does not exist, but resembles the name of a task.
    """
    if "/" in source or os.path.exists(source):
        return None
    roots = (checkout.ROOT, Path.cwd())
    tasks = {path.parent.name: path.parent for root in roots for path in root.glob("tasks/*/task.yaml")}
    if source not in tasks and (close := nearest(source, tasks)):
        raise InputError(f"{source}: no such file, folder or task{close}")
    return tasks.get(source)


def read_task_rows(
    folder: Path, key: str | None, max_rejected: int, day_first: bool | None = None
) -> tuple[Iterator[tuple[str | None, Record | RejectedRow | Notice]], PreparationSettings]:
    """The rows of the dataset of the task in ``folder`` with their splits, and how to prepare them.

    Raises:
        InputError: the task has no dataset, or its file is wrong.
    """
    task, path = read_task(folder), folder / "task.yaml"
    if not isinstance(task.source, DatasetSource):
        raise InputError(f"{folder.name}: has no rows to prepare: {task.source.no_rows_reason}")
    if task.license is not None:
        licences.check(task.license, f"{path}: license")
    _, steps = read_cleaning_steps(path)
    labels = {spelling(label): label for label in task.labels or ()}
    dataset = HubDataset(task.source, task.labels or (), data_folder())
    settings = PreparationSettings(
        steps, lambda text: labels.get(spelling(text)), max_rejected, key, day_first, license=task.license
    )
    return _dataset_rows(dataset, task.source), settings


def _dataset_rows(
    dataset: HubDataset, section: DatasetSource
) -> Iterator[tuple[str | None, Record | RejectedRow | Notice]]:
    """The rows of the dataset as published, with their splits."""
    columns = Columns(section.columns.text, section.columns.label)
    for split, name in section.files.items():
        for row in read(str(dataset.path(name)), columns):
            yield split, row
