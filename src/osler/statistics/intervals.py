"""Intervals and tests for paired evaluations: every published number carries one of these.

Cases may come in groups (patients of one publication, of one family), which are then the independent units: groups
are resampled, and quantiles are Student's t with one degree of freedom less than :func:`effective_groups`. ``groups``
is the group of each case, numbered from 0; None where every case stands alone. ``units`` is the number of independent
cases, or of effective groups.

Coverage named in a docstring is of intervals meant to cover 95%, simulated by the tests or, where it says so, for
``docs/decisions/statistics.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student_t

from osler.statistics.resampling import Floats, Ints, resampled_mean

Interval = tuple[float, float]


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion; unlike the bootstrap it stays honest at 0 and at n successes.

    Source: Wilson (1927), J. Am. Stat. Assoc. 22:209, without continuity correction. For whole numbers it is scipy's
    (``binomtest(...).proportion_ci``); written out because an effective number of cases is not whole.
    Raises ``ValueError`` unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(f"{successes} successes of {n}: needed is 0 <= successes <= n and n > 0")
    z = float(norm.ppf((1 + confidence) / 2))
    middle = successes + z**2 / 2
    reach = z * math.sqrt(successes * (n - successes) / n + z**2 / 4)
    return max(0.0, (middle - reach) / (n + z**2)), min(1.0, (middle + reach) / (n + z**2))


def effective_groups(groups: Sequence[int] | Ints) -> float:
    """How many groups of one size would be as good as these: n² / Σ size², the number of groups where all are alike.

    Source: Kish (1965), Survey Sampling, section 8.2; as degrees of freedom, Carter, Schnepel & Steigerwald (2017),
    Rev. Econ. Stat. 99:698. Two publications of 27 and 8 patients count as 1.5, ten of 1 to 20 patients as about 5.
    """
    sizes = np.bincount(np.asarray(groups))
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def effective_size(values: Sequence[float] | Floats, groups: Sequence[int] | Ints) -> float:
    """The number of independent cases whose mean would vary as much as that of ``values`` does from group to group.

    Source: Rao & Scott (1992), Biometrics 48:577; at most the number of cases. Where all values are equal, or there is
    one group, they say nothing about that, and it is :func:`effective_groups`: cases of a group all alike.
    """
    x, units = np.asarray(values, dtype=np.float64), effective_groups(groups)
    if x.var() == 0 or units == 1:
        return units
    between = float((np.bincount(np.asarray(groups), x - x.mean()) ** 2).sum()) / len(x) ** 2
    return min(float(len(x)), float(x.var()) * (units - 1) / (units * between)) if between else float(len(x))


def proportion_interval(correct: Sequence[bool] | npt.NDArray[np.bool_], groups: Ints | None = None) -> Interval:
    """95% interval of the share of cases that are ``correct``: Wilson's, over groups with their effective size.

    That size is multiplied by (z / t)² for the quantiles of the normal and of Student's distribution: few groups know
    little about their own variance. Source: Korn & Graubard (1998), Survey Methodology 24:193, who do so with another
    interval. Covers 93–97% of what groups of equal size show, and up to 100% below ten of them.
    """
    if groups is None:
        return wilson_interval(float(np.sum(correct)), len(correct))
    return _wilson_over_groups(
        float(np.mean(correct)), effective_size(np.asarray(correct, dtype=np.float64), groups), groups
    )


def selective_interval(value: float, replicates: Floats, answered: float, groups: Ints | None = None) -> Interval:
    """95% interval of the accuracy on the ``answered`` most confident cases, whose ``replicates`` are at hand.

    Which cases are answered varies from sample to sample too: Wilson's interval with the number of cases that would
    give the variance of the replicates, at most ``answered``, and that number where all replicates agree. Over
    ``groups`` as in :func:`proportion_interval`.
    """
    variance = float(replicates.var())
    n = answered
    if 0 < value < 1 and variance > 0:
        n = min(answered, value * (1 - value) / variance)
    elif groups is not None:
        n = answered / len(groups) * effective_groups(groups)
    return wilson_interval(min(n, value * n), n) if groups is None else _wilson_over_groups(value, n, groups)


def _wilson_over_groups(share: float, n: float, groups: Ints) -> Interval:
    n *= float(norm.ppf(0.975) / _t(effective_groups(groups))) ** 2
    return wilson_interval(min(n, share * n), n) if n > 0 else (0.0, 1.0)


def _t(units: float) -> float:
    """The 97.5% quantile of Student's t with ``units`` - 1 degrees of freedom; infinite for one unit."""
    return float(student_t.ppf(0.975, units - 1)) if units > 1 else math.inf


