"""One record of an export: what every reader makes of a row, and why a row was set aside."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, TypedDict

from osler.errors import InputError, nearest

MAX_FIELD = 2**20  # bytes in UTF-8 of a field that is read: some 150,000 words, more than any case report has
EXCERPT = 80  # characters
LISTED = 30  # columns named in an error


@dataclass(frozen=True)
class Columns:
    """The columns that the user names; None: there is none."""

    text: str
    label: str
    case_id: str | None = None
    group: str | None = None
    date: str | None = None
    subgroups: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that is read."""
        names = (self.text, self.label, self.case_id, self.group, self.date, *self.subgroups)
        return tuple(dict.fromkeys(name for name in names if name is not None))


class Record(TypedDict):
    """One raw row.

    ``case_id`` is the id column's value as text, else ``source``. ``text`` and ``label`` are as they stand in the
    source: None or blank is for cleaning to count. ``group`` is what a split may not tear apart (patient, family,
    publication), ``date`` an ISO 8601 date (YYYY-MM-DD), ``source`` is ``<file>:<row>``, a 1-based line or row.
    """

    case_id: str
    text: str | None
    label: str | None
    group: str | None
    date: str | None
    subgroups: dict[str, str]
    source: str


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be read at all. ``excerpt``: a repr cut to ``EXCERPT`` characters, never the whole row."""

    source: str
    reason: str
    excerpt: str


class Raw(NamedTuple):
    """A row as it stands in its source: its place and what it holds, column → value."""

    source: str
    columns: Mapping[str, Any]


def excerpt(value: object) -> str:
    """How a row looks, in at most ``EXCERPT`` characters, for somebody who searches for it."""
    return repr(value[:EXCERPT] if isinstance(value, str | bytes) else value)[:EXCERPT]


def check_columns(place: str, there: Collection[str], columns: Columns | None) -> None:
    """Raises :class:`InputError` where a column the user named is not ``there``, or none was named."""
    listed = ", ".join(list(there)[:LISTED]) + (f" and {len(there) - LISTED} more" if len(there) > LISTED else "")
    if columns is None:
        raise InputError(f"{place}: a table; name its columns of text and label (it has {listed})")
    for name in columns.named:
        if name not in there:
            raise InputError(f"{place}: no column {name!r}; it has {listed}{nearest(name, there)}")


def iso_date(text: str) -> str:
    """The date (YYYY-MM-DD) of an ISO 8601 date or time; of a month or a year its first day. Else ``ValueError``."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ].*)?)?)?", text.strip(), re.ASCII | re.DOTALL)
    try:
        if match is None:
            raise ValueError
        return date(*(int(part or 1) for part in match.groups())).isoformat()
    except ValueError:
        raise ValueError(f"{excerpt(text)} is not an ISO 8601 date (YYYY-MM-DD)") from None
