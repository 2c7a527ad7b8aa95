"""Cases of a dataset with train and test files of its own."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import DataSection, DatasetSource
from osler.storage import hub_file, stable_unit
from osler.tasks.case import Case, Cases
from osler.tasks.source import TextSource

WORD_BANDS = ((25, "0-24"), (50, "25-49"), (math.inf, "50+"))  # of a text: below each limit


class HubDataset(TextSource):
    """A dataset with its own train and test files: JSONL on the Hub at a pinned revision, or a local copy of it.

    ``validation_share`` of the rows of its training file, chosen by a hash of their text, are the split ``validation``.
    """

    def __init__(
        self, section: DatasetSource, labels: Sequence[str], folder: Path | None, ontology: str | None = None
    ) -> None:
        self.ontology = ontology
        self.labels = {label: label for label in labels}
        self._section = section
        self._folder = folder / section.local if folder and (folder / section.local).is_dir() else None

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The published training rows, less those whose text stands in a test split or earlier in training."""
        held_out = {text_key(row.text) for name in self._section.files if name != "train" for row in self.split(name)}
        seen: set[str] = set()
        kept = Cases([], {"text is in a held-out split": 0, "text stands in training already": 0})
        for row in self._cases("train"):
            if self._is_validation(row):
                continue
            key = text_key(row.text)
            if key in held_out:
                kept.dropped["text is in a held-out split"] += 1
            elif key in seen:
                kept.dropped["text stands in training already"] += 1
            else:
                kept.rows.append(row)
            seen.add(key)
        return kept

    def split(self, name: str) -> list[Case]:
        """The held-out rows of ``name``. Raises :class:`InputError` naming the row that is wrong."""
        if name == "validation":
            return [row for row in self._cases("train") if self._is_validation(row)]
        return self._cases(name)

    def _is_validation(self, row: Case) -> bool:
        return stable_unit(text_key(row.text)) < self._section.validation_share

    def _cases(self, name: str) -> list[Case]:
        """Every row of the file behind ``name``, checked."""
        path = self.path(self._section.files[name])
        rows = []
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    rows.append(self._case(line, f"{path}:{number}", f"{name}/{number:05d}"))
        return rows

    def _case(self, line: str, where: str, case_id: str) -> Case:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error})") from error
        columns = self._section.columns
        for column in (columns.text, columns.label):
            if not isinstance(record, dict) or not isinstance(record.get(column), str) or not record[column].strip():
                raise InputError(f"{where}: no text in the column {column!r}, which the task reads")
        label = unicodedata.normalize("NFC", record[columns.label].strip())
        if label not in self.labels:
            raise InputError(
                f"{where}: the label {label!r} is not among the {len(self.labels)} of the task: {list(self.labels)}"
            )
        text = record[columns.text].strip()
        length = len(text.split())
        subgroups = {"words": next(band for limit, band in WORD_BANDS if length < limit)}
        return Case(case_id, text, label, subgroups, source=self._section.dataset)

    def path(self, name: str) -> Path:
        """The file ``name`` of the dataset, from the local copy or the Hub."""
        if self._folder:
            if not (self._folder / name).is_file():
                raise InputError(
                    f"{self._folder / name}: no such file; the local copy of {self._section.dataset} needs it"
                )
            return self._folder / name
        return hub_file(self._section.dataset, self._section.revision, name, f"{self._section.local}/{name}")

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """The dataset, its revision and the local folder read instead, if one was."""
        return {
            "dataset": self._section.dataset,
            "revision": self._section.revision,
            "local": str(self._folder) if self._folder else None,
        }


def text_key(text: str) -> str:
    """What makes two rows of a file the same text. It chooses the split ``validation``: another key, another split."""
    return " ".join(text.lower().split())
