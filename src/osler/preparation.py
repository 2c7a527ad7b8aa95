"""From a raw export to files one can train on: read, clean, de-identify, drop what is there twice, split, report.

Rows stand in Arrow files on disk, never all in memory; of each row only numbers are kept here. A prepared folder holds
``{train,validation,test}.jsonl``, ``rejected.jsonl`` (every row that is not in them, and why), where texts were
de-identified ``deidentification_audit.jsonl``, and ``data_report.json``. All is made in a folder of its own and moved
into place at the end, the report last: a run that was interrupted left what was there before.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from osler import data_report, duplicates
from osler.cleaning import USUAL, Cleaning, Step, spellings
from osler.cleaning import steps as cleaning_steps
from osler.errors import InputError
from osler.manifest import read_json, sha256_file, write_json
from osler.normal_form import normal_form
from osler.reading import Record, Rejected
from osler.schema import Problem, read_yaml
from osler.splitting import SPLITS, assign
from osler.workspace import workspace

if TYPE_CHECKING:
    from osler.deidentification import Deidentifier

HELD_OUT = SPLITS[1:]
REPORT = "data_report.json"
MADE = (*(f"{split}.jsonl" for split in SPLITS), "rejected.jsonl", REPORT, "data_report.html", "README.md")
FEWEST_LABELS = 2
BATCH = 1000  # rows
# Reasons quote ids and dates.
WITHHELD = "the reason is not kept with --deidentify: it may hold an identifier"

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
        output: where it is such a folder already, its rows keep their splits.
        source: what the rows were read from, for the report.

    Raises:
        InputError: more rows than allowed cannot be read, fewer than two labels are left, or ``output`` is not one
            that can be prepared so.
    """
    with workspace(output, REPORT, MADE) as work:
        _check_key(output, preparation.key)
        raw, rejected = _read(rows, work, preparation.max_rejected, preparation.key)
        means = spellings(Counter(Table.column(raw, "label")), preparation.known)
        cleaned = _clean(raw, work, Cleaning(preparation.steps, means), preparation.key)
        table = Table(raw, cleaned, rejected)
        table.drop_conflicts_and_copies()
        table.split(_former(output), preparation.cuts)
        if not len(table.kept):
            raise InputError(f"{source}: no row is left; dropped: {dict(Counter(table.dropped))}")
        if len(labels := np.unique(table.label[table.kept])) < FEWEST_LABELS:
            raise InputError(f"{source}: one label is left ({table.labels[labels[0]]}); there is nothing to tell apart")
        files = _write(table, work, audited=preparation.key is not None)
        report = data_report.describe(table, source, preparation, files)
        report["key_fingerprint"] = _fingerprint(preparation.key)
        write_json(work / REPORT, report)
        for name in [*files, REPORT]:
            os.replace(work / name, output / name)
    return report


def read_key(path: Path) -> str:
    """The secret of a key file, of which de-identification makes surrogates.

    Raises:
        InputError: it is missing or too short, or the extra ``deid`` is not installed.
    """
    from osler.deidentification import MIN_KEY

    if find_spec("presidio_analyzer") is None:
        raise InputError("--deidentify needs the extra `deid`: pip install 'osler[deid]'")
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as a key file ({error}); make one: openssl rand -hex 32 > {path}"
        ) from None
    if len(key) < MIN_KEY:
        raise InputError(f"{path}: {len(key)} characters are no secret; make one: openssl rand -hex 32 > {path}")
    return key


