"""Tests of paired answers, their correction for several comparisons, and what a test set could have shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, binomtest

from osler.statistics.resampling import Ints


def mcnemar_exact(a_right: Sequence[bool], b_right: Sequence[bool]) -> float:
    """Two-sided exact p value of "both systems are right equally often", from the cases where only one of them is.

    Source: McNemar (1947), Psychometrika 12:153; exact form: binomial test of the discordant cases at 1/2. 1.0 where
    there are none. Conservative: its true error rate is below the nominal one. Raises ``ValueError`` where the
    lengths differ.
    """
    only_a = sum(a and not b for a, b in zip(a_right, b_right, strict=True))
    only_b = sum(b and not a for a, b in zip(a_right, b_right, strict=True))
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


def sign_flip_exact(a_right: Sequence[bool], b_right: Sequence[bool], groups: Ints) -> float:
    """McNemar's test where whole groups are independent, not cases: exact, two-sided p value.

    Under "the systems are interchangeable in every group" the sign of each group's difference is a toss of a coin;
    p is the chance of a total at least as far from 0, over all tosses. With groups of one case it is
    :func:`mcnemar_exact`. Source: Fisher (1935), The Design of Experiments, section 21, applied to the groups.
    """
    differences = np.asarray(a_right, dtype=np.float64) - np.asarray(b_right, dtype=np.float64)
    totals = np.bincount(np.asarray(groups), differences)
    chances = np.ones(1)  # of each possible total, from minus the largest to the largest in steps of 1
    for size in np.abs(totals[totals != 0]).astype(int):
        chances = (np.pad(chances, (0, 2 * size)) + np.pad(chances, (2 * size, 0))) / 2
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(totals.sum())
    return float(min(1.0, chances[far].sum()))


def minimum_detectable_difference(n: int, discordance: float, power: float = 0.8, level: float = 0.05) -> float | None:
    """The smallest true difference in accuracy that :func:`mcnemar_exact` would find in ``power`` of the test sets.

    For ``n`` independent cases of which the share ``discordance`` is right for one system only. None where even a
    difference as large as the discordance would be missed. Exact: the test's power summed over the number of discordant
    cases (Duffy 1984, Biometrics 40:1005).
    """
    discordant = np.arange(n + 1)
    chances = binom.pmf(discordant, n, discordance)
    # The most cases the worse system may have alone for the test to reject; -1 where it cannot.
    most = binom.ppf(level / 2, discordant, 0.5)
    most = np.where(2 * binom.cdf(most, discordant, 0.5) > level, most - 1, most)

    def surplus(difference: float) -> float:
        share = (1 + difference / discordance) / 2
        rejected = binom.cdf(most, discordant, share) + binom.sf(discordant - most - 1, discordant, share)
        return float(chances @ rejected) - power

    if discordance == 0 or surplus(discordance) < 0:
        return None
    return float(brentq(surplus, 0, discordance))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p values, in the order given: compare each with the level wanted for the whole family.

    Source: Holm (1979), Scand. J. Stat. 6:65. The i-th smallest of m is multiplied by m - i + 1, kept at least as
    large as the one before it, at most 1. Holds however the tests depend on each other.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted
