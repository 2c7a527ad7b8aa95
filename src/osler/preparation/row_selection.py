"""Decide which rows stay and in which split, and record why the others are dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from osler.data import duplicates
from osler.preparation.readers.record import RejectedRow
from osler.splits import SPLITS, assign

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import ChunkedArray

HELD_OUT = SPLITS[1:]
BATCH = 1000  # rows that are read at once

Array = npt.NDArray[Any]


class PreparedRow(TypedDict):
    """A line of ``{train,validation,test}.jsonl``."""

    case_id: str
    text: str
    label: str
    subgroups: dict[str, str]
    group: str | None
    source: str


class DroppedRow(TypedDict):
    """A line of ``rejected.jsonl``; it never holds the text."""

    case_id: str
    source: str
    reason: str


class AuditLine(TypedDict):
    """A line of ``deidentification_audit.jsonl``: where an identifier was, never what it was."""

    case_id: str
    field: str
    start: int
    end: int
    type: str
    rule: str


class RowSelection:
    """The fate of every row. Arrays have one entry for each row, in the order of the source.

    Attributes:
        raw, cleaned: the rows as read, and after :func:`osler.preparation.arrow_rows.clean_rows`; with the fingerprints
            of the cleaned texts where they are there already.
        rejected: rows that are no case, most often unreadable; they are in no array.
        dropped: why a row is dropped; empty if it stays.
        labels: the distinct labels, sorted.
        label_code: the index of the row's label in ``labels``.
        text_hash: equal for texts of the same words.
        source_split, split: the split in the source, and the one assigned; empty if there is none.
        cluster: the number of the row's cluster of near-duplicates.
        leakage: number of training rows dropped because they are also in a held-out split.
        kept_splits: number of rows that kept the split they had in an earlier output.
        divided: number of groups whose rows kept different splits.
        units: number of units, of rows that belong together, once splits are assigned; 0 if the source has splits.
    """

    def __init__(
        self,
        raw: Dataset,
        cleaned: Dataset,
        rejected: Sequence[RejectedRow],
        prints: duplicates.Fingerprints | None = None,
    ) -> None:
        self.raw, self.cleaned, self.rejected, self._prints = raw, cleaned, rejected, prints
        self.dropped = self.column(cleaned, "dropped")
        self.labels, self.label_code = np.unique(self.column(cleaned, "label"), return_inverse=True)
        self.text_hash = self.column(cleaned, "text_hash")
        self.source_split = self.column(raw, "split")
        self.split = self.source_split.copy()
        self.cluster: Array = np.arange(len(raw))
        self.leakage = {"exact": 0, "near": 0}
        self.units = self.kept_splits = self.divided = 0

    @staticmethod
    def column(rows: Dataset, name: str) -> Array:
        """A column of ``raw`` or ``cleaned``, with empty text in place of null."""
        values = rows.data.column(name).to_numpy()
        return np.where(values == None, "", values) if values.dtype == object else values  # noqa: E711

    @property
    def kept(self) -> Array:
        """The positions of the rows that stay."""
        return np.flatnonzero(self.dropped == "")

    def _drop(self, rows: Array, reason: str) -> None:
        self.dropped[rows] = reason

    def drop_conflicts_and_duplicates(self) -> None:
        """Drop all rows whose text has several labels, and all but one of the rows with the same text.

        The row that stays is the first one in a held-out split, or else the first one.
        """
        kept = self.kept
        conflicting = np.zeros(len(kept), bool)
        # Texts as they were read count, too: masked labels and de-identification can make copies differ.
        for text_hash in (self.text_hash[kept], self.column(self.cleaned, "raw_text_hash")[kept]):
            _, text = np.unique(text_hash, return_inverse=True)
            lowest = np.full(text.max(initial=-1) + 1, len(self.labels))
            highest = np.full(len(lowest), -1)
            np.minimum.at(lowest, text, self.label_code[kept])
            np.maximum.at(highest, text, self.label_code[kept])
            conflicting |= (lowest != highest)[text]
        self._drop(kept[conflicting], "conflicting_labels")
        kept = self.kept
        held_out = np.isin(self.source_split[kept], HELD_OUT)
        ordered = kept[np.lexsort((kept, ~held_out, self.text_hash[kept]))]  # by text, held-out rows first
        copies = ordered[1:][self.text_hash[ordered[1:]] == self.text_hash[ordered[:-1]]]
        held_out_texts = self.text_hash[kept[held_out]]
        leaked = np.isin(self.text_hash[copies], held_out_texts) & (self.source_split[copies] == "train")
        self.leakage["exact"] = int(leaked.sum())
        self._drop(copies[leaked], "stands_in_a_held_out_split")
        self._drop(copies[~leaked], "duplicate")

    def drop_rare_labels(self, min_rows: int) -> None:
        """Drop the rows of labels that have fewer than ``min_rows`` rows."""
        kept = self.kept
        rows = np.bincount(self.label_code[kept], minlength=len(self.labels))
        self._drop(kept[rows[self.label_code[kept]] < min_rows], "rare_label")

    def assign_splits(
        self, previous: Mapping[str, str], cutoffs: tuple[str, str] | None, shares: Mapping[str, float]
    ) -> None:
        """Find near-duplicates. If the source has splits, drop training rows that nearly are in a held-out split.

        Otherwise assign a split to every row; see :func:`osler.splits.assign`.
        """
        kept = self.kept
        if not len(kept):
            return
        if self._prints is None:
            self.cluster[kept] = kept[duplicates.clusters(self.texts(kept))]
        else:
            text = self.texts(np.arange(len(self.cleaned))).__getitem__
            self.cluster[kept] = duplicates.clusters_of(self._prints, kept, text)
        if self.source_split[kept].all():
            held_out = np.isin(self.source_split[kept], HELD_OUT)
            leaked = np.isin(self.cluster[kept], self.cluster[kept[held_out]]) & ~held_out
            self.leakage["near"] = int(leaked.sum())
            self._drop(kept[leaked], "nearly_stands_in_a_held_out_split")
            return
        assignment = assign(
            self.column(self.raw, "case_id")[kept].tolist(),
            self.labels[self.label_code[kept]].tolist(),
            [group or None for group in self.column(self.raw, "group")[kept]],
            self.cluster[kept],
            shares,
            dates=[day or None for day in self.column(self.raw, "date")[kept]] if cutoffs else None,
            cutoffs=cutoffs,
            previous=previous,
        )
        self.units, self.kept_splits = assignment.report["units"]["n"], assignment.report["previous"]["kept"]
        self.split[kept] = [split or "" for split in assignment.splits]
        if self.kept_splits:
            pairs = {
                (g, s) for g, s in zip(self.column(self.raw, "group")[kept], self.split[kept], strict=True) if g and s
            }
            self.divided = len(pairs) - len({group for group, _ in pairs})
        for row, reason in assignment.reasons.items():
            self.dropped[kept[row]] = reason

    def texts(self, positions: Array) -> Sequence[str]:
        """The cleaned texts of the rows at ``positions``, in order; read from disk one batch at a time."""
        return _TextColumn(self.cleaned.data.column("text"), positions)

    def raw_and_cleaned(self, positions: Array) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """The rows at ``positions``, as read and as cleaned."""
        for start in range(0, len(positions), BATCH):  # reading rows one by one is twenty times slower
            batch = positions[start : start + BATCH]
            yield from zip(*(rows.select(batch).to_list() for rows in (self.raw, self.cleaned)), strict=True)

    def split_rows(self, split: str) -> Iterator[PreparedRow]:
        """The lines of a split's file, in the order of the source."""
        positions = self.kept[self.split[self.kept] == split]
        for raw, cleaned in self.raw_and_cleaned(positions):
            yield PreparedRow(
                case_id=raw["case_id"],
                text=cleaned["text"],
                label=cleaned["label"],
                subgroups=json.loads(raw["subgroups"]),
                group=raw["group"],
                source=raw["source"],
            )

    def dropped_rows(self) -> Iterator[DroppedRow]:
        """The lines of ``rejected.jsonl`` for rows that could be read."""
        positions = np.flatnonzero(self.dropped != "")
        for position, (raw, _) in zip(positions, self.raw_and_cleaned(positions), strict=True):
            yield DroppedRow(case_id=raw["case_id"], source=raw["source"], reason=self.dropped[position])

    def audit_lines(self) -> Iterator[AuditLine]:
        """The lines of the audit: identifiers in the subgroups and then in the text of each row that stays."""
        of_subgroups, of_text = (self.column(rows, "identifiers")[self.kept] for rows in (self.raw, self.cleaned))
        for lines in chain.from_iterable(zip(of_subgroups, of_text, strict=True)):
            yield from json.loads(lines)


class _TextColumn(Sequence[str]):
    """The texts at ``positions``, in order, read from disk on demand; `datasets` is far slower for single texts."""

    def __init__(self, column: ChunkedArray, positions: Array) -> None:
        self._column, self._positions = column, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self._column[int(self._positions[index])].as_py()
        positions = self._positions[index]
        if not len(positions):
            return []
        first = int(positions[0])
        texts = self._column.slice(first, int(positions[-1]) - first + 1).to_pylist()
        return [texts[position] for position in (positions - first).tolist()]
