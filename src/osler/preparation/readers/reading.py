"""A user's raw export as a stream of rows in one schema, whatever it is written in; what cannot be read is set aside.

Two steps. :mod:`files` gives the rows of files as they stand, each with its place; here the columns that the user
names become a :class:`Record`. :mod:`phenopacket` and :mod:`fhir` first make such rows of theirs.
Nothing is kept of a row that has been read but 16 bytes of its id and its place: memory does not grow with the texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.preparation.readers.record import MAX_FIELD, Columns, Raw, Record, Rejected, check_columns, excerpt, iso_date

HEAD = 100  # rows that are looked at before the first is given, to know the columns


def read(source: str, columns: Columns | None, revision: str | None = None) -> Iterator[Record | Rejected]:
    """The rows of ``source``, one after the other, and those that cannot be read, in their place.

    Args:
        source: a file (.jsonl, .ndjson, .csv, .tsv, .parquet, .json; all but Parquet also with .gz), a folder of files
            of one kind, or a dataset on the Hub (owner/name), of which all splits are read. JSON is taken for FHIR or
            for phenopackets by its content. A .json file is held in memory, everything else is streamed.
        columns: None stands for :data:`osler.preparation.readers.clinical.CHOSEN`; a table needs them.
        revision: the commit of a dataset on the Hub.

    Ids are compared as text: 1 and "1" are the same id, and the second is rejected as repeated. Integers and booleans
    are read as JSON writes them. A date of a month or a year is its first day. A blank group, date, subgroup or id is
    none. NUL and other control characters in a text are left to cleaning.

    Raises:
        InputError: at once, when the source is not there or the revision is not a commit. With the first row: when a
            named column is not there (a JSONL row may lack it, the first ``HEAD`` rows may not), the file is of another
            delimiter or encoding, or is empty. At the end: when the file was changed while it was read, or when no
            row has a label.
    """
    from osler.preparation.readers import files

    place = f"{source}@{revision}" if revision else source
    path = Path(source)
    hub = re.fullmatch(r"[\w.-]+/[\w.-]+", source) is not None
    if revision is not None and path.exists():
        raise InputError(f"{source}: a file or folder here, which has no revision; leave {revision} out")
    if revision is None and not path.exists():
        way_out = "; a dataset on the Hub needs a revision, the 40 hex digits of a commit" if hub else ""
        raise InputError(f"{source}: no such file or folder{way_out}")
    if revision is not None and not (hub and re.fullmatch("[0-9a-f]{40}", revision, re.ASCII)):
        raise InputError(f"{place}: not a pinned dataset; expected owner/name and the 40 hex digits of a commit")
    rows = files.files(path, columns) if revision is None else files.hub(source, revision)
    return _records(place, rows, columns)


# ── rows into records ────────────────────────────────────────────────────────────────────────────────────────────────


def _records(place: str, rows: Iterator[Raw | Rejected], columns: Columns | None) -> Iterator[Record | Rejected]:
    rows, columns = _understood(place, rows, columns)
    first: dict[bytes, str] = {}  # hash of an id → where it stood first
    read = labelled = 0
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        try:
            record = _record(row, columns)
            if columns.case_id:
                _check_first(record, first)
        except ValueError as error:
            yield Rejected(row.source, str(error), excerpt(row.columns.get(columns.text)))
            continue
        yield record
        read += 1
        labelled += bool(record["label"] and not record["label"].isspace())
    if read and not labelled:
        raise InputError(f"{place}: the label column {columns.label!r} is empty in all {read:,} rows; name another one")


def _understood(
    place: str, rows: Iterator[Raw | Rejected], columns: Columns | None
) -> tuple[Iterator[Raw | Rejected], Columns]:
    """The rows as a table that has the ``columns``, after a look at its head."""
    from osler.preparation.readers import clinical, fhir, phenopacket

    head: list[Raw | Rejected] = []
    first: Mapping[str, Any] | None = None
    for row in rows:
        head.append(row)
        if first is None and isinstance(row, Raw):
            first = row.columns
        # Of a clinical format the first object says it all, and a hundred bundles could be gigabytes.
        if len(head) >= HEAD or (first and (fhir.is_resource(first) or phenopacket.is_phenopacket(first))):
            break
    if first is None:
        rejected = head[0]
        assert isinstance(rejected, Rejected)  # a source without any row is an error already
        raise InputError(f"{place}: none of its first rows can be read; {rejected.source}: {rejected.reason}")
    rows = chain(head, rows)
    if fhir.is_resource(first):
        rows, there = fhir.rows(place, rows), clinical.COLUMNS
    elif phenopacket.is_phenopacket(first):
        rows, there = phenopacket.rows(rows), clinical.COLUMNS
    else:
        there = tuple(dict.fromkeys(name for row in head if isinstance(row, Raw) for name in row.columns))
        check_columns(place, there, columns)
        assert columns is not None
        return rows, columns
    chosen = columns or clinical.CHOSEN
    check_columns(place, there, chosen)
    return rows, chosen


def _record(row: Raw, columns: Columns) -> Record:
    """The record of a row; ``ValueError`` with the reason why there is none."""

    def value(name: str | None, *types: type) -> str | None:
        return None if name is None else _text(name, row.columns.get(name), types)

    def filled(name: str | None, *types: type) -> str | None:
        found = value(name, *types)
        return None if found is None or not found.strip() else found

    day = filled(columns.date, int, date)
    subgroups = {name: filled(name, int, float, date) for name in columns.subgroups}
    return Record(
        case_id=filled(columns.case_id, int) or row.source,
        text=value(columns.text),
        label=value(columns.label, int),
        group=filled(columns.group, int),
        date=None if day is None else iso_date(day),
        subgroups={name: found for name, found in subgroups.items() if found is not None},
        source=row.source,
    )


def _text(name: str, value: Any, types: tuple[type, ...]) -> str | None:
    """A value as text, if it is text, null or of one of ``types`` (a bool is an int)."""
    if value is None or value != value:  # NaN is how pandas writes that there is nothing
        return None
    if not isinstance(value, (str, *types)):
        expected = "text or an integer" if int in types else "text"
        raise ValueError(f"the column {name!r} holds a {type(value).__name__}; expected {expected}")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = str(value)
    if len(text) > MAX_FIELD // 4:  # a character has four bytes at most
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_FIELD:
            raise ValueError(f"the column {name!r} holds {size:,} bytes; at most {MAX_FIELD:,} are read")
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise ValueError(f"the column {name!r} holds half a surrogate pair, which no text has")
    return text


def _check_first(record: Record, first: dict[bytes, str]) -> None:
    key = blake2b(record["case_id"].encode(), digest_size=16).digest()
    before = first.setdefault(key, record["source"])
    if before != record["source"]:
        raise ValueError(
            f'the id {excerpt(record["case_id"])} stands in {before} already (compared as text: 1 and "1" are the same)'
        )
