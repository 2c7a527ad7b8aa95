"""The rows of files and of datasets on the Hub as they stand, each with its place. Nothing is interpreted here.

``datasets`` streams the Hub. Files are read with Python's ``csv`` and ``json`` and with pyarrow: the builders of
``datasets`` stop at the first bad row and cannot say which one it is.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from osler.errors import InputError
from osler.preparation.readers.record import MAX_FIELD, Columns, Raw, Rejected, check_columns, excerpt

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch

MAX_LINE = 64 * MAX_FIELD  # bytes; a longer line is passed over
BATCH = 1000  # rows of a Parquet file that are in memory at once
DELIMITERS = {".csv": ",", ".tsv": "\t"}
LINES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES, *DELIMITERS, ".json", ".parquet")
NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
UTF8_BOM = b"\xef\xbb\xbf"

log = logging.getLogger(__name__)


def files(path: Path, columns: Columns | None) -> Iterator[Raw | Rejected]:
    """The rows of a file, or of the files of a folder in the order of their names.

    Places are ``<file>:<row>``, the file's name within the folder and the row's first line in it; in Parquet, and in a
    list in a .json file, its number.

    Raises:
        InputError: the file is of no known kind, empty, of another encoding, or changed while it was read; the files of
            the folder are of several kinds or, in Parquet, of several types; a column is not in a table's header.
    """
    found = _found(path)
    suffix = _suffix(found[0])
    if suffix == ".parquet":
        _check_schemas(found, columns)
    for file in found:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        if suffix in LINES:
            rows = _json_lines(file, name)
        elif suffix == ".json":
            rows = _json(file, name, alone=len(found) == 1)
        elif suffix == ".parquet":
            rows = _parquet(file, name, columns)
        else:
            rows = _delimited(file, name, DELIMITERS[suffix], columns)
        yield from _unchanged(file, rows)


def hub(dataset: str, revision: str) -> Iterator[Raw | Rejected]:
    """The rows of all splits of a dataset on the Hub, streamed; places are ``<dataset>/<split>:<row>``.

    Raises:
        InputError: the Hub does not give it, or it cannot be read as a table.
    """
    import datasets
    from huggingface_hub.errors import HTTPError

    empty = True
    try:
        for split, rows in datasets.load_dataset(dataset, revision=revision, streaming=True).items():
            for number, row in enumerate(rows, 1):
                yield Raw(f"{dataset}/{split}:{number}", row)
                empty = False
    except (OSError, ValueError, RuntimeError, HTTPError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{dataset}@{revision}: cannot be streamed from the Hub ({type(error).__name__}: {reason}); see whether it"
            " is there and has one configuration, or download it and pass its file"
        ) from error
    if empty:
        raise InputError(f"{dataset}@{revision}: holds no rows")


def _found(path: Path) -> list[Path]:
    if not path.is_dir():
        if _suffix(path) not in SUFFIXES:
            raise InputError(f"{path}: not a kind of file that is read; expected {', '.join(SUFFIXES)}")
        return [path]
    every = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file.relative_to(path))]
    found = [file for file in every if _suffix(file) in SUFFIXES]
    other = [file for file in every if _suffix(file) not in SUFFIXES]
    kinds = Counter(map(_suffix, found))
    if len(kinds) != 1:
        there = " and ".join(f"{n:,} {suffix}" for suffix, n in kinds.most_common()) or "none"
        raise InputError(f"{path}: expected files of one kind out of {', '.join(SUFFIXES)}; it holds {there}")
    if other:
        log.warning("%s: %d files of other kinds are not read, such as %s", path, len(other), other[0].name)
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _unchanged(path: Path, rows: Iterator[Raw | Rejected]) -> Iterator[Raw | Rejected]:
    """``rows`` of ``path``; :class:`InputError` where it cannot be read, holds none, or was changed meanwhile."""
    try:
        before = path.stat()
        row: Raw | Rejected | None = None
        for row in rows:
            yield row
        after = path.stat()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy it again") from error
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise InputError(f"{path}: was changed while it was read; wait until it is written, and start again")
    if row is None:
        raise InputError(f"{path}: holds no rows" if after.st_size else f"{path}: is empty")


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Lines:
    """The lines of a file as text. ``number`` is that of the last one, ``flaw`` what was wrong with a line since this
    was last set to None: a line that is not UTF-8 is given all the same, so that its quotation marks are seen."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.number = 0
        self.line = ""
        self.flaw: str | None = None
        self._offset = 0
        self._file = file
        head = file.read(4096)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) > len(head) // 4:
            raise InputError(f"{path}: is UTF-16 or UTF-32, not UTF-8; write it with: iconv -f UTF-16 -t UTF-8")
        file.seek(0)
        if head.startswith(UTF8_BOM):
            self._offset = len(file.read(len(UTF8_BOM)))

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        content = self._file.readline(MAX_LINE)
        if not content:
            raise StopIteration
        self.number += 1
        start, self._offset = self._offset, self._offset + len(content)
        if len(content) == MAX_LINE and not content.endswith(b"\n"):
            while content and not content.endswith(b"\n"):
                content = self._file.readline(MAX_LINE)
                self._offset += len(content)
            self.flaw = f"a line of {self._offset - start:,} bytes; at most {MAX_LINE:,} are read"
            content = b"\n"
        try:
            self.line = content.decode("utf-8")
        except UnicodeDecodeError as error:
            self.flaw = self.flaw or f"not UTF-8 at byte {start + error.start:,} of the file ({error.reason})"
            self.line = content.decode("utf-8", "backslashreplace")
        return self.line


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _json_lines(path: Path, name: str) -> Iterator[Raw | Rejected]:
    with _open(path) as file:
        lines = _Lines(path, file)
        for line in map(str.rstrip, lines):
            place = f"{name}:{lines.number}"
            flaw, lines.flaw = lines.flaw, None
            if flaw:
                yield Rejected(place, flaw, excerpt(line))
            elif line:
                yield _object(place, *_parsed(line), line)


