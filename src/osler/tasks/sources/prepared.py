"""A task's cases from the files that ``scripts/prepare_data.py`` wrote: a JSON object a line, every field of a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import DataSection, PreparedSource
from osler.storage import sha256_file
from osler.tasks.case import Case, Cases
from osler.tasks.source import TextSource


class Prepared(TextSource):
    """``source: {kind: prepared, folder, files: {split: {name, sha256}}}`` of a task; ``folder`` is relative to it.

    Args:
        section: the section ``source``.
        labels: the task's.
        task_folder: where ``task.yaml`` is.
    """

    def __init__(self, section: PreparedSource, labels: Sequence[str], task_folder: Path) -> None:
        self.labels = {label: label for label in labels}
        self._section = section
        self._folder = (task_folder / section.folder).resolve()

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The rows of the split ``train``; nothing is left to drop."""
        return Cases(self.split("train"))

    def split(self, name: str) -> list[Case]:
        """The rows of a split. Raises :class:`InputError` where its file is missing or is not the one prepared."""
        entry = self._section.files[name]
        path = self._folder / entry.name
        if not path.is_file():
            raise InputError(f"{path}: no such file; run scripts/prepare_data.py again")
        if (actual := sha256_file(path)) != entry.sha256:
            raise InputError(
                f"{path}: sha256 {actual[:12]}…, but the task was made with {entry.sha256[:12]}…: the file has"
                " changed since; run scripts/prepare_data.py again, with another --name if results stand on the old one"
            )
        with path.open(encoding="utf-8") as lines:
            return [self._case(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]

    def _case(self, line: str, where: str) -> Case:
        record = json.loads(line)
        if record["label"] not in self.labels:
            raise InputError(f"{where}: the label {record['label']!r} is not among the {len(self.labels)} of the task")
        return Case(
            case_id=record["case_id"],
            text=record["text"],
            label=record["label"],
            subgroups=record["subgroups"],
            group=record["group"],
            source=self._section.prepared_from,  # a report counts them; the line has the row's place
        )

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """Where the rows were taken from, and the sha256 of every file."""
        return {
            "prepared_from": self._section.prepared_from,
            "files": {split: entry.sha256 for split, entry in self._section.files.items()},
        }