def _tail(units: float | None) -> float:
    """The share of replicates to leave out at either end: 2.5%, and less where resampling few units says too little.

    Source: Hesterberg (2015), Am. Stat. 69:371, section 4.4.2 (expanded percentile interval).
    """
    if units is None:
        return 0.025
    return max(1e-9, float(norm.cdf(-math.sqrt(units / (units - 1)) * _t(units)))) if units > 1 else 1e-9


def percentile_interval(replicates: Sequence[float] | Floats, units: float | None = None) -> Interval:
    """95% percentile bootstrap interval from the values of any metric on the resamples; undefined ones are left out.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; with ``units`` expanded for their
    number. Collapses to a point where all resamples agree.
    """
    values, tail = np.asarray(replicates), _tail(units)
    low, high = np.quantile(values[~np.isnan(values)], [tail, 1 - tail])
    return float(low), float(high)


def normal_interval(value: float, replicates: Floats, units: float, largest: float = 1.0) -> Interval:
    """95% interval from the bootstrap standard error: value ± t · s, within [0, ``largest``].

    For averages over labels, whose resamples repeat cases and lose labels and so lie beside the sample's own value: the
    percentiles of the resamples then miss it, and BCa's correction overshoots. Covers 93–97% with forty cases a label,
    88–97% with one to six (percentiles: 61–97%).
    Source: Efron & Tibshirani (1993), chapter 12; √(units / (units - 1)) is the finite-sample factor of chapter 5.
    """
    defined = replicates[~np.isnan(replicates)]
    if units <= 1:
        return 0.0, largest
    reach = _t(units) * math.sqrt(units / (units - 1)) * float(defined.std())
    return max(0.0, value - reach), min(largest, value + reach)


