"""Whether probabilities can be believed, and what may be done about it with validation cases.

Everything here takes arrays: ``probabilities`` (cases, panel) with rows that sum to one, ``labels`` the column of each
case's label, ``confidences`` the probability of each answer and ``correct`` whether it was right. ``ranked`` (cases,
panel) says which labels a case's probabilities are of: of thousands of candidates a system names some.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from osler.statistics.resampling import Floats, Ints, equal_mass_bins

TEMPERATURES = (0.05, 20.0)  # where the best one is looked for
TARGET_ACCURACY = 0.9  # of the answers given when a system may abstain
MIN_ANSWERED = 10  # validation cases above a threshold before their accuracy says anything


@dataclass(frozen=True)
class Fit:
    """What was chosen on ``n`` validation cases: a temperature, and the tempered confidence to answer from.

    ``named`` is the share of them whose right label the system names at all: 1 where it names every label.

    ``threshold`` is None where none reaches ``TARGET_ACCURACY``; else ``coverage`` and ``accuracy`` are the share of
    the validation cases answered and of right answers among them. Both flatter: they are the best of many.
    """

    n: int
    temperature: float
    named: float
    threshold: float | None
    coverage: float | None
    accuracy: float | None


def fit(probabilities: Floats, labels: Ints, correct: npt.NDArray[np.bool_], ranked: npt.NDArray[np.bool_]) -> Fit:
    """Choose temperature and threshold on validation cases, which must not be those they are judged on."""
    temperature = fit_temperature(probabilities, labels, ranked)
    named = float(ranked[np.arange(len(labels)), labels].mean())
    confidences = temper(probabilities, temperature, ranked, named).max(axis=1)
    threshold = abstention_threshold(confidences, correct)
    if threshold is None:
        return Fit(len(labels), temperature, named, None, None, None)
    answered = confidences >= threshold
    return Fit(len(labels), temperature, named, threshold, float(answered.mean()), float(correct[answered].mean()))


def temper(probabilities: Floats, temperature: float, ranked: npt.NDArray[np.bool_], named: float = 1.0) -> Floats:
    """p^(1/T), renormalised: T > 1 makes a system less sure of itself, T < 1 surer; the order of a case's labels stays.

    The ``ranked`` labels share the probability ``named``, and what is left goes evenly to those that are not ranked.
    Source: Guo et al. (2017), ICML, On calibration of modern neural networks, section 4.2.
    """
    tempered = np.asarray(softmax(_log(probabilities, ranked) / temperature, axis=1))
    others = (~ranked).sum(axis=1, keepdims=True)
    spread = tempered * named + ~ranked * (1 - named) / np.maximum(others, 1)
    return np.where(others > 0, spread, tempered)


def fit_temperature(probabilities: Floats, labels: Ints, ranked: npt.NDArray[np.bool_]) -> float:
    """The temperature within ``TEMPERATURES`` that has the least log loss on the cases whose label is ranked: no
    temperature makes the others better or worse. 1 where there is none."""
    named = ranked[np.arange(len(labels)), labels]
    if not named.any():
        return 1.0
    return softmax_temperature(_log(probabilities[named], ranked[named]), labels[named], TEMPERATURES)


def softmax_temperature(scores: Floats, labels: Ints, bounds: tuple[float, float]) -> float:
    """The T within ``bounds`` with which softmax(scores / T) has the least log loss on these cases.

    ``scores`` (cases, panel) may be -inf for labels that a case cannot have, never for its own. The log loss is convex
    in 1/T, so there is one minimum.
    """
    cases = np.arange(len(labels))

    def log_loss(inverse: float) -> float:
        return -float(log_softmax(scores * inverse, axis=1)[cases, labels].mean())

    lowest, highest = bounds
    return 1 / float(minimize_scalar(log_loss, bounds=(1 / highest, 1 / lowest), method="bounded").x)


def _log(probabilities: Floats, ranked: npt.NDArray[np.bool_]) -> Floats:
    logp = np.log(np.clip(probabilities, np.finfo(np.float64).eps, 1))
    return np.where(ranked, logp, -np.inf)


def reliability_bins(confidences: Floats) -> list[npt.NDArray[np.bool_]]:
    """The rows of a reliability table, least confident first: which cases are in each bin of equal mass."""
    bins = equal_mass_bins(confidences)
    return [bins == number for number in np.unique(bins)]


def abstention_threshold(
    confidences: Floats, correct: npt.NDArray[np.bool_], target: float = TARGET_ACCURACY
) -> float | None:
    """The lowest confidence at which the answers given on these cases are right in ``target`` of them or more.

    Answers are given where the confidence is at least the threshold. None where no threshold with ``MIN_ANSWERED``
    answers reaches the target. It is the best of many on these cases: expect somewhat less than the target on others.
    """
    thresholds, tie = np.unique(-confidences, return_inverse=True)
    answered = np.bincount(tie).cumsum()
    accuracy = np.bincount(tie, correct).cumsum() / answered
    reached = np.flatnonzero((accuracy >= target) & (answered >= MIN_ANSWERED))
    return float(-thresholds[reached[-1]]) if len(reached) else None