def _parsed(text: str) -> tuple[Any, str | None]:
    """What a JSON text says, or why it is none."""
    try:
        return json.loads(text), None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if error.lineno > 1 else ""
        return None, f"not JSON: {error.msg.removesuffix(' at')} at {where}column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets a thousand deep
        return None, f"not JSON that can be read: {error}"


def _object(place: str, content: Any, flaw: str | None, seen: object) -> Raw | Rejected:
    if flaw is None and isinstance(content, dict):
        return Raw(place, content)
    return Rejected(place, flaw or f"holds a {type(content).__name__}; expected a JSON object", excerpt(seen))


def _json(path: Path, name: str, alone: bool) -> Iterator[Raw | Rejected]:
    """The object in a .json file, or the objects in its list. Where it is one of many, a broken one is set aside."""
    with _open(path) as file:
        text = "".join(lines := _Lines(path, file))
    if not text or text.isspace():
        return
    content, flaw = _parsed(text) if lines.flaw is None else (None, lines.flaw)
    if flaw and alone:
        raise InputError(f"{path}: {flaw}; export it again")
    for number, item in enumerate(content, 1) if isinstance(content, list) else [(1, content)]:
        row = _object(f"{name}:{number}", item, flaw, text if flaw else item)
        if isinstance(row, Raw) and not _is_clinical(row):
            raise InputError(
                f"{path}: neither phenopackets nor a FHIR bundle; of a table, write one JSON object a line (.jsonl)"
            )
        yield row


