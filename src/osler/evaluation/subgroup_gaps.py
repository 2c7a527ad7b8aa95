"""How every subgroup fares beside the other cases: accuracy, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from osler.evaluation.results import MIN_SUBGROUP
from osler.evaluation.section import natural
from osler.monitoring import told
from osler.runs import Estimate, Prediction, System
from osler.statistics import Floats, Resamples, number_groups, resampled_mean, significance

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SubgroupGap:
    """The ``n`` cases with one value of an attribute, on which nothing more is said where they, or the others, are few.

    Attributes:
        accuracy: as in the results.
        gap: accuracy minus that of all other cases.
        p_adjusted: of there being no gap; a normal test on the resamples' spread, adjusted by Holm over all subgroups.
        misjudged: accuracy minus mean calibrated probability: above 0 where the model is too unsure of these cases.
    """

    attribute: str
    value: str
    n: int
    accuracy: Estimate | None
    gap: Estimate | None = None
    p_adjusted: float | None = None
    misjudged: Estimate | None = None


def subgroup_gaps(rows: Sequence[Prediction], system: System, resamples: int = 2000) -> list[SubgroupGap]:
    """Every subgroup of a split's cases that ``system`` answered with ``rows``. Groups of cases that are not
    independent are resampled whole, as for every figure of the results."""
    right = np.array([float(row.correct) for row in rows])
    confidence, _ = told(rows, system.calibration)
    off = None if np.isnan(confidence).any() else right - confidence
    drawn = Resamples.draw(len(rows), resamples, 0, number_groups({row.case_id: row.group for row in rows}))

    def estimate(values: Floats, among: Mask, rest: Mask | None = None) -> tuple[Estimate, float]:
        """The mean among some cases, minus that among the rest if given, and its p value."""
        replicates, value = resampled_mean(values, drawn.counts, among), float(values[among].mean())
        if rest is not None:
            replicates = replicates - resampled_mean(values, drawn.counts, rest)
            value -= float(values[rest].mean())
        replicates = replicates[~np.isnan(replicates)]  # a resample may hold none of a small group
        low, high, method = drawn.interval(value, replicates)
        error = float(replicates.std())
        p = float(2 * norm.sf(abs(value) / error)) if error else 1.0
        return Estimate(value=value, low=low, high=high, method=method), p

    found, p_values = [], []
    for attribute, subgroups in system.subgroups.items():
        for value, group in sorted(subgroups.values.items(), key=lambda item: natural(item[0])):
            among = np.array([row.subgroups.get(attribute) == value for row in rows])
            told_of = SubgroupGap(attribute, value, group.n, group.accuracy)
            if group.accuracy and min(among.sum(), (~among).sum()) >= MIN_SUBGROUP and not drawn.too_few:
                gap, p = estimate(right, among, ~among)
                misjudged = None if off is None else estimate(off, among)[0]
                told_of = SubgroupGap(attribute, value, group.n, group.accuracy, gap, p, misjudged)
                p_values.append(p)
            found.append(told_of)
    adjusted = iter(significance.holm(p_values))
    return [one if one.p_adjusted is None else replace(one, p_adjusted=next(adjusted)) for one in found]
