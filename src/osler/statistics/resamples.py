"""The resamples of one split: drawn once, for every system and every metric, with or without groups of cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler.statistics import intervals
from osler.statistics.resampling import Floats, Ints, resample_counts, resampled_mean

MIN_GROUPS = 5  # effective ones; with fewer, bootstrap intervals hold a mean in half to four fifths of the samples

MethodInterval = tuple[float | None, float | None, str]
"""Low, high and the name of the method; the limits are None where there are too few groups, or nothing is defined."""


@dataclass(frozen=True)
class Resamples:
    """``counts`` (resamples, cases) of :func:`resample_counts`, drawn over ``groups`` if not None."""

    counts: Floats
    groups: Ints | None

    @classmethod
    def draw(cls, n: int, resamples: int, seed: int, groups: Ints | None) -> Resamples:
        """Draw ``resamples`` samples of ``n`` cases, or of their groups."""
        return cls(resample_counts(n, resamples, seed, groups), groups)

    @property
    def units(self) -> float:
        """How many independent units there are: cases, or effective groups of them."""
        return float(self.counts.shape[1]) if self.groups is None else intervals.effective_groups(self.groups)

    @property
    def too_few(self) -> bool:
        """Whether there are too few groups for resampling them to say anything."""
        return self.groups is not None and self.units < MIN_GROUPS

    def method(self, name: str) -> str:
        """The name of a bootstrap method, which says so where groups of cases were drawn, or were too few."""
        return "too_few_groups" if self.too_few else name if self.groups is None else f"cluster_{name}"

    def interval(self, value: float, replicates: Floats, method: str = "percentile") -> MethodInterval:
        """The interval of a ``value`` from its ``replicates``, what it is on each resample (NaN where undefined).

        ``method`` is ``percentile``, or ``normal`` for averages over labels, whose percentiles lie beside the value
        (:func:`~osler.statistics.intervals.normal_interval`). Raises ``ValueError`` for another.
        """
        if self.too_few:
            return None, None, "too_few_groups"
        if np.isnan(replicates).all():
            return None, None, "undefined_on_all_resamples"
        if method == "percentile":
            low, high = intervals.percentile_interval(replicates, self.units)
        elif method == "normal":
            low, high = intervals.normal_interval(value, replicates, self.units)
        else:
            raise ValueError(f"the interval {method!r} is unknown; expected 'percentile' or 'normal'")
        return low, high, self.method(f"bootstrap_{method}")

    def mean_interval(self, values: Floats) -> MethodInterval:
        """The interval of the mean of ``values``, one a case: BCa, or over groups the percentiles."""
        replicates = resampled_mean(values, self.counts)
        if self.groups is not None:
            return self.interval(float(values.mean()), replicates)
        return *intervals.bca_interval(values, replicates), "bootstrap_bca"
