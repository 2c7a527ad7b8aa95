"""From a raw export to files one can train on: read, clean, de-identify, drop what is there twice, split, report.

Rows stand in Arrow files on disk, never all in memory; of each row only numbers are kept here. A prepared folder holds
``{train,validation,test}.jsonl``, ``rejected.jsonl`` (every row that is not in them, and why), ``data_report.json``,
``data_report.html`` and ``README.md``, the dataset's card. They are moved into place together, the report last: a folder
that has one is whole, and a run that was interrupted left nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from osler import duplicates
from osler.cleaning import Cleaning, Step, spellings, stated
from osler.deidentification import Deidentifier
from osler.errors import InputError
from osler.manifest import sha256_file, write_json
from osler.reading import Record, Rejected
from osler.splitting import SHARES, SPLITS, assign

HELD_OUT = SPLITS[1:]
EXAMPLES = 3  # of each reason, in the report
LONGEST_EXAMPLE = 200  # characters
REPORT = "data_report.json"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Preparation:
    """How rows are prepared.

    Attributes:
        steps: of cleaning, in order.
        known: finds the task's label for what a row has; None where the labels are those of the rows.
        max_rejected: rows that may be unreadable before all of it is refused.
        key: of de-identification, a secret; None where texts stay as they are.
        cuts: dates (ISO 8601) from which rows are ``validation`` and ``test``; None: by a hash of the group.
        license: as the Hub writes it; None where nobody said.
    """

    steps: Mapping[str, Step]
    known: Callable[[str], str | None] | None = None
    max_rejected: int = 0
    key: str | None = None
    cuts: tuple[str, str] | None = None
    license: str | None = None


def prepare(
    rows: Iterable[tuple[str | None, Record | Rejected]], output: Path, preparation: Preparation, source: str
) -> dict[str, Any]:
    """Prepare ``rows`` and write the folder ``output``; returns what is in its ``data_report.json``.

    Args:
        rows: each with its split where the source has splits, else None. A row of ``train`` that stands in a held-out
            split, word for word or nearly, is dropped; where there are no splits, rows are given one by group and
            near-duplicates stay together.
        output: where the folder is one already, its rows keep their splits.

    Raises:
        InputError: more rows than allowed cannot be read, or none is left.
    """
    work = output / ".preparing"
    shutil.rmtree(work, ignore_errors=True)  # of a run that was interrupted
    work.mkdir(parents=True)
    try:
        former = _former(output)
        raw, rejected = _read(rows, work, preparation.max_rejected, preparation.key)
        labels = spellings(Counter(label or "" for label in raw["label"]), preparation.known)
        cleaned = _clean(raw, work, Cleaning(preparation.steps, labels), preparation.key)
        table = _Table(raw, cleaned)
        table.drop_conflicts_and_copies()
        table.split(former, preparation.cuts)
        report = table.report(source, rejected, preparation)
        _write(table, rejected, work)
        report["files"] = {
            split: {"name": f"{split}.jsonl", "sha256": sha256_file(work / f"{split}.jsonl")} for split in SPLITS
        }
        _publish(work, output, report)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _former(output: Path) -> dict[str, str]:
    """Case id → split, of the folder as it was prepared before."""
    if not (output / REPORT).is_file():
        return {}
    found = {}
    for split in SPLITS:
        with (output / f"{split}.jsonl").open(encoding="utf-8") as lines:
            found.update((json.loads(line)["case_id"], split) for line in lines)
    return found


def _read(
    rows: Iterable[tuple[str | None, Record | Rejected]], work: Path, max_rejected: int, key: str | None
) -> tuple[Any, list[Rejected]]:
    """The rows as an Arrow file, and those that cannot be read."""
    from datasets import Dataset, Features, Value
    from datasets.arrow_writer import ArrowWriter

    names = ("case_id", "text", "label", "group", "date", "subgroups", "source", "split")
    features = Features({name: Value("large_string" if name == "text" else "string") for name in names})
    rejected: list[Rejected] = []
    with ArrowWriter(path=str(work / "raw.arrow"), features=features) as writer:
        for split, row in tqdm(rows, desc="reading", unit=" rows"):
            if isinstance(row, Rejected):
                rejected.append(row)
                if len(rejected) > max_rejected:
                    raise InputError(
                        f"{row.source}: {row.reason}: {row.excerpt}; {len(rejected):,} rows cannot be read and"
                        f" {max_rejected:,} may be set aside: mend the file, or allow more with --max-rejected"
                    )
            else:
                writer.write({**_named(row, key), "split": split})
        n, _ = writer.finalize()
    if not n:
        raise InputError(f"no rows: {len(rejected):,} could not be read, and there are no others")
    return Dataset.from_file(str(work / "raw.arrow")), rejected


def _named(row: Record, key: str | None) -> dict[str, Any]:
    """``row`` as it is kept. A row without an id of its own is called after its text, so that it has the same name when
    rows are added above it. Record numbers are identifiers: where texts are de-identified, a keyed hash stands for them.
    """
    case_id, group = row["case_id"], row["group"]
    if case_id == row["source"]:
        case_id = hashlib.sha256((row["text"] or "").encode("utf-8", "surrogatepass")).hexdigest()[:16]
    elif key is not None:
        case_id = _pseudonym(case_id, key)
    if key is not None and group is not None:
        group = _pseudonym(group, key)
    subgroups = json.dumps(row["subgroups"], ensure_ascii=False)
    return {**row, "case_id": case_id, "group": group, "subgroups": subgroups}


def _pseudonym(name: str, key: str) -> str:
    return hmac.new(key.encode(), name.encode(), "sha256").hexdigest()[:16]


def _key(text: str) -> int:
    """The same for texts of the same words."""
    return int.from_bytes(hashlib.blake2b(duplicates.normalise(text).encode(), digest_size=8).digest(), "big", signed=True)


class _Cleaner:
    """What ``datasets.map`` sends to its processes."""

    def __init__(self, cleaning: Cleaning, key: str | None) -> None:
        self._cleaning = cleaning
        self._key = key
        self._deidentifier: Deidentifier | None = None  # a language model: each process loads its own

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        rows = [self._cleaning.clean(text, label) for text, label in zip(batch["text"], batch["label"], strict=True)]
        texts = [row.text for row in rows]
        found: list[list[Any]] = [[] for _ in rows]
        if self._key is not None:
            kept = [n for n, row in enumerate(rows) if row.dropped is None]
            patients = [batch["group"][n] or batch["case_id"][n] for n in kept]
            for n, (text, identifiers) in zip(kept, self._replaced([texts[n] for n in kept], patients), strict=True):
                texts[n] = text
                found[n] = [[i.start, i.end, i.type, i.by] for i in identifiers]
        return {
            "text": texts,
            "label": [row.label for row in rows],
            "dropped": [row.dropped or "" for row in rows],
            "changed": [list(row.changed) for row in rows],
            "identifiers": [json.dumps(entries) for entries in found],
            "words": [len(text.split()) for text in texts],
            "key": [_key(text) for text in texts],
        }

    def _replaced(self, texts: Sequence[str], patients: Sequence[str]) -> Iterable[tuple[str, list[Any]]]:
        assert self._key is not None
        if self._deidentifier is None:
            self._deidentifier = Deidentifier(self._key)
        return self._deidentifier.replace_all(texts, patients)


def _clean(raw: Any, work: Path, cleaning: Cleaning, key: str | None) -> Any:
    """``raw`` after cleaning and de-identification, by as many processes as there are cores."""
    return raw.map(
        _Cleaner(cleaning, key),
        batched=True,
        num_proc=min(os.cpu_count() or 1, -(-len(raw) // 1000)),  # a process is worth its start from 1,000 rows on
        remove_columns=raw.column_names,
        cache_file_name=str(work / "cleaned.arrow"),
        new_fingerprint="cleaned",  # the folder is ours alone: nothing is looked up, and hashing the steps takes long
        desc="cleaning",
    )


class _Table:
    """What is known of each row, by position; ``dropped`` is empty where a row stays."""

    def __init__(self, raw: Any, cleaned: Any) -> None:
        self.raw, self.cleaned = raw, cleaned
        self.dropped: Array = np.array(cleaned["dropped"], dtype=object)
        self.labels, self.label = np.unique(np.array(cleaned["label"], dtype=object), return_inverse=True)
        self.key: Array = np.array(cleaned["key"], dtype=np.int64)
        self.given: Array = np.array([split or "" for split in raw["split"]], dtype=object)
        self.assigned = self.given.copy()
        self.cluster: Array = np.arange(len(raw))
        self.leakage = {"exact": 0, "near": 0}

    @property
    def kept(self) -> Array:
        """The rows that stay, by position."""
        return np.flatnonzero(self.dropped == "")

    def _drop(self, rows: Array, reason: str) -> None:
        self.dropped[rows] = reason

    def drop_conflicts_and_copies(self) -> None:
        """One text with several labels teaches nothing; the same text twice counts twice. Of copies, the first held-out
        one stays, else the first."""
        kept = self.kept
        _, text = np.unique(self.key[kept], return_inverse=True)
        low = np.full(text.max(initial=-1) + 1, len(self.labels))
        high = np.full(len(low), -1)
        np.minimum.at(low, text, self.label[kept])
        np.maximum.at(high, text, self.label[kept])
        self._drop(kept[(low != high)[text]], "conflicting_labels")
        kept = self.kept
        held_out = np.isin(self.given[kept], HELD_OUT)
        first = kept[np.lexsort((kept, ~held_out, self.key[kept]))]  # by text, held-out rows first
        copies = first[1:][self.key[first[1:]] == self.key[first[:-1]]]
        held_out_texts = self.key[kept[held_out]]
        leaked = np.isin(self.key[copies], held_out_texts) & (self.given[copies] == "train")
        self.leakage["exact"] = int(leaked.sum())
        self._drop(copies[leaked], "stands_in_a_held_out_split")
        self._drop(copies[~leaked], "duplicate")

    def split(self, former: Mapping[str, str], cuts: tuple[str, str] | None) -> None:
        """Find near-duplicates; where the source has no splits, give every row one."""
        kept = self.kept
        if not len(kept):
            return
        texts = self.cleaned.select(kept)["text"]
        self.cluster[kept] = kept[duplicates.clusters(texts)]
        if self.given[kept].all():
            held_out = np.isin(self.given[kept], HELD_OUT)
            beside = np.isin(self.cluster[kept], self.cluster[kept[held_out]]) & ~held_out
            self.leakage["near"] = int(beside.sum())
            self._drop(kept[beside], "nearly_stands_in_a_held_out_split")
            return
        assignment = assign(
            self.raw.select(kept)["case_id"],
            [str(self.labels[code]) for code in self.label[kept]],
            self.raw.select(kept)["group"],
            self.cluster[kept],
            dates=list(self.raw.select(kept)["date"]) if cuts else None,
            cuts=cuts,
            former={case_id: split for case_id, split in former.items() if case_id in set(self.raw["case_id"])},
        )
        self.assigned[kept] = [split or "" for split in assignment.splits]
        for row, reason in assignment.reasons.items():
            self.dropped[kept[row]] = reason

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """What a line of a split's file says, in the order of the source."""
        places = self.kept[self.assigned[self.kept] == split]
        for place, raw, row in zip(places, self.raw.select(places), self.cleaned.select(places), strict=True):
            yield {
                "case_id": raw["case_id"],
                "text": row["text"],
                "label": row["label"],
                "subgroups": json.loads(raw["subgroups"]),
                "group": raw["group"],
                "source": raw["source"],
            }

    def left_out(self) -> Iterator[dict[str, Any]]:
        """What a line of ``rejected.jsonl`` says; never the text."""
        places = np.flatnonzero(self.dropped != "")
        for place, raw in zip(places, self.raw.select(places), strict=True):
            yield {"case_id": raw["case_id"], "source": raw["source"], "reason": self.dropped[place]}

    def audit(self) -> Iterator[dict[str, Any]]:
        """Where identifiers stood in the texts that stay, and never what they were."""
        for raw, row in zip(self.raw.select(self.kept), self.cleaned.select(self.kept), strict=True):
            for start, end, type_, by in json.loads(row["identifiers"]):
                yield {"case_id": raw["case_id"], "start": start, "end": end, "type": type_, "by": by}

    def report(self, source: str, rejected: Sequence[Rejected], preparation: Preparation) -> dict[str, Any]:
        """``data_report.json``, but for the hashes of the files."""
        kept = self.kept
        if not len(kept):
            raise InputError(f"{source}: no row is left: {dict(Counter(self.dropped))}")
        dropped = Counter(str(reason) for reason in self.dropped if reason)
        dropped.update({"unreadable": len(rejected)} if rejected else {})
        changed = Counter(name for names in self.cleaned["changed"] for name in names)
        listed = [*stated(preparation.steps)]
        steps = [{**step, "changed": changed[step["step"]], "dropped": dropped[step["step"]]} for step in listed]
        labels: dict[str, dict[str, int]] = {}
        for code in np.unique(self.label[kept]):
            of = Counter(self.assigned[kept[self.label[kept] == code]])
            labels[str(self.labels[code])] = {split: of[split] for split in SPLITS}
        return {
            "schema": 1,
            "source": source,
            "license": preparation.license,
            "rows_in": len(self.dropped) + len(rejected),
            "rows_out": len(kept),
            "dropped": dict(dropped.most_common()),
            "steps": steps,
            "labels": dict(sorted(labels.items(), key=lambda item: (-sum(item[1].values()), item[0]))),
            "spellings": self._spellings(),
            "lengths": self._lengths(),
            "clusters": self._clusters(),
            "leakage": self.leakage,
            "splits": {split: self._split(split, labels) for split in SPLITS},
            "split_by": self._split_by(preparation.cuts),
            "subgroups": self._subgroups(),
            "identifiers": self._identifiers() if preparation.key is not None else None,
            "examples": self._examples(rejected),
        }

    def _spellings(self) -> dict[str, list[str]]:
        """Label → how else the source writes it, where it does."""
        also: dict[str, set[str]] = {}
        for raw, now in set(zip(self.raw["label"], self.cleaned["label"], strict=True)):
            if now and raw.strip() != now:
                also.setdefault(now, set()).add(raw.strip())
        return {label: sorted(of) for label, of in sorted(also.items())}

    def _lengths(self) -> list[dict[str, Any]]:
        """How many rows of each split have ``from`` to ``to`` words; every bin is twice as wide as the one before."""
        words = np.array(self.cleaned["words"])[self.kept]
        edges = [1, *(2**power for power in range(3, int(words.max()).bit_length() + 1))]
        bins = []
        for low, high in pairwise(edges):
            of = Counter(self.assigned[self.kept[(low <= words) & (words < high)]])
            bins.append({"from": low, "to": high - 1, **{split: of[split] for split in SPLITS}})
        return bins

    def _clusters(self) -> dict[str, Any]:
        first, place, rows = np.unique(self.cluster[self.kept], return_inverse=True, return_counts=True)
        largest = [code for code in np.argsort(-rows, kind="stable")[:SHOWN].tolist() if rows[code] > 1]
        case_ids = self.raw.select(self.kept)["case_id"]
        return {
            "near": duplicates.CLUSTER,
            "clusters": int((rows > 1).sum()),
            "rows": int(rows[rows > 1].sum()),
            "largest": [
                {
                    "rows": int(rows[code]),
                    "cases": [case_ids[int(row)] for row in np.flatnonzero(place == code)[:SHOWN]],
                }
                for code in largest
            ],
        }

    def _split(self, split: str, labels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        places = self.kept[self.assigned[self.kept] == split]
        rows = self.raw.select(places)
        return {
            "rows": len(places),
            "groups": len({group or case for group, case in zip(rows["group"], rows["case_id"], strict=True)}),
            "labels_missing": [label for label, of in labels.items() if not of[split]],
        }

    def _split_by(self, cuts: tuple[str, str] | None) -> str:
        if self.given.any():
            return "The splits are those of the source."
        if cuts:
            return f"By date: before {cuts[0]} train, before {cuts[1]} validation, from then on test."
        return (
            "By a hash of the group, or of the case where it has none; what shares a group or is nearly the same stays"
            " together, and rows added later move no row that is here."
        )

    def _subgroups(self) -> dict[str, dict[str, dict[str, int]]]:
        """Subgroup → value → split → rows."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for subgroups, split in zip(self.raw.select(self.kept)["subgroups"], self.assigned[self.kept], strict=True):
            counts.update((name, value, split) for name, value in json.loads(subgroups).items())
        values = sorted({(name, value) for name, value, _ in counts})
        return {
            name: {v: {split: counts[name, v, split] for split in SPLITS} for n, v in values if n == name}
            for name in dict.fromkeys(name for name, _ in values)
        }

    def _identifiers(self) -> dict[str, int]:
        return dict(Counter(entry["type"] for entry in self.audit()).most_common())

    def _examples(self, rejected: Sequence[Rejected]) -> dict[str, list[dict[str, str | None]]]:
        """Reason → some rows. Texts are shown as they are after cleaning and de-identification; where a row was dropped
        before that, or could not be read, only where it stood."""
        shown: dict[str, list[dict[str, str | None]]] = {}
        for reason in dict.fromkeys(str(reason) for reason in self.dropped if reason):
            places = np.flatnonzero(self.dropped == reason)[:EXAMPLES]
            early = reason in self.cleaned["dropped"][int(places[0])]
            shown[reason] = [
                {"source": raw["source"], "text": None if early and self.hidden else row["text"][:LONGEST_EXAMPLE]}
                for raw, row in zip(self.raw.select(places), self.cleaned.select(places), strict=True)
            ]
        if rejected:
            shown["unreadable"] = [{"source": f"{row.source}: {row.reason}", "text": None} for row in rejected[:EXAMPLES]]
        return shown


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(table: _Table, rejected: Sequence[Rejected], work: Path) -> None:
    """The files of the folder, but for the reports."""
    for split in SPLITS:
        _lines(work / f"{split}.jsonl", table.rows(split))
    unread = ({"case_id": None, "source": row.source, "reason": f"unreadable: {row.reason}"} for row in rejected)
    _lines(work / "rejected.jsonl", chain(unread, table.left_out()))
    if table.hidden:
        _lines(work / "deidentification_audit.jsonl", table.audit())


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
