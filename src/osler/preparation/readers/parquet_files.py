"""Read Parquet with pyarrow, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.errors import InputError
from osler.preparation.readers.record import Columns, RawRow, RejectedRow, check_columns

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch

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
            for batch in file.iter_batches(BATCH, columns=list(columns.names) if columns else None):
                for row in _rows(batch):
                    place = f"{name}:{next(numbers)}"
                    yield RejectedRow(place, row, "") if isinstance(row, str) else RawRow(place, row)
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