def of_task(
    folder: Path, key: str | None, max_rejected: int
) -> tuple[Iterator[tuple[str, Record | Rejected]], Preparation]:
    """The published rows of the task in ``folder`` with their splits, and how its file says they are prepared.

    Raises:
        InputError: the task's cases are not rows of a dataset, or its file is wrong.
    """
    from osler import task  # imports transformers

    content = read_yaml(folder / "task.yaml")
    if content["source"]["kind"] != "dataset":
        raise InputError(
            f"{folder.name}: its cases are not rows of a dataset to be cleaned (kind: {content['source']['kind']});"
            " what training makes of them is in the data_report.json of a run"
        )
    try:
        steps = cleaning_steps(content.get("preparation", {}).get("cleaning", list(USUAL)), "preparation.cleaning")
    except Problem as problem:
        raise InputError(f"{folder / 'task.yaml'}: {problem.key}: {problem.text}") from None
    labels = {normal_form(label): label for label in content["labels"]}
    published = task.Published(content["source"], content["labels"], task.data_folder())
    known = Preparation(
        steps, lambda text: labels.get(normal_form(text)), max_rejected, key, license=content.get("license")
    )
    return published.raw(), known


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
    return None if key is None else _pseudonym("fingerprint", key)


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
                rejected.append(row if key is None else replace(row, reason=WITHHELD))
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
    rows are added above it. Record numbers are identifiers: where texts are de-identified, it is a keyed hash of them.
    """
    case_id, group = row["case_id"], row["group"]
    if case_id == row["source"]:
        case_id = _pseudonym(row["text"] or "", key or "")
    elif key is not None:
        case_id = _pseudonym(case_id, key)
    if key is not None and group is not None:
        group = _pseudonym(group, key)
    subgroups = json.dumps(row["subgroups"], ensure_ascii=False)
    return {**row, "case_id": case_id, "group": group, "subgroups": subgroups}


def _pseudonym(name: str, key: str) -> str:
    return hmac.new(key.encode(), name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:16]


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
        self._deidentifier: Deidentifier | None = None  # a language model: each process loads its own

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        rows = [self._cleaning.clean(text, label) for text, label in zip(batch["text"], batch["label"], strict=True)]
        texts = [row.text for row in rows]
        found: list[Sequence[Any]] = [[] for _ in rows]
        if self._key is not None:
            kept = [n for n, row in enumerate(rows) if row.dropped is None]
            ids, groups = batch["case_id"], batch["group"]
            notes = ((ids[n], texts[n], groups[n] or ids[n]) for n in kept)
            for n, (_, text, audit) in zip(kept, self._deidentified(self._key, notes), strict=True):
                texts[n], found[n] = text, audit
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

    def _deidentified(
        self, key: str, notes: Iterable[tuple[str, str, str]]
    ) -> Iterable[tuple[str, str, Sequence[Any]]]:
        if self._deidentifier is None:
            self._deidentifier = deidentifier(key)
        return self._deidentifier.replace_all(notes)


def deidentifier(key: str) -> Deidentifier:
    """What replaces identifiers and leaves the names of diseases alone, those of the task ``hpo`` among others."""
    from osler import deidentification, protected_terms, pypi  # an extra that need not be installed

    source = read_yaml(Path(__file__).resolve().parents[2] / "tasks" / "hpo" / "task.yaml")["source"]
    files = pypi.fetch_many([source["ontology"], source["annotations"]])
    return deidentification.Deidentifier(key, protected_terms.load(*files))


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


class _Texts(Sequence[str]):
    """The texts at ``places``, in order, read from disk when they are asked for; `datasets` takes far longer to give
    one at a time."""

    def __init__(self, column: Any, places: Array) -> None:
        self._column, self._places = column, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice):
            return self._column[int(self._places[at])].as_py()
        places = self._places[at]
        if not len(places):
            return []
        first = int(places[0])
        rows = self._column.slice(first, int(places[-1]) - first + 1).to_pylist()
        return [rows[place] for place in (places - first).tolist()]


class Table:
    """What is known of each row, by position; ``dropped`` is empty where a row stays."""

    def __init__(self, raw: Any, cleaned: Any, rejected: Sequence[Rejected]) -> None:
        self.raw, self.cleaned, self.rejected = raw, cleaned, rejected
        self.dropped = self.column(cleaned, "dropped")
        self.labels, self.label = np.unique(self.column(cleaned, "label"), return_inverse=True)
        self.key = self.column(cleaned, "key")
        self.given = self.column(raw, "split")
        self.assigned = self.given.copy()
        self.cluster: Array = np.arange(len(raw))
        self.leakage = {"exact": 0, "near": 0}

    @staticmethod
    def column(rows: Any, name: str) -> Array:
        """A column of ``raw`` or ``cleaned``; text that is null is empty."""
        values = rows.data.column(name).to_numpy()
        return np.where(values == None, "", values) if values.dtype == object else values  # noqa: E711

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
        conflicting = np.zeros(len(kept), bool)
        # As it was read, too: where each label was masked, or each copy de-identified, they are no longer the same.
        for key in (self.key[kept], self.column(self.cleaned, "raw_key")[kept]):
            _, text = np.unique(key, return_inverse=True)
            low = np.full(text.max(initial=-1) + 1, len(self.labels))
            high = np.full(len(low), -1)
            np.minimum.at(low, text, self.label[kept])
            np.maximum.at(high, text, self.label[kept])
            conflicting |= (low != high)[text]
        self._drop(kept[conflicting], "conflicting_labels")
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
        texts = _Texts(self.cleaned.data.column("text"), kept)
        self.cluster[kept] = kept[duplicates.clusters(texts)]
        if self.given[kept].all():
            held_out = np.isin(self.given[kept], HELD_OUT)
            beside = np.isin(self.cluster[kept], self.cluster[kept[held_out]]) & ~held_out
            self.leakage["near"] = int(beside.sum())
            self._drop(kept[beside], "nearly_stands_in_a_held_out_split")
            return
        assignment = assign(
            self.column(self.raw, "case_id")[kept].tolist(),
            self.labels[self.label[kept]].tolist(),
            [group or None for group in self.column(self.raw, "group")[kept]],
            self.cluster[kept],
            dates=[day or None for day in self.column(self.raw, "date")[kept]] if cuts else None,
            cuts=cuts,
            former=former,
        )
        self.assigned[kept] = [split or "" for split in assignment.splits]
        for row, reason in assignment.reasons.items():
            self.dropped[kept[row]] = reason

    def pairs(self, places: Array) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """The rows at ``places`` as they were read, and as they are."""
        for start in range(0, len(places), BATCH):  # one by one, rows would be read twenty times as slowly
            batch = places[start : start + BATCH]
            yield from zip(*(of.select(batch).to_list() for of in (self.raw, self.cleaned)), strict=True)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """What a line of a split's file says, in the order of the source."""
        places = self.kept[self.assigned[self.kept] == split]
        for raw, row in self.pairs(places):
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
        for place, (raw, _) in zip(places, self.pairs(places), strict=True):
            yield {"case_id": raw["case_id"], "source": raw["source"], "reason": self.dropped[place]}

    def audit(self) -> Iterator[dict[str, Any]]:
        """Where identifiers stood in the texts that stay, and never what they were."""
        for found in self.column(self.cleaned, "identifiers")[self.kept]:
            yield from json.loads(found)


def _write(table: Table, work: Path, audited: bool) -> dict[str, str]:
    """Write the files of the folder, but for the report; name → sha256."""
    unread = ({"case_id": None, "source": r.source, "reason": f"unreadable: {r.reason}"} for r in table.rejected)
    files: dict[str, Iterable[dict[str, Any]]] = {f"{split}.jsonl": table.rows(split) for split in SPLITS}
    files["rejected.jsonl"] = chain(unread, table.left_out())
    if audited:
        files["deidentification_audit.jsonl"] = table.audit()
    for name, rows in files.items():
        with (work / name).open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return {name: sha256_file(work / name) for name in files}
