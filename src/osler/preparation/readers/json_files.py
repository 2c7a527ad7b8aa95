"""Read JSON Lines, and .json files of FHIR or phenopackets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.preparation.readers import fhir, phenopacket
from osler.preparation.readers.record import RawRow, RejectedRow, excerpt
from osler.preparation.readers.text_lines import TextLines, open_binary


def read_json_lines(path: Path, name: str) -> Iterator[RawRow | RejectedRow]:
    """The object in each line of ``path``; places begin with ``name``."""
    with open_binary(path) as file:
        lines = TextLines(path, file)
        for line in map(str.rstrip, lines):
            place = f"{name}:{lines.number}"
            flaw, lines.flaw = lines.flaw, None
            if flaw:
                yield RejectedRow(place, flaw, excerpt(line))
            elif line:
                yield _object(place, *_parse(line), line)


def read_json(path: Path, name: str, is_only_file: bool) -> Iterator[RawRow | RejectedRow]:
    """The object in a .json file, or the objects in its list; places begin with ``name``.

    Raises:
        InputError: an object is neither FHIR nor a phenopacket, or the file is broken and the only one. A broken file
            among others is rejected instead.
    """
    with open_binary(path) as file:
        text = "".join(lines := TextLines(path, file))
    if not text or text.isspace():
        return
    content, flaw = _parse(text) if lines.flaw is None else (None, lines.flaw)
    if flaw and is_only_file:
        raise InputError(f"{path}: {flaw}; export it again")
    for number, item in enumerate(content, 1) if isinstance(content, list) else [(1, content)]:
        row = _object(f"{name}:{number}", item, flaw, text if flaw else item)
        if isinstance(row, RawRow) and not (fhir.is_resource(row.columns) or phenopacket.is_phenopacket(row.columns)):
            raise InputError(
                f"{path}: neither phenopackets nor a FHIR bundle; write a table as one JSON object a line (.jsonl)"
            )
        yield row


def _parse(text: str) -> tuple[Any, str | None]:
    """The content of a JSON text and None, or None and why it cannot be read."""
    try:
        return json.loads(text), None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return None, f"not JSON: {error.msg.removesuffix(' at')} at {line}column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets a thousand deep
        return None, f"not JSON that can be read: {error}"


def _object(place: str, content: Any, flaw: str | None, shown: object) -> RawRow | RejectedRow:
    if flaw is None and isinstance(content, dict):
        return RawRow(place, content)
    return RejectedRow(place, flaw or f"holds a {type(content).__name__}; expected a JSON object", excerpt(shown))
