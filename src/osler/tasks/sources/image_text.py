"""A user's own images, each with a text and a label, out of one table."""

from __future__ import annotations

import csv
import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from osler.errors import InputError, one_line, show
from osler.recipe import DataSection, ImageTextSource
from osler.splits import assign, unit_names
from osler.storage import sha256_file, sha256_text
from osler.tasks.case import Case, Cases
from osler.tasks.images import CaseImage, case_image
from osler.tasks.source import TextSource

REPEATED = "image, text and label stand in an earlier row"


class _Row(NamedTuple):
    where: str
    case: Case
    group: str | None  # as the table has it, which goes no further


class ImageText(TextSource):
    """``source: {kind: image_text}``: rows of a table, divided by a stable hash so that those of one group, and those
    that show the same pixels, stay together.

    The table and all its images are read, and checked, when the first case is asked for.

    Args:
        section: the section ``source``.
        labels: the task's.
        folder: ``OSLER_DATA_DIR``, which the table is below; None where there is none.
    """

    def __init__(self, section: ImageTextSource, labels: Sequence[str], folder: Path | None) -> None:
        self.labels = {label: label for label in labels}
        self._section = section
        path = folder / section.table if folder else None
        self._path = path if path and path.is_file() else None

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The rows of no held-out split, less repeated ones. Raises :class:`InputError` where the table is not here."""
        if self._path is None:
            text = "no such file below OSLER_DATA_DIR; set it to the folder that has the table and its images"
            raise InputError(f"{self._section.table}: {text}")
        return Cases(list(self._splits["train"]), {REPEATED: self._read[1]})

    def split(self, name: str) -> list[Case]:
        """The held-out rows of ``name``; none where the table is not here."""
        return list(self._splits[name]) if self._path else []

    @cached_property
    def _splits(self) -> Mapping[str, Sequence[Case]]:
        rows, _ = self._read
        pixels = [row.case.image.pixels_sha256 for row in rows if row.case.image]
        number = {sha256: n for n, sha256 in enumerate(dict.fromkeys(pixels))}
        assignment = assign(
            [row.case.case_id for row in rows],
            [row.case.label for row in rows],
            [row.group for row in rows],
            [number[sha256] for sha256 in pixels],
            self._section.shares.model_dump(),
        )
        splits: defaultdict[str, list[Case]] = defaultdict(list)
        for row, split in zip(rows, assignment.splits, strict=True):
            if split is not None:
                splits[split].append(row.case)
        return splits

    @cached_property
    def _read(self) -> tuple[list[_Row], int]:
        """The rows, and how many repeat an earlier one. Raises :class:`InputError` naming the row that is wrong."""
        assert self._path is not None, "asked only where the table is"
        expected, found = self._section.sha256, sha256_file(self._path)
        if expected not in (None, found):
            raise InputError(
                f"{self._path}: sha256 {found[:12]}…, but the task has {str(expected)[:12]}…: bring that table back, or"
                " make another version of the task"
            )
        rows: dict[str, _Row] = {}
        repeated = 0
        for where, record in tqdm(_records(self._path), desc="reading images", unit=" rows", delay=5):
            row = self._row(record, where)
            earlier = rows.setdefault(row.case.case_id, row)
            if earlier.case.label != row.case.label:
                labels = f"{show(row.case.label)}, in {earlier.where} {show(earlier.case.label)}"
                raise InputError(f"{where}: the same image and text have the label {labels}; keep one")
            repeated += earlier is not row
        if not rows:
            raise InputError(f"{self._path}: has no rows")
        return _with_groups(list(rows.values())), repeated

    def _row(self, record: Mapping[str, Any], where: str) -> _Row:
        columns = self._section.columns
        named = [columns.text, columns.label, columns.image, *([columns.group] if columns.group else [])]
        for column in named:
            if column not in record:
                found = ", ".join(map(str, record)) or "none"
                raise InputError(f"{where}: no column {column!r}, which the task reads; there are {found}")
        for column in (columns.text, columns.label):
            if not isinstance(record[column], str) or not record[column].strip():
                raise InputError(f"{where}: no text in the column {column!r}, which the task reads")
        label = unicodedata.normalize("NFC", record[columns.label].strip())
        if label not in self.labels:
            raise InputError(f"{where}: the label {label!r} is not among those of the task: {list(self.labels)}")
        image, text = self._image(record[columns.image], where), record[columns.text].strip()
        # Of what is shown and asked, so that rows may be added and put in another order; says nothing of a person.
        case_id = sha256_text(json.dumps([image.sha256, text]))[:16]
        group = record[columns.group] if columns.group else None
        case = Case(case_id, text, label, source=self._section.table, image=image)
        return _Row(where, case, None if group in (None, "") else str(group))

    def _image(self, cell: Any, where: str) -> CaseImage:
        """The image in a cell: a path from the table's folder, the file's bytes, or both, as ``datasets`` has them."""
        assert self._path is not None, "asked only where the table is"
        column = self._section.columns.image
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, bytes) and cell:
            return case_image(None, cell, f"{where}: {column}")
        if not isinstance(cell, str) or not cell.strip():
            raise InputError(f"{where}: no image in the column {column!r}, which the task reads")
        path = PurePosixPath(cell.strip().replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise InputError(f"{where}: {column}: {show(cell)}: expected a path inside the table's folder")
        return case_image(self._path.parent / path, None, where)

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """The table, its hash and that of all images, and how many there are in each part."""
        if self._path is None:
            return {"table": self._section.table}
        images = sorted(case.image.sha256 for cases in self._splits.values() for case in cases if case.image)
        found = sha256_file(self._path)
        return {
            "table": self._section.table,
            "table_sha256": found,
            **({} if self._section.sha256 else {"release_sha256": found}),
            "images_sha256": hashlib.sha256("".join(images).encode()).hexdigest(),
            "cases": {split: len(cases) for split, cases in sorted(self._splits.items())},
        }


def _with_groups(rows: Sequence[_Row]) -> list[_Row]:
    """``rows`` whose cases name what they are not independent of: the first case of their unit, by its id."""
    shared = [[row.group or row.case.case_id, row.case.image.pixels_sha256] for row in rows if row.case.image]
    units: defaultdict[str, list[str]] = defaultdict(list)
    names = unit_names(shared)
    for name, row in zip(names, rows, strict=True):
        units[name].append(row.case.case_id)
    first = {name: min(ids) if len(ids) > 1 else None for name, ids in units.items()}
    return [row._replace(case=replace(row.case, group=first[name])) for name, row in zip(names, rows, strict=True)]


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a table, each with its place. Raises :class:`InputError` where the file is not what its name says."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
        elif path.suffix == ".jsonl":
            with path.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield f"{path}:{number}", _object(line, f"{path}:{number}")
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True, restkey="")
                for record in reader:
                    where = f"{path}:{reader.line_num}"
                    if None in record.values() or "" in record:
                        raise InputError(f"{where}: has not as many fields as the header")
                    yield where, record
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start:,}; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({one_line(str(error))})") from None


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({one_line(str(error))})") from None
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object")
    return record


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from pyarrow import ArrowException, parquet  # slow, and only a table in Parquet needs it

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(100):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", record
    except ArrowException as error:
        raise InputError(f"{path}: cannot be read as Parquet ({one_line(str(error))}); copy it again") from None
