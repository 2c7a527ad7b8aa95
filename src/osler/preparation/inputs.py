"""What is to be prepared: an export or the rows of a task, its columns, cleaning steps and key of pseudonyms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from osler.errors import InputError, nearest
from osler.preparation.cleaning import USUAL, Step
from osler.preparation.cleaning import steps as cleaning_steps
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import Columns, Record, Rejected
from osler.preparation.settings import Preparation
from osler.recipe import DatasetSource, Problem, licences, read_task
from osler.storage import checkout, data_folder
from osler.tasks import HubDataset
from osler.terminology import normal_form

COLUMNS = ("text_column", "label_column", "id_column", "group_column", "date_column", "subgroup_column")


def read_key(path: Path) -> str:
    """The secret of a key file, of which de-identification makes surrogates.

    Raises:
        InputError: it is missing or too short, or the extra ``deid`` is not installed.
    """
    from osler.preparation.deidentification.deidentifier import MIN_KEY

    if find_spec("presidio_analyzer") is None:
        raise InputError("--deidentify needs the extra `deid`: pip install 'osler[deid]'")
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as a key file ({error}); make one: openssl rand -hex 32 > {path}"
        ) from None
    if len(key) < MIN_KEY:
        raise InputError(f"{path}: {len(key)} characters are no secret; make one: openssl rand -hex 32 > {path}")
    return key


def cleaning_of(task_file: Path) -> tuple[list[Any], dict[str, Step]]:
    """The steps that a task's file lists, as they stand and as they are taken; where there is none yet, the usual ones.

    Raises:
        InputError: a step is wrong.
    """
    section = read_task(task_file.parent).preparation if task_file.is_file() else None
    listed = list(section.cleaning if section else USUAL)
    try:
        return listed, cleaning_steps(listed, "preparation.cleaning")
    except Problem as problem:
        raise InputError(f"{task_file}: {problem.key}: {problem.text}") from None


def find_task(source: str) -> Path | None:
    """The folder of the task called ``source``, in the working directory or in this checkout.

    None where ``source`` is a file or a folder, or can only be a dataset on the Hub.

    Raises:
        InputError: it is nothing that is here, but nearly the name of a task.
    """
    if "/" in source or os.path.exists(source):
        return None
    roots = (checkout.ROOT, Path.cwd())
    tasks = {path.parent.name: path.parent for root in roots for path in root.glob("tasks/*/task.yaml")}
    if source not in tasks and (close := nearest(source, tasks)):
        raise InputError(f"{source}: no such file, folder or task{close}")
    return tasks.get(source)


def of_task(
    folder: Path, key: str | None, max_rejected: int
) -> tuple[Iterator[tuple[str, Record | Rejected]], Preparation]:
    """The published rows of the task in ``folder`` with their splits, and how its file says they are prepared.

    Raises:
        InputError: the task's cases are not rows of a dataset, or its file is wrong.
    """
    task, path = read_task(folder), folder / "task.yaml"
    if not isinstance(task.source, DatasetSource):
        raise InputError(f"{folder.name}: has no rows to be prepared: {task.source.no_rows_reason}")
    if task.license is not None:
        licences.check(task.license, f"{path}: license")
    _, steps = cleaning_of(path)
    labels = {normal_form(label): label for label in task.labels or ()}
    published = HubDataset(task.source, task.labels or (), data_folder())
    known = Preparation(steps, lambda text: labels.get(normal_form(text)), max_rejected, key, license=task.license)
    return _published_rows(published, task.source), known


def _published_rows(published: HubDataset, section: DatasetSource) -> Iterator[tuple[str, Record | Rejected]]:
    """Every published row as it stands, with its split."""
    columns = Columns(section.columns.text, section.columns.label)
    for split, name in section.files.items():
        for row in read(str(published.path(name)), columns):
            yield split, row


def columns_of(options: Mapping[str, Any]) -> Columns | None:
    """The columns that the options of ``scripts/prepare_data.py`` name.

    None where they name none: formats that say what is what do without.
    """
    if not any(options[option] for option in COLUMNS):
        return None
    if options["text_column"] is None or options["label_column"] is None:
        raise InputError("name both --text-column and --label-column")
    return Columns(
        options["text_column"],
        options["label_column"],
        options["id_column"],
        options["group_column"],
        options["date_column"],
        tuple(options["subgroup_column"]),
    )


def cuts_of(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """The dates to split at, by the options of ``scripts/prepare_data.py``; None where it is not split by date."""
    cuts = (options["validation_from"], options["test_from"])
    if (cuts[0] is None) != (cuts[1] is None):
        raise InputError("a split by date needs both --validation-from and --test-from")
    if cuts[0] is not None and options["date_column"] is None and options["text_column"] is not None:
        raise InputError("a split by date needs --date-column, too")
    return None if cuts[0] is None else cuts
