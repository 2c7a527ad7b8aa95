"""Bootstrap resamples of the cases, and every metric on all of them at once.

A resample is how often it holds each case, so a metric on 2,000 resamples is a few matrix products: no sample is ever
drawn out, no case sorted twice. Definitions are those of the modules in ``osler/metrics``, one resample a row, and
cases are given as those modules take them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import digamma

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Result = TypeVar("Result")

BLOCK = 256  # resamples worked on at once: their weights and sums stay in the processor's cache
BINS = 10  # of equal mass, in the calibration error; fewer where cases tie
COVERAGES = (50, 80, 90)  # per cent of the cases answered


def _kept(function: Callable[..., Result]) -> Callable[..., Result]:
    """Keep the last result for the very objects it was computed from: several metrics ask for it in turn."""
    last: tuple[tuple[Any, ...], Result] | None = None

    @wraps(function)
    def call(*arguments: Any) -> Result:
        nonlocal last
        if last is None or any(new is not old for new, old in zip(arguments, last[0], strict=True)):
            last = arguments, function(*arguments)
        return last[1]

    return call


def number_groups(names: Mapping[str, str | None]) -> Ints | None:
    """Case id → group, in the order of the cases, as numbers from 0; None where every case stands alone."""
    units = [("group", group) if group else ("case", case_id) for case_id, group in names.items()]
    number = {unit: position for position, unit in enumerate(dict.fromkeys(units))}
    return np.array([number[unit] for unit in units]) if len(number) < len(units) else None


def resample_counts(n: int, resamples: int, seed: int, groups: Sequence[int] | Ints | None = None) -> Floats:
    """Draw bootstrap samples of ``n`` cases with replacement: shape (resamples, n), how often each holds each case.

    With ``groups`` (the group of each case, numbered from 0) whole groups are drawn, as many as there are: the cluster
    bootstrap (Davison & Hinkley 1997, Bootstrap Methods and their Application, section 3.8); a resample then need not
    hold ``n`` cases. One draw serves every system and every metric of a split: that is what makes the differences
    paired. Raises ``ValueError`` where ``n`` or ``resamples`` is below 1.
    """
    if n < 1 or resamples < 1:
        raise ValueError(f"{resamples} resamples of {n} cases: both must be at least 1")
    units = n if groups is None else int(np.max(groups)) + 1
    draw = np.random.default_rng(seed)
    drawn = np.array([np.bincount(draw.integers(units, size=units), minlength=units) for _ in range(resamples)]).T
    # Whole numbers kept as floats, a case's resamples side by side in memory: every use is a matrix product of them.
    return np.ascontiguousarray(drawn if groups is None else drawn[np.asarray(groups)], dtype=np.float64).T


def resampled_mean(
    values: Sequence[float] | Floats, counts: Floats, among: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """Mean of one value a case (right or wrong, reciprocal rank, a difference) in each resample, shape (resamples,).

    With ``among`` over those cases only; NaN where a resample holds none of them.
    """
    weights = np.ones(counts.shape[1]) if among is None else among.astype(np.float64)
    total, n = (counts @ np.stack([np.asarray(values, dtype=np.float64) * weights, weights], axis=1)).T
    return _ratio(total, n, np.nan)


@_kept
def resampled_label_metrics(references: Sequence[str], predictions: Sequence[str], counts: Floats) -> dict[str, Floats]:
    """The metrics that average over labels, for all resamples at once: name to shape (resamples,).

    Averages over the labels present in the references, of the resample; a prediction outside them is wrong. All
    follow from three numbers a label: the cases that have it, the cases given it, and the cases that are both
    (Sokolova & Lapalme 2009, Inf. Process. Manag. 45:427).
    """
    column = {label: position for position, label in enumerate(sorted(set(references)))}

    def cases_per_label(cases: list[int], labels: Sequence[str]) -> Floats:
        columns = [column[labels[case]] for case in cases]
        return counts @ _incidence(cases, columns, (len(references), len(column)))

    cases = range(len(references))
    has = cases_per_label(list(cases), references)
    given = cases_per_label([case for case in cases if predictions[case] in column], predictions)
    right = cases_per_label([case for case in cases if predictions[case] == references[case]], references)
    recall, precision, f1 = _ratio(right, has), _ratio(right, given), _ratio(2 * right, has + given)
    # A label the resample lost adds 0 to every sum; dividing by the labels it kept leaves it out of the average.
    present = (has > 0).sum(axis=1)
    return {
        "balanced_accuracy": recall.sum(axis=1) / present,
        "recall": recall.sum(axis=1) / present,
        "precision": precision.sum(axis=1) / present,
        "macro_f1": f1.sum(axis=1) / present,
        "weighted_f1": (f1 * has).sum(axis=1) / counts.sum(axis=1),
    }


@_kept
def resampled_areas(
    probabilities: Floats, references: Sequence[str], labels: Sequence[str], counts: Floats
) -> dict[str, Floats]:
    """``macro_roc_auc``, ``micro_roc_auc`` and ``average_precision`` (macro) in each resample, each shape (resamples,).

    ``probabilities`` is (cases, panel), a column for each of ``labels``. Averages over the labels that the resample has
    with both classes (``average_precision``: has at all); NaN where there is none.
    """
    n, panel = probabilities.shape
    cases = np.arange(n)
    is_label = np.asarray(references)[:, None] == np.asarray(labels)
    every_case = np.broadcast_to(cases[:, None], is_label.shape)
    rankings = [
        _Ranking(probabilities[:, label], cases, is_label[:, label], n)
        for label in range(panel)
        if is_label[:, label].any()
    ]
    pooled = _Ranking(probabilities.ravel(), every_case.ravel(), is_label.ravel(), n)

    def areas(weights: Floats) -> Floats:
        # Sums of whole numbers, exact in single precision up to 16 million, at half the traffic.
        weights = np.ascontiguousarray(weights, dtype=np.float32)
        roc, precision = zip(*(ranking.areas(weights) for ranking in rankings), strict=True)
        return np.stack([_mean_of_defined(roc), pooled.roc(weights), _mean_of_defined(precision)])

    return dict(zip(("macro_roc_auc", "micro_roc_auc", "average_precision"), _in_blocks(areas, counts), strict=True))


class _Ranking:
    """Positives and negatives sorted once by their scores, so that any weighting of the cases is two matrix products.

    ``positives`` sums the weights of the positives at each distinct positive score, ascending; ``negatives`` those of
    the negatives below the first, at the first, between the first and the second, at the second, and so on.
    """

    def __init__(self, scores: Floats, cases: Ints, positive: npt.NDArray[np.bool_], n: int) -> None:
        thresholds, place = np.unique(scores[positive], return_inverse=True)
        negative = scores[~positive]
        gap = np.searchsorted(thresholds, negative, "left") + np.searchsorted(thresholds, negative, "right")
        self.positives = _incidence(place, cases[positive], (len(thresholds), n), np.float32)
        self.negatives = _incidence(gap, cases[~positive], (2 * len(thresholds) + 1, n), np.float32)

    def roc(self, weights: Floats) -> Floats:
        """The area under the ROC curve for ``weights`` of shape (cases, resamples), NaN without both classes.

        Ties between a positive and a negative count one half (Hanley & McNeil 1982, Radiology 143:29).
        """
        return self._roc(*self._sums(weights))

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """:meth:`roc`, and the area under the step-wise precision-recall curve, NaN without a positive.

        Tied scores are one threshold of the precision.
        """
        positives, at, up_to = self._sums(weights)
        true_positives = positives[::-1].cumsum(axis=0)[::-1]
        given = np.maximum(1, true_positives + up_to[-1] - up_to[:-1:2])  # 0 only where there are no positives, too
        precision = (positives * (true_positives / given)).sum(axis=0, dtype=np.float64)
        return self._roc(positives, at, up_to), _ratio(precision, true_positives[0], np.nan)

    def _sums(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Weights of the positives at each threshold, of the negatives at it, and of those up to each place."""
        negatives = self.negatives @ weights
        return self.positives @ weights, negatives[1::2], negatives.cumsum(axis=0)

    @staticmethod
    def _roc(positives: Floats, at: Floats, up_to: Floats) -> Floats:
        wins = (positives * (up_to[:-1:2] + at / 2)).sum(axis=0, dtype=np.float64)
        return _ratio(wins, positives.sum(axis=0, dtype=np.float64) * up_to[-1], np.nan)