def _is_clinical(row: Raw) -> bool:
    from osler.preparation.readers import fhir, phenopacket

    return fhir.is_resource(row.columns) or phenopacket.is_phenopacket(row.columns)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _delimited(path: Path, name: str, delimiter: str, columns: Columns | None) -> Iterator[Raw | Rejected]:
    with _open(path) as file:
        lines = _Lines(path, file)
        # Strict, because otherwise a stray quotation mark makes one text of two without a word.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] | None = []
        try:
            while header == []:
                header = _next(reader)
        except csv.Error as error:
            raise InputError(f"{path}: line {lines.number} is not a header ({error})") from None
        if header is None:
            return
        if lines.flaw:
            raise InputError(f"{path}: line {lines.number}: {lines.flaw}")
        _check_header(path, header, lines.line, delimiter, columns)
        while True:
            start = lines.number + 1
            flaw = None
            try:
                fields = _next(reader)
            except csv.Error as error:
                fields, flaw = [], str(error)
            if fields is None:
                return
            flaw, lines.flaw = lines.flaw or flaw, None
            if not flaw and fields and len(fields) != len(header):
                flaw = f"{len(fields)} fields where the header has {len(header)}"
            if flaw:
                lost = f" (from there to line {lines.number:,})" if lines.number > start else ""
                yield Rejected(f"{name}:{start}", flaw + lost, excerpt(lines.line))
            elif fields:
                yield Raw(f"{name}:{start}", dict(zip(header, fields, strict=True)))


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, with our limit of a field's length: the one of ``csv`` is the same for a whole process."""
    before = csv.field_size_limit(MAX_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _check_header(path: Path, header: list[str], line: str, delimiter: str, columns: Columns | None) -> None:
    named = columns.named if columns else ()
    missing = not set(named) <= set(header)
    for other in NAMES:
        if missing and set(named) <= set(next(csv.reader([line], delimiter=other), [])):
            suffix = next((suffix for suffix, usual in DELIMITERS.items() if usual == other), None)
            way_out = f"rename it to {suffix}" if suffix else f"write it with {NAMES[delimiter]}"
            raise InputError(f"{path}: its columns are separated by {NAMES[other]} ({other!r}); {way_out}")
    check_columns(str(path), header, columns)
    for column in named:
        if header.count(column) > 1:
            raise InputError(f"{path}: {header.count(column)} columns are called {column!r}; rename all but one")


def _parquet(path: Path, name: str, columns: Columns | None) -> Iterator[Raw | Rejected]:
    from pyarrow import ArrowException, parquet

    numbers = count(1)
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH, columns=list(columns.named) if columns else None):
                for columns_or_flaw in _plain(batch):
                    place = f"{name}:{next(numbers)}"
                    if isinstance(columns_or_flaw, str):
                        yield Rejected(place, columns_or_flaw, "")
                    else:
                        yield Raw(place, columns_or_flaw)
    except ArrowException as error:
        raise InputError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())}); copy it again") from None


def _plain(batch: RecordBatch) -> list[dict[str, Any] | str]:
    """The rows of a batch; in place of one whose text is not UTF-8, which Parquet does not check, the reason."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [f"not UTF-8 at byte {error.start:,} of a field ({error.reason})"]
        return [row for number in range(batch.num_rows) for row in _plain(batch.slice(number, 1))]


def _check_schemas(found: list[Path], columns: Columns | None) -> None:
    """Before a row is read: every file has the named columns, and of the same types."""
    from pyarrow import ArrowException, parquet

    types: dict[str, tuple[str, Path]] = {}
    for path in found:
        try:
            schema = parquet.read_schema(path)
        except (ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: cannot be read as Parquet ({reason}); copy it again") from None
        check_columns(str(path), schema.names, columns)
        for column in columns.named if columns else ():
            kind = _kind(schema.field(column).type)
            first, where = types.setdefault(column, (kind, path)) if kind != "null" else (kind, path)
            if kind != first:
                raise InputError(f"{path}: the column {column!r} is {kind}, in {where} {first}; write both alike")


def _kind(of: DataType) -> str:
    """A column's type in a word; those of text that differ in memory only, and those of integers, are one."""
    from pyarrow import types

    if types.is_dictionary(of):
        return _kind(of.value_type)
    if types.is_string(of) or types.is_large_string(of) or types.is_string_view(of):
        return "text"
    return "integer" if types.is_integer(of) else str(of)
