"""Answers to all texts of a file, into a file, for ``scripts/diagnose.py``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from osler.errors import InputError
from osler.preparation import Columns, RawRow, RejectedRow, read_files
from osler.serving.batching import BATCH
from osler.serving.diagnosis import Diagnosis
from osler.serving.model import Asked, ServedModel
from osler.storage import check_folder, write_atomically

FORMATS = (".jsonl", ".csv")


def answer_file(
    model: ServedModel, source: Path, column: str, output: Path, top: int, id_column: str | None = None
) -> str:
    """Answer every text in ``column`` of ``source`` (a file that ``prepare_data.py`` reads), and write ``output``,
    whole or not at all; returns what came of it, in a line.

    A row that cannot be asked has an ``error`` instead of an answer. Every line has its ``row`` (``<file>:<row>``),
    and with an ``id_column`` what stands in it as ``id``.

    Raises:
        InputError: ``source`` cannot be read, or lacks a column; ``output`` is there, or has another ending than
            .jsonl and .csv.
    """
    if output.suffix not in FORMATS:
        raise InputError(f"--output {output}: expected a name that ends in {' or '.join(FORMATS)}")
    if output.exists():
        raise InputError(f"--output {output}: is there already; name another file")
    check_folder(output.parent)
    ids: dict[str, object] = {}  # by place
    errors, asked = {}, {}
    for row in read_files(source, Columns(text=column, label=column, case_id=id_column)):
        ids[row.source] = row.columns.get(id_column) if id_column and isinstance(row, RawRow) else None
        try:
            asked[row.source] = model.encode(_text(row, column))
        except (ValueError, InputError) as error:  # of this row alone
            errors[row.source] = str(error)
    answers: dict[str, Diagnosis] = {}
    with tqdm(total=len(asked), unit=" texts") as bar:
        for batch in _batches(asked):
            answers |= zip(batch, model.answer([asked[place] for place in batch], top), strict=True)
            bar.update(len(batch))
    rows = [
        {"row": place, **({"id": one} if id_column else {}), **_said(answers.get(place), errors.get(place))}
        for place, one in ids.items()
    ]
    write_atomically(output, _jsonl(rows) if output.suffix == ".jsonl" else _csv(rows))
    abstained = sum(answer.abstained for answer in answers.values())
    return f"{output}: {len(answers):,} answered, {abstained:,} of them too unsure; {len(errors):,} not asked"


def _text(row: RawRow | RejectedRow, column: str) -> str:
    if isinstance(row, RejectedRow):
        raise ValueError(row.reason)
    text = row.columns.get(column)
    if not isinstance(text, str):
        raise ValueError(f"no text in {column}")
    return text


def _batches(asked: dict[str, Asked]) -> Iterator[Sequence[str]]:
    """Places in batches of texts that are about as long as each other."""
    order = sorted(asked, key=lambda place: len(asked[place].tokens))
    yield from (order[start : start + BATCH] for start in range(0, len(order), BATCH))


def _said(answer: Diagnosis | None, error: str | None) -> dict[str, Any]:
    nowhere = {"request_id", "words", "explanation"}
    content: dict[str, Any] = {} if answer is None else answer.model_dump(mode="json", exclude=nowhere)
    return {"error": error, **content}


def _jsonl(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    """A line a text, and of every diagnosis four columns."""
    flat = []
    for row in rows:
        line = {
            name: row.get(name) for name in ("row", "id", "error", "abstained", "reason") if name != "id" or name in row
        }
        line["warnings"] = "; ".join(row.get("warnings", ()))
        for rank, one in enumerate(row.get("diagnoses", ()), 1):
            line |= {f"{name}_{rank}": one[name] for name in ("label", "name", "probability", "icd10cm")}
        flat.append(line)
    names = list(dict.fromkeys(name for line in flat for name in line))
    written = io.StringIO()
    writer = csv.DictWriter(written, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return written.getvalue()
