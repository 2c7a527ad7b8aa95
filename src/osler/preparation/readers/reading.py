"""Read an export, of whatever format, as a stream of records; reject the rows that cannot be read.

:mod:`files` gives the rows as they are, each with its place; :mod:`phenopacket` and :mod:`fhir` make tables of theirs.
Here the columns that the user names become a :class:`Record`. Only 16 bytes of the id and the place of each row are
kept, so memory does not grow with the texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from osler.errors import InputError, nearest
from osler.preparation.readers import clinical, fhir, files, phenopacket
from osler.preparation.readers.record import (
    MAX_FIELD_BYTES,
    Columns,
    Notice,
    RawRow,
    Record,
    RejectedRow,
    check_columns,
    excerpt,
    iso_date,
)

HEAD = 100  # rows that are read ahead to find the columns

_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d{2,}")
_EXCEL_LINE_END = "_x000D_"  # how Excel's files write a carriage return, and what most readers of them leave in texts


def read(
    source: str, columns: Columns | None, revision: str | None = None, include_suspected: bool = False
) -> Iterator[Record | RejectedRow | Notice]:
    """The rows of ``source`` in order; in place of a row that is no case, the reason.

    Clinical formats give their rejected rows first, and last notices of what else was set aside or taken in doubt.

    Args:
        source: a file (.jsonl, .ndjson, .csv, .tsv, .parquet or .json; all but Parquet also as .gz), a folder of files
            of one kind, or a dataset on the Hub (owner/name), of which all splits are read. Whether JSON is FHIR or
            phenopackets is decided by its content. A .json file is held in memory; everything else is streamed.
        columns: None means :data:`osler.preparation.readers.clinical.DEFAULT_COLUMNS`; a table needs them named.
        revision: the commit of a dataset on the Hub.
        include_suspected: whether the suspected diagnoses of FHIR and phenopackets count, too: Conditions that are
            unconfirmed, provisional or differential, and interpretations that are not SOLVED (but not UNSOLVED ones).

    Ids are compared as text: 1 and "1" are the same id, and the second row is rejected. Integers and booleans are
    written as in JSON. A date that is a month or a year stands for its first day. A blank group, date, subgroup or id
    counts as missing. Control characters in a text are left to cleaning.

    Raises:
        InputError: at once if the source does not exist or the revision is not a commit. With the first row if a named
            column is missing (in JSONL: from the first ``HEAD`` rows), if the file has another delimiter or encoding,
            or is empty, or if suspected diagnoses are wanted of a table. At the end if the file changed while it was
            read, or if no row has a label.
    """
    place = f"{source}@{revision}" if revision else source
    path = Path(source)
    hub = re.fullmatch(r"[\w.-]+/[\w.-]+", source) is not None
    if revision is not None and path.exists():
        raise InputError(f"{source} is a local file or folder, which has no revision; leave --revision out")
    if revision is None and not path.exists():
        way_out = "; a dataset on the Hub needs a revision, the 40 hex digits of a commit" if hub else ""
        raise InputError(f"{source}: no such file or folder{way_out}")
    if revision is not None and not (hub and re.fullmatch("[0-9a-f]{40}", revision, re.ASCII)):
        raise InputError(f"{place}: not a pinned dataset; expected owner/name and the 40 hex digits of a commit")
    rows = files.read_files(path, columns) if revision is None else files.read_hub_dataset(source, revision)
    return _records(place, rows, columns, include_suspected)


def _records(
    place: str, source_rows: Iterator[RawRow | RejectedRow], columns: Columns | None, include_suspected: bool
) -> Iterator[Record | RejectedRow | Notice]:
    rows, columns = _as_table(place, source_rows, columns, include_suspected)
    first_places: dict[bytes, str] = {}  # hash of an id → the place of its first row
    read = labelled = 0
    for row in rows:
        if isinstance(row, RejectedRow | Notice):
            yield row
            continue
        try:
            record = _record(row, columns)
            if columns.case_id:
                _check_unique(record, first_places)
        except ValueError as error:
            yield RejectedRow(row.source, str(error), excerpt(row.columns.get(columns.text)))
            continue
        yield record
        read += 1
        labelled += bool(record["label"] and not record["label"].isspace())
    if read and not labelled:
        raise InputError(f"{place}: the label column {columns.label!r} is empty in all {read:,} rows; name another one")


def _as_table(
    place: str, rows: Iterator[RawRow | RejectedRow], columns: Columns | None, include_suspected: bool
) -> tuple[Iterator[RawRow | RejectedRow | Notice], Columns]:
    """Detect the format from the first rows. Returns the rows of a table and its columns, which are checked."""
    head: list[RawRow | RejectedRow] = []
    first: Mapping[str, Any] | None = None
    for row in rows:
        head.append(row)
        if first is None and isinstance(row, RawRow):
            first = row.columns
        # The first object is enough to recognise a clinical format; a hundred bundles could be gigabytes.
        if len(head) >= HEAD or (first and (fhir.is_resource(first) or phenopacket.is_phenopacket(first))):
            break
    if first is None:
        rejected = head[0]
        assert isinstance(rejected, RejectedRow)  # a source without rows has already raised an error
        raise InputError(f"{place}: none of the first rows can be read; {rejected.source}: {rejected.reason}")
    rows = chain(head, rows)
    cases: Iterator[clinical.Case | RejectedRow | Notice]
    if fhir.is_resource(first):
        cases = fhir.read_conditions(place, rows, include_suspected)
    elif phenopacket.is_phenopacket(first):
        cases = phenopacket.read_phenopackets(rows, include_suspected)
    else:
        if include_suspected:
            raise InputError(f"{place} is a table, which does not say what is suspected; leave --include-suspected out")
        available = tuple(dict.fromkeys(name for row in head if isinstance(row, RawRow) for name in row.columns))
        check_columns(place, available, columns)
        assert columns is not None
        return rows, columns
    columns = columns or clinical.DEFAULT_COLUMNS
    if not set(columns.names) <= set(clinical.COLUMNS):
        named = next(name for name in columns.names if name not in clinical.COLUMNS)
        raise InputError(
            f"{place} is of a clinical format, which needs no columns: leave --text-column, --label-column and the"
            f" others out (it has {', '.join(clinical.COLUMNS)}, and no {named!r}{nearest(named, clinical.COLUMNS)})"
        )
    return clinical.label_cases(cases), columns


def _record(row: RawRow, columns: Columns) -> Record:
    """The record of a row. Raises ``ValueError`` with the reason if it has none."""

    def value(name: str | None, *types: type) -> str | None:
        return None if name is None else _text(name, row.columns.get(name), types)

    def filled(name: str | None, *types: type) -> str | None:
        text = value(name, *types)
        return None if text is None or not text.strip() else text

    def named(name: str | None) -> str | None:
        text = filled(name, int)
        if text is not None and _ROUNDED.fullmatch(text.strip()):
            raise ValueError(
                f"the column {name!r} holds {excerpt(text)}, a number that a spreadsheet rounded, so that different"
                " ones became the same: export it again with this column as text"
            )
        return text

    day = filled(columns.date, int, date)
    subgroups = {name: filled(name, int, float, date) for name in columns.subgroups}
    return Record(
        case_id=named(columns.case_id) or row.source,
        text=value(columns.text),
        label=named(columns.label) or value(columns.label, int),
        group=named(columns.group),
        date=None if day is None else iso_date(day),
        subgroups={name: text for name, text in subgroups.items() if text is not None},
        source=row.source,
        code=row.code,
    )


def _text(name: str, value: Any, types: tuple[type, ...]) -> str | None:
    """A value as text, if it is text, null or of one of ``types`` (a bool is an int); else ``ValueError``."""
    if value is None or value != value:  # pandas writes NaN for a missing value
        return None
    if int in types and isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas writes integers as floats where one of them is missing
    if not isinstance(value, (str, *types)):
        expected = "text or an integer" if int in types else "text"
        raise ValueError(f"the column {name!r} holds a {type(value).__name__}; expected {expected}")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = str(value).replace(_EXCEL_LINE_END, "\n")
    if len(text) > MAX_FIELD_BYTES // 4:  # a character has at most four bytes
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_FIELD_BYTES:
            raise ValueError(f"the column {name!r} holds {size:,} bytes; at most {MAX_FIELD_BYTES:,} are read")
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise ValueError(f"the column {name!r} holds half a surrogate pair, which is not text")
    return text


def _check_unique(record: Record, first_places: dict[bytes, str]) -> None:
    """Raise ``ValueError`` if another row has the id of ``record``."""
    key = blake2b(record["case_id"].encode(), digest_size=16).digest()
    first = first_places.setdefault(key, record["source"])
    if first != record["source"]:
        raise ValueError(
            f'the id {excerpt(record["case_id"])} is already used in {first} (compared as text: 1 and "1" are the same)'
        )
