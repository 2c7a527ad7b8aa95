"""Which rows of a preparation stay, in which split, and why the others do not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from osler.data import duplicates
from osler.preparation.readers.record import Rejected
from osler.preparation.splitting import SPLITS, assign

HELD_OUT = SPLITS[1:]
BATCH = 1000  # rows read at once

Array = npt.NDArray[Any]


class Selection:
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
        texts = self.texts(kept)
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

    def texts(self, places: Array) -> Sequence[str]:
        """The cleaned texts of the rows at ``places``, in order."""
        return _Texts(self.cleaned.data.column("text"), places)

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
        """Where identifiers stood in the rows that stay, and never what they were."""
        outside, inside = (self.column(rows, "identifiers")[self.kept] for rows in (self.raw, self.cleaned))
        for found in chain.from_iterable(zip(outside, inside, strict=True)):
            yield from json.loads(found)


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
