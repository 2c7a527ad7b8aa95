"""Read Parquet with pyarrow, some rows at a time.

A file that :mod:`datasets` wrote names the classes of a column of integers in its metadata; the names are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.errors import InputError
from osler.preparation.readers.record import Columns, RawRow, RejectedRow, check_columns

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch, Schema

BATCH = 1000  # rows in memory at once


def read_parquet(path: Path, name: str, columns: Columns | None) -> Iterator[RawRow | RejectedRow]:
    """The rows of ``path``, of which only the named columns are read; a place is ``name`` and the row's number.

    Raises:
        InputError: the file cannot be read as Parquet.
    """
    from pyarrow import ArrowException, parquet

    numbers = count(1)
    try:
        with parquet.ParquetFile(path) as file:
            class_names = _class_names(file.schema_arrow)
            for batch in file.iter_batches(BATCH, columns=list(columns.names) if columns else None):
                for row in _rows(batch):
                    place = f"{name}:{next(numbers)}"
                    yield RejectedRow(place, row, "") if isinstance(row, str) else name_classes(place, row, class_names)
    except ArrowException as error:
        raise _unreadable(path, error) from None


def check_schemas(paths: Iterable[Path], columns: Columns | None) -> None:
    """Check, before a row is read, that all files have the named columns, and of the same types.

    Raises:
        InputError: a column is missing or of another type, or a file cannot be read as Parquet.
    """
    from pyarrow import ArrowException, parquet

    types: dict[str, tuple[str, Path]] = {}
    for path in paths:
        try:
            schema = parquet.read_schema(path)
        except (ArrowException, OSError) as error:
            raise _unreadable(path, error) from None
        check_columns(str(path), schema.names, columns)
        for column in columns.names if columns else ():
            kind = _kind(schema.field(column).type)
            first, first_path = types.setdefault(column, (kind, path)) if kind != "null" else (kind, path)
            if kind != first:
                raise InputError(
                    f"{path}: the column {column!r} is {kind}, in {first_path} {first}; write both with one type"
                )


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())}); copy it again")


def _class_names(schema: Schema) -> dict[str, list[str]]:
    """Column → the names of its classes, for the columns that have some."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        classes = {column: feature for column, feature in features.items() if feature["_type"] == "ClassLabel"}
        return {column: list(map(str, feature["names"])) for column, feature in classes.items()}
    except (AttributeError, KeyError, TypeError, ValueError):  # no such metadata: the labels are the numbers
        return {}


def name_classes(place: str, row: dict[str, Any], class_names: Mapping[str, Sequence[str]]) -> RawRow | RejectedRow:
    """``row`` with the names of its classes. -1 is no class: datasets write it where a label is hidden.

    Args:
        class_names: column → the names of its classes 0, 1, …
    """
    for column, names in class_names.items():
        number = row.get(column)
        if not isinstance(number, int):  # a column that is not read, or without a value
            continue
        if not -1 <= number < len(names):
            return RejectedRow(place, f"the column {column!r} holds {number}; it has {len(names)} classes", "")
        row[column] = None if number == -1 else names[number]
    return RawRow(place, row)


def _rows(batch: RecordBatch) -> list[dict[str, Any] | str]:
    """The rows of a batch. Parquet does not check text: in place of a row that is not UTF-8 stands the reason."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [f"not UTF-8 at byte {error.start:,} of a field ({error.reason})"]
        return [row for number in range(batch.num_rows) for row in _rows(batch.slice(number, 1))]


def _kind(data_type: DataType) -> str:
    """A column's type in a word: types of text that differ only in memory are one, and so are those of integers."""
    from pyarrow import types

    if types.is_dictionary(data_type):
        return _kind(data_type.value_type)
    if types.is_string(data_type) or types.is_large_string(data_type) or types.is_string_view(data_type):
        return "text"
    return "integer" if types.is_integer(data_type) else str(data_type)
