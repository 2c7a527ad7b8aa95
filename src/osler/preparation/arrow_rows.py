"""Write the rows of an export to an Arrow file, and clean them into another one, so that memory holds none of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from osler.data import duplicates
from osler.errors import InputError
from osler.preparation.cleaning import Cleaning
from osler.preparation.pseudonyms import Pseudonyms, load_deidentifier
from osler.preparation.readers.record import Record, RejectedRow, file_of

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1000  # rows


def store_rows(
    rows: Iterable[tuple[str | None, Record | RejectedRow]], work: Path, max_rejected: int, pseudonyms: Pseudonyms
) -> tuple[Dataset, list[RejectedRow]]:
    """The rows as a table in the folder ``work``, and the rejected ones.

    Raises:
        InputError: more than ``max_rejected`` rows cannot be read, or none can.
    """
    from datasets import Dataset, Features, Value
    from datasets.arrow_writer import ArrowWriter

    names = ("case_id", "text", "label", "group", "date", "subgroups", "source", "identifiers", "split")
    features = Features({name: Value("large_string" if name == "text" else "string") for name in names})
    rejected: list[RejectedRow] = []
    with ArrowWriter(path=str(work / "raw.arrow"), features=features) as writer:
        for split, row in tqdm(rows, desc="reading", unit=" rows"):
            checked = row if isinstance(row, RejectedRow) else pseudonyms.check(row)
            if isinstance(checked, RejectedRow):
                rejected.append(pseudonyms.mask_rejected(checked))
                if len(rejected) > max_rejected:
                    raise InputError(
                        f"{checked.source}: {checked.reason}: {checked.excerpt}; {len(rejected):,} rows cannot be read"
                        f" and {max_rejected:,} are allowed: correct the file, or allow more with --max-rejected"
                    )
            else:
                writer.write({**pseudonyms.mask(checked), "split": split})
        n, _ = writer.finalize()
    if not n:
        raise InputError(f"no rows: {len(rejected):,} could not be read, and there are no others")
    return Dataset.from_file(str(work / "raw.arrow")), rejected


def clean_rows(
    raw: Dataset, work: Path, cleaning: Cleaning, key: str | None, day_first: Mapping[str, bool | None]
) -> Dataset:
    """The rows of ``raw`` after cleaning and, with a key, de-identification, in the same order.

    There are as many processes as cores. ``day_first`` has the order of day and month in each file
    (:class:`~osler.preparation.deidentification.date_order.DateOrders`). The columns are ``text``, ``label``,
    ``dropped`` (a step, or empty), ``changed`` (steps, comma-separated), ``identifiers`` (audit lines as JSON),
    ``words`` (their number), and hashes of the normalised text after and before cleaning, ``text_hash`` and
    ``raw_text_hash``.
    """
    return raw.map(
        _BatchCleaner(cleaning, key, day_first),
        batched=True,
        batch_size=BATCH,
        num_proc=min(os.cpu_count() or 1, -(-len(raw) // BATCH)),
        remove_columns=raw.column_names,
        cache_file_name=str(work / "cleaned.arrow"),
        new_fingerprint="cleaned",  # nobody else uses the folder, so nothing is looked up; hashing the steps is slow
        desc="cleaning",
    )


class _BatchCleaner:
    """The function that ``datasets.map`` sends to its processes."""

    def __init__(self, cleaning: Cleaning, key: str | None, day_first: Mapping[str, bool | None]) -> None:
        self._cleaning = cleaning
        self._key = key
        self._day_first = day_first

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        rows = [self._cleaning.clean(text, label) for text, label in zip(batch["text"], batch["label"], strict=True)]
        texts = [row.text for row in rows]
        identifiers: list[Sequence[Any]] = [[] for _ in rows]
        if self._key is not None:
            kept = [n for n, row in enumerate(rows) if row.dropped is None]
            ids, groups = batch["case_id"], batch["group"]
            order = [self._day_first[file_of(source)] for source in batch["source"]]
            notes = ((ids[n], texts[n], groups[n] or ids[n], order[n]) for n in kept)
            for n, (_, text, audit) in zip(kept, load_deidentifier(self._key).replace_all(notes), strict=True):
                texts[n], identifiers[n] = text, [{**line, "field": "text"} for line in audit]
        return {
            "text": texts,
            "label": [row.label for row in rows],
            "dropped": [row.dropped or "" for row in rows],
            "changed": [",".join(row.changed) for row in rows],
            "identifiers": [json.dumps(audit) for audit in identifiers],
            "words": [len(text.split()) for text in texts],
            "text_hash": [_text_hash(text) for text in texts],
            "raw_text_hash": [_text_hash(text or "") for text in batch["text"]],
        }


def _text_hash(text: str) -> int:
    """A signed 64-bit hash, the same for texts of the same words."""
    digest = hashlib.blake2b(duplicates.normalise(text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