@_kept
def resampled_selective(
    confidences: Floats, predictions: Sequence[str], references: Sequence[str], counts: Floats
) -> dict[str, Floats]:
    """``selective_accuracy_50`` (80, 90) and ``aurc`` in each resample, each shape (resamples,).

    Cases of the same confidence are answered in random order: their expectation is taken, in closed form.
    """
    order = np.argsort(-confidences, kind="stable")
    ties = np.flatnonzero(np.diff(confidences[order], prepend=np.inf))  # where each begins in that order
    wrong = (np.asarray(predictions) != np.asarray(references))[order].astype(np.float64)

    def selective(weights: Floats) -> Floats:
        # One resample a row: running sums over the cases are the work here.
        here = weights[order].T.copy()
        errors_here = here * wrong
        if len(ties) < len(order):
            here, errors_here = np.add.reduceat(here, ties, axis=1), np.add.reduceat(errors_here, ties, axis=1)
            rate = errors_here / np.maximum(here, 1)
        else:
            rate = np.broadcast_to(wrong, here.shape)
        answered, errors = here.cumsum(axis=1), errors_here.cumsum(axis=1)
        total, resample = answered[:, -1], np.arange(len(here))
        rows = []
        for coverage in COVERAGES:
            wanted = total * coverage / 100
            last = resample, (answered < wanted[:, None]).sum(axis=1)
            rows.append(1 - (errors[last] - (answered[last] - wanted) * rate[last]) / wanted)
        # The j-th case of a tie meets a risk of (errors before + j·rate) / (cases before + j), which is rate +
        # (errors - rate · answered, both after the tie) / (cases before + j): a sum of 1/i over i.
        harmonic = digamma(np.arange(total.max() + 1) + 1)[answered.astype(np.intp)]
        sums = np.diff(harmonic, axis=1, prepend=digamma(1))
        rows.append((errors[:, -1] + np.einsum("rt,rt->r", errors - rate * answered, sums)) / total)
        return np.stack(rows)

    names = [*(f"selective_accuracy_{coverage}" for coverage in COVERAGES), "aurc"]
    return dict(zip(names, _in_blocks(selective, counts), strict=True))


