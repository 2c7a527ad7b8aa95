"""What a feature's distribution is counted in: bins that follow from the cases of the evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from osler.monitoring.observed import Observed
from osler.monitoring.records import Feature
from osler.statistics import Floats

PARTS = 10  # of equal mass, of a number
LABELS, FINDINGS = 20, 40  # the most frequent ones have a bin each, all others share one
UNKNOWN = ""  # what could not be recognised or read

Counts = Floats  # whole numbers
Column = Callable[[Observed], Sequence[Sequence[str]]]
NUMBERS: dict[Feature, Callable[[Observed], Floats]] = {
    "length": lambda cases: cases.tokens,
    "wording": lambda cases: cases.unknown_share,
    "confidence": lambda cases: cases.confidence,
    "abstention": lambda cases: cases.abstained,
}
NAMES: dict[Feature, Column] = {
    "language": lambda cases: [(name or UNKNOWN,) for name in cases.language],
    "findings": lambda cases: cases.findings,
    "labels": lambda cases: [(name or UNKNOWN,) for name in cases.label],
}
FEATURES: tuple[Feature, ...] = ("length", "wording", "language", "findings", "labels", "confidence", "abstention")
MEANING: dict[Feature, str] = {
    "length": "length of the texts",
    "wording": "share of words that training texts rarely have",
    "language": "language",
    "findings": "findings in the texts",
    "labels": "first diagnoses",
    "confidence": "probability of the first diagnosis",
    "abstention": "share of answers too unsure to be told",
}


@dataclass(frozen=True)
class NumberBins:
    """``edges`` between bins, rising; a number that is not known has a bin of its own, the last."""

    feature: Feature
    edges: Floats

    @property
    def n(self) -> int:
        return len(self.edges) + 2

    def rows(self, cases: Observed) -> Counts:
        """Which bin each case is in, (cases, bins)."""
        values = NUMBERS[self.feature](cases)
        place = np.where(np.isnan(values), self.n - 1, np.searchsorted(self.edges, values, "right"))
        return np.asarray(np.eye(self.n)[place], dtype=np.float64)

    def moved(self, before: Observed, now: Observed, named: Mapping[str, str]) -> str:
        """What is different, in a few words; numbers have nothing ``named``."""
        means = (np.nanmean(NUMBERS[self.feature](cases)) for cases in (before, now))
        return "mean {} → {}".format(*(f"{mean:,.0f}" if self.feature == "length" else f"{mean:.3f}" for mean in means))


@dataclass(frozen=True)
class NameBins:
    """A bin for each of ``names``, and the last for all others."""

    feature: Feature
    names: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.names) + 1

    def rows(self, cases: Observed) -> Counts:
        """How often each case names what each bin is of, (cases, bins)."""
        place = {name: number for number, name in enumerate(self.names)}
        rows = np.zeros((len(cases), self.n))
        for row, names in zip(rows, NAMES[self.feature](cases), strict=True):
            for name in names:
                row[place.get(name, -1)] += 1
        return rows

    def moved(self, before: Observed, now: Observed, named: Mapping[str, str]) -> str:
        """What is different most, in a few words; ``named``: id → name, of those that have one."""
        was, is_now = (self.rows(cases).sum(axis=0) / len(cases) for cases in (before, now))
        most = int(np.argmax(np.abs(is_now - was)))
        id = (*self.names, "others")[most] or "not known"
        name = f"{named[id]} ({id})" if named.get(id, id) != id else id
        unit = "a case" if self.feature == "findings" else "of the cases"
        return f"{name} {was[most]:.1%} → {is_now[most]:.1%} {unit}"


Bins = NumberBins | NameBins


def bins_of(feature: Feature, cases: Observed) -> Bins:
    """The bins of ``feature`` by the ``cases`` of an evaluation."""
    if feature in NUMBERS:
        values = NUMBERS[feature](cases)
        known = values[~np.isnan(values)]
        edges = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS, method="higher"))
        edges = edges[edges > known.min()]  # equal values share a bin
        if not len(edges):  # nearly all are equal: what is less, and what is more
            edges = np.array([known.min(), np.nextafter(known.min(), np.inf)])
        return NumberBins(feature, edges)
    most = {"language": None, "labels": LABELS, "findings": FINDINGS}[feature]
    return NameBins(feature, _frequent(NAMES[feature](cases), most))


def _frequent(names: Iterable[Iterable[str]], most: int | None) -> tuple[str, ...]:
    counted = Counter(name for row in names for name in row)
    return tuple(sorted(counted, key=lambda name: (-counted[name], name))[:most])
