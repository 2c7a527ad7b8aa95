"""Read the rows of files, or of a dataset on the Hub, as they are and each with its place.

``datasets`` streams from the Hub. Files are read with Python's ``csv`` and ``json`` and with pyarrow, because the
builders of ``datasets`` stop at the first bad row and cannot say which one it is.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from osler.errors import InputError
from osler.preparation.readers.csv_files import DELIMITERS, read_csv
from osler.preparation.readers.json_files import read_json, read_json_lines
from osler.preparation.readers.parquet_files import check_schemas, name_classes, read_parquet
from osler.preparation.readers.record import Columns, RawRow, RejectedRow
from osler.storage import read_text

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (*JSON_LINES, *DELIMITERS, ".json", ".parquet")

log = logging.getLogger(__name__)


def read_files(path: Path, columns: Columns | None) -> Iterator[RawRow | RejectedRow]:
    """The rows of a file, or of the files in a folder in the order of their names.

    A place is ``<file>:<row>``: the file's name within the folder, and the first line of the row; in Parquet and in the
    list of a .json file the number of the row.

    Raises:
        InputError: a file is of an unknown kind, empty, of another encoding, or changed while it was read; the files in
            the folder are of several kinds or, in Parquet, of several types; a table lacks a named column.
    """
    paths = _find_files(path)
    suffix = _suffix(paths[0])
    if suffix == ".parquet":
        check_schemas(paths, columns)
    for file_path in paths:
        name = file_path.relative_to(path).as_posix() if path.is_dir() else file_path.name
        if suffix in JSON_LINES:
            rows = read_json_lines(file_path, name)
        elif suffix == ".json":
            rows = read_json(file_path, name, is_only_file=len(paths) == 1)
        elif suffix == ".parquet":
            rows = read_parquet(file_path, name, columns)
        else:
            rows = read_csv(file_path, name, DELIMITERS[suffix], columns)
        yield from _check_unchanged(file_path, rows)


def read_note(path: Path) -> str:
    """The text of one patient. Raises :class:`InputError` where ``path`` is a table, by its name, or is no text."""
    if _suffix(path) in {*JSON_LINES, ".json", ".parquet", *DELIMITERS}:
        raise InputError(f"{path}: a table of notes; add --output answers.csv, and --text-column NAME")
    return read_text(path)


def read_hub_dataset(dataset: str, revision: str) -> Iterator[RawRow | RejectedRow]:
    """Stream the rows of all splits of a dataset on the Hub; a place is ``<dataset>/<split>:<row>``.

    Raises:
        InputError: the dataset cannot be downloaded, or cannot be read as a table.
    """
    import datasets
    from huggingface_hub.errors import HTTPError

    empty = True
    try:
        for split, rows in datasets.load_dataset(dataset, revision=revision, streaming=True).items():
            features = rows.features or {}
            class_names = {c: kind.names for c, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
            for number, row in enumerate(rows, 1):
                yield name_classes(f"{dataset}/{split}:{number}", row, class_names)
                empty = False
    except (OSError, ValueError, RuntimeError, HTTPError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{dataset}@{revision}: cannot be streamed from the Hub ({type(error).__name__}: {reason}); check that it"
            " exists and has one configuration, or download it and pass its file"
        ) from error
    if empty:
        raise InputError(f"{dataset}@{revision}: has no rows")


def _find_files(path: Path) -> list[Path]:
    """``path`` itself, or the files of one kind in the folder, without hidden ones."""
    if not path.is_dir():
        if _suffix(path) not in SUFFIXES:
            raise InputError(
                f"{path}: not a kind of file that can be read; expected {', '.join(SUFFIXES)} (a table of text may be"
                " called .csv, whatever separates its columns)"
            )
        return [path]
    all_files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _is_hidden(file.relative_to(path))]
    files = [file for file in all_files if _suffix(file) in SUFFIXES]
    other = [file for file in all_files if _suffix(file) not in SUFFIXES]
    kinds = Counter(map(_suffix, files))
    if len(kinds) != 1:
        content = " and ".join(f"{n:,} {suffix}" for suffix, n in kinds.most_common()) or "none"
        raise InputError(f"{path}: expected files of one kind out of {', '.join(SUFFIXES)}; it holds {content}")
    if other:
        log.warning("%s: skipped %d files of other kinds, such as %s", path, len(other), other[0].name)
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _check_unchanged(path: Path, rows: Iterator[RawRow | RejectedRow]) -> Iterator[RawRow | RejectedRow]:
    """Yield ``rows``; raise :class:`InputError` if ``path`` cannot be read, has no rows, or changes meanwhile."""
    try:
        before = path.stat()
        row: RawRow | RejectedRow | None = None
        for row in rows:
            yield row
        after = path.stat()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy it again") from error
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise InputError(f"{path}: was changed while it was read; wait until it is written, and start again")
    if row is None:
        raise InputError(f"{path}: has no rows" if after.st_size else f"{path}: is empty")
