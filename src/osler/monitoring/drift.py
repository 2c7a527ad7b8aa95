"""Whether what a model is asked and answers is like its evaluation, window by window, and like what it was before.

Two kinds of detectors share a budget of false alarms. The population stability index (PSI) compares each window of
cases with the evaluation, a feature at a time; ADWIN looks for a change within the stream itself. A limit is never a
rule of thumb: that of PSI is simulated for the bins, the cases of the evaluation and the window at hand, the δ of ADWIN
was chosen on simulated streams (benchmarks/drift.py; docs/decisions/monitoring.md has what came of both on others).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osler.monitoring.bins import FEATURES, NUMBERS, Bins, Counts, bins_of
from osler.monitoring.observed import Observed
from osler.monitoring.records import FalseAlarms, Feature
from osler.statistics import Floats

WINDOW = 250  # cases: a shift is in a whole window 500 cases after it began, at the latest
CASES = 10_000  # false alarms are counted in
BUDGET = FalseAlarms(budget=1.0, shares={"drift": 0.4, "change": 0.2, "accuracy": 0.1, "gap": 0.1})
SIMULATED = 20_000  # windows a limit is taken from
HALF = 0.5  # a case more in every bin (Jeffreys): what was never seen may still come
DELTA = 0.002  # of ADWIN
BLOCK = 2000  # windows simulated at once


def psi(expected: Counts, seen: Counts) -> Floats:
    """The population stability index of counts in bins, the last axis: Σ (q - p) · ln (q / p), with ``HALF`` a case
    more in every bin of both.

    Source: Yurdakul & Naranjo (2020), J. Risk Model Valid. 14:89, who also show that without shift it is about χ² with
    bins - 1 degrees of freedom times (1 / n + 1 / m), so that no constant fits all.
    """
    p, q = (counts + HALF for counts in (expected, seen))
    p, q = (shares / shares.sum(axis=-1, keepdims=True) for shares in (p, q))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1), dtype=np.float64)


def psi_limit(rows: Counts, window: int, false_alarms: float, seed: int) -> float:
    """The PSI that a window without shift exceeds with probability ``false_alarms``.

    ``rows`` (cases, bins) are those of the evaluation. They are a sample, too, of a population that is not known:
    populations are drawn by the Bayesian bootstrap (Rubin 1981, Ann. Stat. 9:130), with ``HALF`` a case in every bin,
    and of each one window. Cases are drawn whole, so that several findings of one case stay together.
    """
    kinds, of = np.unique(np.vstack([rows, np.eye(rows.shape[1])]), axis=0, return_inverse=True)
    weights = np.bincount(of, np.repeat([1.0, HALF], [len(rows), rows.shape[1]]))
    expected, draw, found = rows.sum(axis=0), np.random.default_rng(seed), []
    for _ in range(0, SIMULATED, BLOCK):
        populations = draw.standard_gamma(weights, size=(BLOCK, len(weights)))
        populations /= populations.sum(axis=1, keepdims=True)
        found.append(psi(expected, draw.multinomial(window, populations) @ kinds))
    return float(np.quantile(np.concatenate(found), 1 - false_alarms, method="higher"))


@dataclass(frozen=True)
class WatchedFeature:
    """A feature whose windows are compared with the ``expected`` counts."""

    bins: Bins
    expected: Counts
    limit: float

    @property
    def feature(self) -> Feature:
        return self.bins.feature


def watched_features(
    reference: Observed, features: Sequence[Feature] = FEATURES, window: int = WINDOW, seed: int = 0
) -> list[WatchedFeature]:
    """``features``, each with the limit of its share of the budget."""
    level = BUDGET.shares["drift"] / CASES * window / len(features)
    watched = []
    for feature in features:
        bins = bins_of(feature, reference)
        rows = bins.rows(reference)
        watched.append(WatchedFeature(bins, rows.sum(axis=0), psi_limit(rows, window, level, seed)))
    return watched


def windowed_psi(watched: WatchedFeature, cases: Observed, window: int = WINDOW) -> Floats:
    """The PSI of each full window of ``cases``."""
    full = len(cases) // window
    rows = watched.bins.rows(cases.take(slice(0, full * window)))
    return psi(watched.expected, rows.reshape(full, window, len(watched.expected)).sum(axis=1))


def changes(feature: Feature, reference: Observed, cases: Observed, delta: float = DELTA, seed: int = 0) -> list[int]:
    """At which of ``cases``, from 0, ADWIN finds that ``feature``, a number, is no longer what it was.

    It has seen the cases of the evaluation first, in random order; after a change it starts anew.
    Numbers are told as their rank among those of the evaluation, in [0, 1], which ADWIN's bounds are for.
    Source: Bifet & Gavaldà (2007), SIAM Int. Conf. on Data Mining, p. 443.
    """
    from river.drift import ADWIN

    known, values = (NUMBERS[feature](of) for of in (reference, cases))
    known = np.sort(known[~np.isnan(known)])
    places = np.flatnonzero(~np.isnan(values))
    detector = ADWIN(delta=delta)
    for rank in ranks(known, np.random.default_rng(seed).permutation(known)):
        detector.update(rank)
    found = []
    for place, rank in zip(places.tolist(), ranks(known, values[places]).tolist(), strict=True):
        detector.update(rank)
        if detector.drift_detected:
            found.append(place)
    return found


def ranks(known: Floats, values: Floats) -> Floats:
    """The share of the sorted ``known`` values below each of ``values``, equal ones counted half."""
    return np.asarray(
        (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / (2 * len(known)),
        dtype=np.float64,
    )
