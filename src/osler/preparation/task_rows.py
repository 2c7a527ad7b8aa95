"""Find a task by its name, read the rows of its dataset, and read how its file says to prepare them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from osler.errors import InputError, nearest
from osler.preparation.cleaning_steps import DEFAULT_STEPS, Step, parse_steps
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import Columns, Record, RejectedRow
from osler.preparation.settings import PreparationSettings
from osler.recipe import Problem, licences, read_yaml
from osler.storage import checkout, data_folder
from osler.tasks import HubDataset
from osler.terminology import normal_form

NO_ROWS = {
    "benchmark": "it is a benchmark, scored as published: scripts/evaluate.py RUN --benchmark NAME",
    "simulated": "its patients are simulated when a recipe is trained; the run's data_report.json describes them",
    "corpus": "its texts are generated from an ontology when a recipe is trained",
    "prepared": "prepare_data.py made it; name the export it was made from",
}


def read_cleaning_steps(task_file: Path) -> tuple[list[Any], dict[str, Step]]:
    """The cleaning steps in a task's file, as written and as parsed; the default ones if there is no file.

    Raises:
        InputError: a step is wrong.
    """
    content = read_yaml(task_file) if task_file.is_file() else {}
    listed = content.get("preparation", {}).get("cleaning", list(DEFAULT_STEPS))
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
    folder: Path, key: str | None, max_rejected: int
) -> tuple[Iterator[tuple[str, Record | RejectedRow]], PreparationSettings]:
    """The rows of the dataset of the task in ``folder`` with their splits, and how to prepare them.

    Raises:
        InputError: the task has no dataset, or its file is wrong.
    """
    path = folder / "task.yaml"
    content = read_yaml(path)
    if (kind := content["source"]["kind"]) in NO_ROWS:
        raise InputError(f"{folder.name}: has no rows to prepare: {NO_ROWS[kind]}")
    if "license" in content:
        licences.check(content["license"], f"{path}: license")
    _, steps = read_cleaning_steps(path)
    labels = {normal_form(label): label for label in content["labels"]}
    dataset = HubDataset(content["source"], content["labels"], data_folder())
    settings = PreparationSettings(
        steps, lambda text: labels.get(normal_form(text)), max_rejected, key, license=content.get("license")
    )
    return _dataset_rows(dataset, content["source"]), settings


def _dataset_rows(dataset: HubDataset, spec: Mapping[str, Any]) -> Iterator[tuple[str, Record | RejectedRow]]:
    """The rows of all splits as published, each with its split."""
    columns = Columns(spec["columns"]["text"], spec["columns"]["label"])
    for split, name in spec["files"].items():
        for row in read(str(dataset.path(name)), columns):
            yield split, row
