"""Texts that a store does not hold, from a file, for whoever reviews: shown, never kept."""

from __future__ import annotations

from pathlib import Path

from osler.errors import InputError, show
from osler.preparation import Columns, RejectedRow, read_files

ID, TEXT = "id", "text"


def read_texts(path: Path) -> dict[str, str]:
    """Id of a prediction → text, from the columns ``id`` and ``text`` of a file that ``prepare_data.py`` reads, such as
    CSV or JSON lines.

    Raises:
        InputError: it cannot be read, lacks a column, or has an id twice.
    """
    texts: dict[str, str] = {}
    for row in read_files(path, Columns(text=TEXT, label=TEXT)):
        if isinstance(row, RejectedRow):
            raise InputError(f"{row.source}: {row.reason}")
        id, text = row.columns.get(ID), row.columns.get(TEXT)
        if id is None or not isinstance(text, str) or not text.strip():
            raise InputError(f"{row.source}: needs the columns {ID} and {TEXT}")
        if str(id) in texts:
            raise InputError(f"{row.source}: the id {show(str(id))} is there twice")
        texts[str(id)] = text
    return texts
