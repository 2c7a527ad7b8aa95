"""Read CSV and TSV with Python's ``csv``, row by row, and reject the rows that are broken."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from osler.errors import InputError
from osler.preparation.readers.record import MAX_FIELD_BYTES, Columns, RawRow, RejectedRow, check_columns, excerpt
from osler.preparation.readers.text_lines import TextLines, open_binary

DELIMITERS = {".csv": ",", ".tsv": "\t"}
DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def read_csv(path: Path, name: str, delimiter: str, columns: Columns | None) -> Iterator[RawRow | RejectedRow]:
    """The rows of ``path``; a place is ``name`` and the row's first line.

    Raises:
        InputError: the header cannot be read, lacks a named column or has it twice, or the delimiter is another one.
    """
    with open_binary(path) as file:
        lines = TextLines(path, file)
        # Strict: otherwise a stray quotation mark silently joins two texts.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header = _read_header(path, lines, reader, delimiter, columns)
        if header is None:
            return
        while True:
            start = lines.number + 1
            flaw = None
            try:
                fields = _next_row(reader)
            except csv.Error as error:
                fields, flaw = [], str(error)
            if fields is None:
                return
            flaw, lines.flaw = lines.flaw or flaw, None
            if not flaw and fields and len(fields) != len(header):
                flaw = f"{len(fields)} fields; the header has {len(header)}"
            if flaw:
                lost = f" (from there to line {lines.number:,})" if lines.number > start else ""
                yield RejectedRow(f"{name}:{start}", flaw + lost, excerpt(lines.line))
            elif fields:
                yield RawRow(f"{name}:{start}", dict(zip(header, fields, strict=True)))


def _read_header(
    path: Path, lines: TextLines, reader: Iterator[list[str]], delimiter: str, columns: Columns | None
) -> list[str] | None:
    """The names of the columns; None if the file has no rows."""
    header: list[str] | None = []
    try:
        while header == []:
            header = _next_row(reader)
    except csv.Error as error:
        raise InputError(f"{path}: line {lines.number} is not a header ({error})") from None
    if header is None:
        return None
    if lines.flaw:
        raise InputError(f"{path}: line {lines.number}: {lines.flaw}")
    _check_header(path, header, lines.line, delimiter, columns)
    return header


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, with our own limit for a field's length: the limit of ``csv`` holds for the whole process."""
    previous = csv.field_size_limit(MAX_FIELD_BYTES)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(previous)


def _check_header(path: Path, header: list[str], line: str, delimiter: str, columns: Columns | None) -> None:
    names = columns.names if columns else ()
    for other in DELIMITER_NAMES if not set(names) <= set(header) else ():
        if set(names) <= set(next(csv.reader([line], delimiter=other), [])):
            suffix = next((suffix for suffix, usual in DELIMITERS.items() if usual == other), None)
            way_out = f"rename it to {suffix}" if suffix else f"write it with {DELIMITER_NAMES[delimiter]}"
            raise InputError(f"{path}: its columns are separated by {DELIMITER_NAMES[other]} ({other!r}); {way_out}")
    check_columns(str(path), header, columns)
    for name in names:
        if header.count(name) > 1:
            raise InputError(f"{path}: {header.count(name)} columns are called {name!r}; rename all but one")