def bca_interval(values: Floats, replicates: Floats) -> Interval:
    """95% bias-corrected and accelerated bootstrap interval of the mean of ``values``, one an independent case.

    Source: Efron (1987), J. Am. Stat. Assoc. 82:171, with tails expanded as in :func:`percentile_interval`.
    ``replicates`` are the means on the resamples (:func:`resampled_mean`). The acceleration of a mean
    has a closed form; ``scipy.stats.bootstrap`` comes to the same interval in n² steps, and draws resamples of its own.
    Covers 93–97% of a log loss over a hundred cases, two more than percentiles; over groups it is no better than they
    are. Collapses to a point where all values agree.
    """
    deviations = values - values.mean()
    squares = float((deviations**2).sum())
    if squares == 0:
        return float(values.mean()), float(values.mean())
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5)
    below = ((replicates < values.mean()).mean() + (replicates <= values.mean()).mean()) / 2
    edge = 0.5 / len(replicates)
    bias = float(norm.ppf(np.clip(below, edge, 1 - edge)))
    z = bias + norm.ppf([_tail(len(values)), 1 - _tail(len(values))])
    low, high = np.quantile(replicates, norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def paired_score_interval(only_a: float, only_b: float, n: float) -> Interval:
    """95% interval of a difference in accuracy, a's minus b's, over ``n`` cases of which ``only_a`` and ``only_b`` are
    right for one system alone.

    For non-inferiority: where two systems never disagree it is as wide as the number of cases leaves it, 3.84 / (n +
    3.84) on either side, and no point, as resampling has it. Source: Tango (1998), Stat. Med. 17:891, the score
    interval. The counts need not be whole: cases in groups count as so many independent ones.
    """
    z = float(norm.ppf(0.975))
    difference = (only_a - only_b) / n

    def away(delta: float) -> float:
        """Standard errors from ``delta`` to the difference, were ``delta`` the true one."""
        half = (2 * n - only_a + only_b) * delta - only_a - only_b
        root = math.sqrt(max(0.0, half**2 + 8 * n * only_b * delta * (1 - delta)))
        share_b = (root - half) / (4 * n)
        variance = max(1e-12, n * (2 * share_b + delta * (1 - delta)))
        return n * (difference - delta) / math.sqrt(variance)

    low = -1.0 if away(-1.0) <= z else float(brentq(lambda delta: away(delta) - z, -1.0, difference))
    high = 1.0 if away(1.0) >= -z else float(brentq(lambda delta: away(delta) + z, difference, 1.0))
    return low, high


def calibration_error_intervals(overconfidence: Floats, squared: Floats, units: float) -> dict[str, Interval]:
    """95% intervals of ``ece`` and ``ece_debiased``, from :func:`resampled_calibration_error`.

    Plug-in ECE lies above the truth in every sample, and further in every resample: no interval built on it covers a
    small one. But the true ECE is at least the distance of mean confidence from accuracy, and at most the root mean
    square; the interval goes from the lower limit of the one to the upper limit of the other. That of ``ece_debiased``
    is the percentile interval of the squares from which chance is taken off twice, the sample's and the resample's.
    Simulated, nominal 95%: 93–98% and 94–100% (high where the system is calibrated).
    """
    low, high = percentile_interval(overconfidence, units)
    bottom, top = (math.sqrt(max(0.0, end)) for end in percentile_interval(squared, units))
    least = max(0.0, low, -high)
    return {"ece": (least, max(least, top)), "ece_debiased": (bottom, top)}


def paired_bootstrap_difference(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, counts: Floats, units: float | None = None
) -> tuple[float, float, float]:
    """Mean of ``a`` minus mean of ``b`` over the same cases, with its 95% interval: (difference, low, high).

    ``a`` and ``b`` hold one value a case, in the same order (1.0 right, 0.0 wrong gives a difference in accuracy).
    Cases are resampled, never the two systems apart: what makes a case hard is hard for both, and cancels.
    ``counts`` comes from :func:`resample_counts`, ``units`` is as in :func:`percentile_interval`. Two
    systems that never disagree get [0, 0], which says that these cases do not tell them apart, not that they are equal.
    Source: Efron & Tibshirani (1993), chapter 13, applied to the differences. Raises ``ValueError`` where the lengths
    differ.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values against {len(b)}: a paired comparison needs the same cases")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    low, high = percentile_interval(resampled_mean(differences, counts), units)
    return float(differences.mean()), low, high


def paired_difference_over_runs(
    a: Floats, b: Floats, counts: Floats, run_counts: Floats, units: float | None = None
) -> tuple[float, float, float]:
    """:func:`paired_bootstrap_difference` of systems that were trained several times, with other seeds.

    ``a`` and ``b`` have shape (runs, cases), the runs of the two paired by their seeds. Cases and runs are resampled,
    independently of each other; ``run_counts`` (resamples, runs) is drawn like ``counts``. With one run it is the
    interval over cases. Source: Owen (2007), Ann. Appl. Stat. 1:386 (pigeonhole bootstrap), which counts chance that
    is neither the case's nor the run's more than once: simulated, three runs cover 95–99%. With one run nothing is
    known of other seeds: 93–95%, down to 83% where half of the variance is the seed's. Raises ``ValueError`` where the
    shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"{a.shape} values against {b.shape}: a paired comparison needs the same runs and cases")
    of_runs = np.stack([resampled_mean(differences, counts) for differences in a - b], axis=1)
    replicates = (of_runs * run_counts).sum(axis=1) / run_counts.sum(axis=1)
    low, high = percentile_interval(replicates, units)
    return float((a - b).mean()), low, high