def equal_mass_bins(confidences: Floats, bins: int = BINS) -> Ints:
    """The bin of each case, from 0 for the least confident: as equal in size as ties allow, which share a bin."""
    below = np.searchsorted(np.sort(confidences), confidences, "left")
    return np.asarray(below * bins // len(confidences), dtype=np.int64)


def resampled_calibration_error(
    confidences: Floats, correct: npt.NDArray[np.bool_], counts: Floats
) -> tuple[Floats, Floats]:
    """Mean confidence minus accuracy, and the debiased mean square of the bins' gaps, in each resample.

    The bins are those of the sample. A bin's square of confidence - accuracy holds the variance of its accuracy twice,
    once from drawing the sample and once from drawing the resample; both are taken off.
    """
    member = (equal_mass_bins(confidences)[:, None] == np.arange(BINS)).astype(np.float64)
    held = counts @ member
    confidence = _ratio(counts @ (member * confidences[:, None]), held)
    accuracy = _ratio(counts @ (member * correct[:, None]), held)
    gap, share = confidence - accuracy, held / counts.sum(axis=1, keepdims=True)
    noise = _ratio(accuracy * (1 - accuracy), held - 1)
    return (share * gap).sum(axis=1), (share * (gap**2 - 2 * noise)).sum(axis=1)


def _in_blocks(function: Callable[[Floats], Floats], counts: Floats) -> Floats:
    """``function`` of weights (cases, resamples) to (metrics, resamples), applied to ``BLOCK`` resamples at a time."""
    blocks = (counts[start : start + BLOCK].T for start in range(0, len(counts), BLOCK))
    return np.concatenate([function(block) for block in blocks], axis=1)


def _incidence(
    rows: Sequence[int] | Ints, columns: Sequence[int] | Ints, shape: tuple[int, int], dtype: type = np.float64
) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows), dtype), (rows, columns)), shape=shape)


def _ratio(top: Floats, bottom: Floats, otherwise: float = 0.0) -> Floats:
    """``top / bottom``, ``otherwise`` where ``bottom`` is 0."""
    return np.divide(top, bottom, out=np.full_like(top, otherwise), where=bottom > 0)


def _mean_of_defined(values: Sequence[Floats]) -> Floats:
    """Mean over labels of what is not NaN, NaN where nothing is."""
    stacked = np.stack(values)
    defined = ~np.isnan(stacked)
    return _ratio(np.where(defined, stacked, 0).sum(axis=0), defined.sum(axis=0).astype(np.float64), np.nan)
