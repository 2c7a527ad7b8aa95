"""From a raw export to files one can train on: read, clean, de-identify, drop what is there twice, split, report.

Rows stand in Arrow files on disk, never all in memory; of each row only numbers are kept here. A prepared folder holds
``{train,validation,test}.jsonl``, ``rejected.jsonl`` (every row that is not in them, and why), where texts were
de-identified ``deidentification_audit.jsonl``, and ``data_report.json``. All is made in a folder of its own and moved
into place at the end, the report last: a run that was interrupted left what was there before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from osler.data import duplicates
from osler.errors import InputError
from osler.preparation import data_report
from osler.preparation.cleaning import Cleaning, spellings
from osler.preparation.pseudonyms import Pseudonyms, deidentifier, pseudonym
from osler.preparation.readers.record import Record, Rejected
from osler.preparation.selection import Selection
from osler.preparation.settings import Preparation
from osler.preparation.splitting import SPLITS
from osler.preparation.workspace import deliver, workspace
from osler.storage import read_json, sha256_file, write_json

REPORT = "data_report.json"
MADE = (*(f"{split}.jsonl" for split in SPLITS), "rejected.jsonl", REPORT, "data_report.html", "README.md")
FEWEST_LABELS = 2
BATCH = 1000  # rows


def prepare(
    rows: Iterable[tuple[str | None, Record | Rejected]], output: Path, preparation: Preparation, source: str
) -> dict[str, Any]:
    """Prepare ``rows`` and write the folder ``output``; returns what is in its ``data_report.json``.

    Args:
        rows: each with its split where the source has splits, else None. A row of ``train`` that stands in a held-out
            split, word for word or nearly, is dropped; where there are no splits, rows are given one by group and
            near-duplicates stay together.
        output: where it is such a folder already, its rows keep their splits.
        source: what the rows were read from, as the report says it: with a key, nothing that may name a person.

    Raises:
        InputError: more rows than allowed cannot be read, fewer than two labels are left, or ``output`` is not one
            that can be prepared so.
    """
    with workspace(output, REPORT, MADE) as work:
        _check_key(output, preparation.key)
        raw, rejected = _read(rows, work, preparation.max_rejected, Pseudonyms(preparation.key))
        means = spellings(Counter(Selection.column(raw, "label")), preparation.known)
        cleaned = _clean(raw, work, Cleaning(preparation.steps, means), preparation.key)
        selection = Selection(raw, cleaned, rejected)
        selection.drop_conflicts_and_copies()
        selection.split(_former(output), preparation.cuts)
        if not len(selection.kept):
            raise InputError(f"{source}: no row is left; dropped: {dict(Counter(selection.dropped))}")
        labels = selection.labels[np.unique(selection.label[selection.kept])]
        if len(labels) < FEWEST_LABELS:
            raise InputError(f"{source}: one label is left ({labels[0]}); there is nothing to tell apart")
        files = _write(selection, work, audited=preparation.key is not None)
        report = data_report.describe(selection, source, preparation, files)
        report["key_fingerprint"] = _fingerprint(preparation.key)
        write_json(work / REPORT, report)
        deliver(work, [*files, REPORT])
    return report


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _former(output: Path) -> dict[str, str]:
    """Case id → split, of the folder as it was prepared before."""
    found: dict[str, str] = {}
    for split in SPLITS:
        path = output / f"{split}.jsonl"
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                found.update((json.loads(line)["case_id"], split) for line in lines)
    return found


def _fingerprint(key: str | None) -> str | None:
    """Which key it is, without the key."""
    return None if key is None else pseudonym("fingerprint", key)


def _check_key(output: Path, key: str | None) -> None:
    """With another key, rows have other names: all that a folder says of their splits would be lost."""
    if not (output / REPORT).exists():
        return
    report = read_json(output / REPORT)
    if "key_fingerprint" not in report:
        raise InputError(f"{output / REPORT}: was not made by this prepare_data.py; choose another --output")
    if report["key_fingerprint"] != _fingerprint(key):
        raise InputError(
            f"{output}: was prepared without --deidentify or with another key, so its rows cannot be told and would"
            " change splits; choose another --output"
        )


def _read(
    rows: Iterable[tuple[str | None, Record | Rejected]], work: Path, max_rejected: int, pseudonyms: Pseudonyms
) -> tuple[Any, list[Rejected]]:
    """The rows as an Arrow file, and those that cannot be read."""
    from datasets import Dataset, Features, Value
    from datasets.arrow_writer import ArrowWriter

    names = ("case_id", "text", "label", "group", "date", "subgroups", "source", "identifiers", "split")
    features = Features({name: Value("large_string" if name == "text" else "string") for name in names})
    rejected: list[Rejected] = []
    with ArrowWriter(path=str(work / "raw.arrow"), features=features) as writer:
        for split, row in tqdm(rows, desc="reading", unit=" rows"):
            kept = row if isinstance(row, Rejected) else pseudonyms.checked(row)
            if isinstance(kept, Rejected):
                rejected.append(pseudonyms.rejected(kept))
                if len(rejected) > max_rejected:
                    raise InputError(
                        f"{kept.source}: {kept.reason}: {kept.excerpt}; {len(rejected):,} rows cannot be read and"
                        f" {max_rejected:,} may be set aside: mend the file, or allow more with --max-rejected"
                    )
            else:
                writer.write({**pseudonyms.row(kept), "split": split})
        n, _ = writer.finalize()
    if not n:
        raise InputError(f"no rows: {len(rejected):,} could not be read, and there are no others")
    return Dataset.from_file(str(work / "raw.arrow")), rejected


def _key(text: str) -> int:
    """The same for texts of the same words."""
    return int.from_bytes(
        hashlib.blake2b(duplicates.normalise(text).encode(), digest_size=8).digest(), "big", signed=True
    )


class _Cleaner:
    """What ``datasets.map`` sends to its processes."""

    def __init__(self, cleaning: Cleaning, key: str | None) -> None:
        self._cleaning = cleaning
        self._key = key

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        rows = [self._cleaning.clean(text, label) for text, label in zip(batch["text"], batch["label"], strict=True)]
        texts = [row.text for row in rows]
        found: list[Sequence[Any]] = [[] for _ in rows]
        if self._key is not None:
            kept = [n for n, row in enumerate(rows) if row.dropped is None]
            ids, groups = batch["case_id"], batch["group"]
            notes = ((ids[n], texts[n], groups[n] or ids[n]) for n in kept)
            for n, (_, text, audit) in zip(kept, deidentifier(self._key).replace_all(notes), strict=True):
                texts[n], found[n] = text, [{**identifier, "field": "text"} for identifier in audit]
        return {
            "text": texts,
            "label": [row.label for row in rows],
            "dropped": [row.dropped or "" for row in rows],
            "changed": [",".join(row.changed) for row in rows],
            "identifiers": [json.dumps(audit) for audit in found],
            "words": [len(text.split()) for text in texts],
            "key": [_key(text) for text in texts],
            "raw_key": [_key(text or "") for text in batch["text"]],
        }


def _clean(raw: Any, work: Path, cleaning: Cleaning, key: str | None) -> Any:
    """``raw`` after cleaning and de-identification, by as many processes as there are cores."""
    return raw.map(
        _Cleaner(cleaning, key),
        batched=True,
        batch_size=BATCH,
        num_proc=min(os.cpu_count() or 1, -(-len(raw) // BATCH)),
        remove_columns=raw.column_names,
        cache_file_name=str(work / "cleaned.arrow"),
        new_fingerprint="cleaned",  # the folder is ours alone: nothing is looked up, and hashing the steps takes long
        desc="cleaning",
    )


def _write(selection: Selection, work: Path, audited: bool) -> dict[str, str]:
    """Write the files of the folder, but for the report; name → sha256."""
    unread = ({"case_id": None, "source": r.source, "reason": f"unreadable: {r.reason}"} for r in selection.rejected)
    files: dict[str, Iterable[dict[str, Any]]] = {f"{split}.jsonl": selection.rows(split) for split in SPLITS}
    files["rejected.jsonl"] = chain(unread, selection.left_out())
    if audited:
        files["deidentification_audit.jsonl"] = selection.audit()
    for name, rows in files.items():
        with (work / name).open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return {name: sha256_file(work / name) for name in files}
