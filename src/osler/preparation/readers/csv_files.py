"""Read tables of text (CSV, TSV) with Python's ``csv``, row by row, and reject the rows that are broken."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from itertools import chain, islice
from pathlib import Path

from osler.errors import InputError
from osler.preparation.readers.record import MAX_FIELD_BYTES, Columns, RawRow, RejectedRow, check_columns, excerpt
from osler.preparation.readers.text_lines import TextLines, open_binary

DELIMITERS = {".csv": ",", ".tsv": "\t"}  # of most files of that name
OTHER_DELIMITERS = ",\t;|"
MAX_LINES_ABOVE = 20  # a header; more are no title but another kind of file

# Excel's first line, which says how columns are separated.
_ANNOUNCED = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
_STRAY_RETURN = "a carriage return outside quotation marks"


def read_csv(path: Path, name: str, usual: str, columns: Columns | None) -> Iterator[RawRow | RejectedRow]:
    """The rows of ``path``; a place is ``name`` and the row's first line.

    Columns are separated by what a first line ``sep=;`` says, by the ``usual`` delimiter, or by the one of
    ``OTHER_DELIMITERS`` that makes the named columns of the header. ``="00123"``, by which exports keep the zeros of a
    number in Excel, is read as 00123.

    Raises:
        InputError: the header cannot be read, has other lines above it, or lacks a named column or has it twice.
    """
    with open_binary(path) as file:
        lines = TextLines(path, file)
        first = _first_line(lines)
        announced = _ANNOUNCED.fullmatch(first)
        if announced:
            first = _first_line(lines)
        delimiter = announced[1] if announced else _delimiter(first, usual, columns)
        # Strict: otherwise a stray quotation mark silently joins two texts.
        reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        header = _read_header(path, lines, reader, delimiter, columns)
        if not header:
            return
        while True:
            start = lines.number + 1
            flaw = None
            try:
                fields = _next_row(reader)
            except csv.Error as error:
                fields, flaw = [], _STRAY_RETURN if "new-line character" in str(error) else str(error)
            if fields is None:
                return
            flaw, lines.flaw = lines.flaw or flaw, None
            if not flaw and fields and len(fields) != len(header):
                flaw = f"{len(fields)} fields; the header has {len(header)}"
            if flaw:
                lost = f" (from there to line {lines.number:,})" if lines.number > start else ""
                yield RejectedRow(f"{name}:{start}", flaw + lost, excerpt(lines.line))
            elif fields:
                yield RawRow(f"{name}:{start}", dict(zip(header, map(_plain, fields), strict=True)))


def _first_line(lines: TextLines) -> str:
    """The next line that is not blank; empty at the end."""
    return next((line for line in lines if line.strip()), "")


def _delimiter(header: str, usual: str, columns: Columns | None) -> str:
    """The delimiter that makes most of the named columns of the line ``header``, or else most columns; of equally good
    ones the ``usual`` one. So of several names that are right but one, the message names that one."""
    found = {delimiter: _fields(header, delimiter) for delimiter in dict.fromkeys(usual + OTHER_DELIMITERS)}
    names = set(columns.names) if columns else set()
    if columns and names <= set(found[usual]):
        return usual
    return max(found, key=lambda delimiter: (len(names & set(found[delimiter])), len(found[delimiter])))


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _plain(field: str) -> str:
    return field[2:-1] if field.startswith('="') and field.endswith('"') and len(field) > 2 else field


def _read_header(
    path: Path, lines: TextLines, reader: Iterator[list[str]], delimiter: str, columns: Columns | None
) -> list[str] | None:
    """The names of the columns; nothing if the file has no rows."""
    try:
        header = _next_row(reader)
    except csv.Error as error:
        flaw = _STRAY_RETURN if "new-line character" in str(error) else error
        raise InputError(f"{path}: line {lines.number} is not a header ({flaw})") from None
    if not header:
        return None
    if lines.flaw:
        raise InputError(f"{path}: line {lines.number}: {lines.flaw}")
    names = columns.names if columns else ()
    if not set(names) <= set(header):
        _check_above(path, lines, delimiter, names)
    check_columns(str(path), header, columns)
    for name in names:
        if header.count(name) > 1:
            raise InputError(f"{path}: {header.count(name)} columns are called {name!r}; rename all but one")
    return header


def _check_above(path: Path, lines: TextLines, delimiter: str, names: Collection[str]) -> None:
    """Raise :class:`InputError` if one of the next lines is the header."""
    for line in islice(lines, MAX_LINES_ABOVE):
        for other in dict.fromkeys(delimiter + OTHER_DELIMITERS):
            if set(names) <= set(_fields(line, other)):
                raise InputError(
                    f"{path}: its columns are named in line {lines.number}; delete the lines above that one"
                )


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, with our own limit for a field's length: the limit of ``csv`` holds for the whole process."""
    previous = csv.field_size_limit(MAX_FIELD_BYTES)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(previous)
