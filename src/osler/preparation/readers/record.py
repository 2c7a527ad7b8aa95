"""A row of an export: as it is in the source, as a record with known fields, or rejected with a reason."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, TypedDict

from osler.errors import InputError, nearest

MAX_FIELD_BYTES = 2**20  # in UTF-8: about 150,000 words, more than any case report has
MAX_EXCERPT = 80  # characters
MAX_COLUMNS_LISTED = 30  # in an error message

# Kinds of rows that are no case. Only unreadable ones are a fault of the source.
UNREADABLE = "unreadable"
NOT_CONFIRMED = "not_confirmed"  # the diagnosis is only suspected
NO_DIAGNOSIS = "no_diagnosis"  # refuted, unsolved, "no current problems"
SEVERAL_DIAGNOSES = "several_diagnoses"


@dataclass(frozen=True)
class Columns:
    """The columns that the user names; None if there is no such column."""

    text: str
    label: str
    case_id: str | None = None
    group: str | None = None
    date: str | None = None
    subgroups: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read, each once."""
        names = (self.text, self.label, self.case_id, self.group, self.date, *self.subgroups)
        return tuple(dict.fromkeys(name for name in names if name is not None))


class Record(TypedDict):
    """A row before cleaning.

    ``case_id`` is the value of the id column as text, or else ``source``. ``text`` and ``label`` are as in the source,
    even if None or blank. ``group`` is what a split must not divide (patient, family, publication). ``date`` is an ISO
    8601 date (YYYY-MM-DD). ``source`` is ``<file>:<row>``, where lines or rows are counted from 1. ``code`` is that of
    the diagnosis in its terminology, if the reader of a clinical format made ``label`` of it; None in a table.
    """

    case_id: str
    text: str | None
    label: str | None
    group: str | None
    date: str | None
    subgroups: dict[str, str]
    source: str
    code: str | None


@dataclass(frozen=True)
class RejectedRow:
    """A row that is no case. ``excerpt`` is a repr of at most ``MAX_EXCERPT`` characters, never the whole row.

    ``kind`` is ``UNREADABLE``, or the kind of a row that was read and is set aside.
    """

    source: str
    reason: str
    excerpt: str
    kind: str = UNREADABLE


class NotACase(ValueError):
    """Raised where a row can be read but is no case of the given kind of :class:`RejectedRow`."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Notice(NamedTuple):
    """What was done with parts of a source that are no rows, or with rows in doubt, and their number."""

    text: str
    number: int


class RawRow(NamedTuple):
    """A row as it is in the source: its place and column → value; of a clinical format also the diagnosis's code."""

    source: str
    columns: Mapping[str, Any]
    code: str | None = None


def excerpt(value: object) -> str:
    """The repr of a value in at most ``MAX_EXCERPT`` characters, by which a reader can find the row."""
    return repr(value[:MAX_EXCERPT] if isinstance(value, str | bytes) else value)[:MAX_EXCERPT]


def file_of(source: str) -> str:
    """The file in the ``source`` of a row: what stands before ``:<row>``, or ``:<line>:<row>``."""
    file, colon, row = source.rpartition(":")
    return file_of(file) if colon and row.isdecimal() else source


def check_columns(place: str, available: Collection[str], columns: Columns | None) -> None:
    """Raise :class:`InputError` if the user named a column that is not ``available``, or named none."""
    listed = ", ".join(list(available)[:MAX_COLUMNS_LISTED])
    if len(available) > MAX_COLUMNS_LISTED:
        listed += f" and {len(available) - MAX_COLUMNS_LISTED} more"
    if columns is None:
        raise InputError(f"{place} is a table: name its text and label columns (it has {listed})")
    for name in columns.names:
        if name not in available:
            raise InputError(f"{place}: no column {name!r}; it has {listed}{nearest(name, available)}")


def iso_date(text: str, last: bool = False) -> str:
    """The date (YYYY-MM-DD) of an ISO 8601 date or time; the first (or ``last``) day of a month or a year.

    Raises:
        ValueError: ``text`` is something else.
    """
    match = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ].*)?)?)?", text.strip(), re.ASCII | re.DOTALL)
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in match.groups())
        assert year is not None  # the pattern requires it
        month = month or (12 if last else 1)
        return date(year, month, day or (monthrange(year, month)[1] if last else 1)).isoformat()
    except ValueError:
        raise ValueError(f"{excerpt(text)} is not an ISO 8601 date (YYYY-MM-DD)") from None
