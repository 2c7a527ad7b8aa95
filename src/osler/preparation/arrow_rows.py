"""Write the rows of an export to an Arrow file, and clean them into another one, so that memory holds none of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from osler.data import duplicates
from osler.errors import InputError
from osler.preparation.cleaning import Cleaning
from osler.preparation.pseudonyms import Pseudonyms, load_deidentifier
from osler.preparation.readers.record import NOT_CONFIRMED, UNREADABLE, Notice, Record, RejectedRow, file_of

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1000  # rows
MAX_LISTED = 20  # rows of each kind of fault, in an error message


def store_rows(
    rows: Iterable[tuple[str | None, Record | RejectedRow | Notice]],
    work: Path,
    max_rejected: int,
    pseudonyms: Pseudonyms,
    show_text: bool,
) -> tuple[Dataset, list[RejectedRow], dict[str, int]]:
    """The rows as a table in the folder ``work``, the rejected ones, and the notices with their numbers.

    Raises:
        InputError: more than ``max_rejected`` rows cannot be read, or none is a case; all that cannot be read are
            named, and quoted only if ``show_text``.
    """
    from datasets import Dataset, Features, Value
    from datasets.arrow_writer import ArrowWriter

    names = ("case_id", "text", "label", "group", "date", "subgroups", "source", "identifiers", "split")
    features = Features({name: Value("large_string" if name == "text" else "string") for name in names})
    rejected: list[RejectedRow] = []
    refusals = Refusals(show_text)
    notices: dict[str, int] = {}
    with ArrowWriter(path=str(work / "raw.arrow"), features=features) as writer:
        for split, row in tqdm(rows, desc="reading", unit=" rows"):
            if isinstance(row, Notice):
                notices[row.text] = notices.get(row.text, 0) + row.number
                continue
            checked = row if isinstance(row, RejectedRow) else pseudonyms.check(row)
            if isinstance(checked, RejectedRow):
                if checked.kind == UNREADABLE:
                    refusals.add(checked)
                if refusals.n <= max_rejected:
                    rejected.append(pseudonyms.mask_rejected(checked))
            elif refusals.n <= max_rejected:  # else nothing is written: the other faults are looked for
                writer.write({**pseudonyms.mask(checked), "split": split})
        if refusals.n > max_rejected:
            raise InputError(
                f"{refusals}; {refusals.n:,} {'row' if refusals.n == 1 else 'rows'} cannot be read and"
                f" {max_rejected:,} are allowed: correct the file, or allow more with --max-rejected"
            )
        n, _ = writer.finalize()
    if not n:
        kinds = Counter(row.kind for row in rejected)
        reasons = ", ".join(f"{kind.replace('_', ' ')} {number:,}" for kind, number in kinds.most_common())
        way_out = "; --include-suspected lets in what is not confirmed" if NOT_CONFIRMED in kinds else ""
        raise InputError(f"no row is left ({reasons}){way_out}")
    return Dataset.from_file(str(work / "raw.arrow")), rejected, notices


class Refusals:
    """The rows that cannot be read, in one line: the first of each kind with its reason, and the places of others.

    Reasons are of one kind if they differ only in numbers and in what they quote.
    """

    def __init__(self, show_text: bool) -> None:
        self.n = 0
        self._show_text = show_text
        self._first: dict[str, RejectedRow] = {}
        self._others: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, row: RejectedRow) -> None:
        self.n += 1
        kind = re.sub(r"'[^']*'|\"[^\"]*\"|(?<!\S)[^\s:]+:\d+|\d[\d,]*", "", row.reason)
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            self._first[kind] = row
        elif self._counts[kind] <= MAX_LISTED:
            self._others.setdefault(kind, []).append(row.source)

    def __str__(self) -> str:
        faults = []
        for kind, row in self._first.items():
            fault = f"{row.source}: {row.reason}" + (f": {row.excerpt}" if self._show_text else "")
            if others := self._others.get(kind):
                file = row.source.rpartition(":")[0]
                others = [other.removeprefix(file) for other in others]
                rest = " …" if self._counts[kind] > MAX_LISTED else ""
                fault += f" (and so in {self._counts[kind] - 1:,} more: {', '.join(others)}{rest})"
            faults.append(fault)
        return "; ".join(faults)


def clean_rows(
    raw: Dataset, work: Path, cleaning: Cleaning, key: str | None, day_first: Mapping[str, bool | None]
) -> Dataset:
    """The rows of ``raw`` after cleaning and, with a key, de-identification, in the same order.

    Large data is cleaned in as many processes as there are cores. ``day_first`` has the order of day and month by file
    (:class:`~osler.preparation.deidentification.date_order.DateOrders`). The columns are ``text``, ``label``,
    ``dropped`` (a step, or empty), ``changed`` (steps, comma-separated), ``identifiers`` (audit lines as JSON),
    ``words`` (their number), and hashes of the normalised text after and before cleaning, ``text_hash`` and
    ``raw_text_hash``.
    """
    processes = min(os.cpu_count() or 1, -(-len(raw) // BATCH))
    return raw.map(
        BatchCleaner(cleaning, key, day_first),
        batched=True,
        batch_size=BATCH,
        num_proc=processes if processes > 1 else None,  # 1 would start a process, which takes longer than small data
        remove_columns=raw.column_names,
        cache_file_name=str(work / "cleaned.arrow"),
        new_fingerprint="cleaned",  # nobody else uses the folder, so nothing is looked up; hashing the steps is slow
        desc="cleaning",
    )


class BatchCleaner:
    """The function that goes to other processes, by ``datasets.map`` or :mod:`osler.preparation.datatrove_tasks`."""

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
