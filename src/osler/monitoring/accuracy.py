"""How often a model is right, before anybody has said so and after."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from osler.monitoring.observed import Observed
from osler.monitoring.records import Accuracy
from osler.runs import Estimate
from osler.statistics import Floats, Resamples, intervals, resampled_mean

RESAMPLES = 2000
MIN_CASES = 10  # the mean of fewer gets no interval
MIN_JUDGED = 30  # cases before their accuracy is held against what was estimated
RECENT = 250  # judged cases: the most recent are held against it


@dataclass(frozen=True)
class Calibrated:
    """How far calibrated probabilities were off in the evaluation: ``bias`` is accuracy minus mean probability.

    ``replicates``: that difference on resamples of the evaluation's publications, or cases, minus ``bias.value``: by
    how much it may be another one on other cases of the same kind. None where there are too few for that.
    """

    bias: Estimate
    replicates: Floats | None

    @classmethod
    def of(cls, reference: Observed, resamples: Resamples) -> Calibrated | None:
        """By the cases of an evaluation; None where some have no probability."""
        off = reference.right - reference.confidence
        if np.isnan(off).any():
            return None
        bias, replicates = float(off.mean()), resampled_mean(off, resamples.counts)
        low, high, method = resamples.interval(bias, replicates)
        return cls(
            Estimate(value=bias, low=low, high=high, method=method),
            None if resamples.too_few else replicates - bias,
        )

    @property
    def error(self) -> float:
        """The standard error of ``bias``."""
        return 1.0 if self.replicates is None else float(self.replicates.std())

    def estimate(self, confidence: Floats, seed: int = 0) -> Estimate:
        """The share of first diagnoses that is right, by their calibrated probabilities alone: the mean of those.

        Source: the idea of NannyML's confidence-based performance estimation (CBPE), for accuracy. The interval counts
        that other cases would have come (normal: the mean of many) and that the probabilities may be off by as much as
        they could have been in the evaluation (bootstrap). It does not count a change in what a text says of the
        diagnosis: where the same words come to mean another disease, probabilities stay as they are and are wrong.
        """
        value, n = float(confidence.mean()), len(confidence)
        if n < MIN_CASES:
            return Estimate(value=value, low=None, high=None, method="too_few_cases")
        if self.replicates is None:
            return Estimate(value=value, low=None, high=None, method="too_few_groups")
        spread = float(confidence.std(ddof=1)) / math.sqrt(n)
        chance = np.random.default_rng(seed).standard_normal(len(self.replicates)) * spread
        low, high = intervals.percentile_interval(value + chance + self.replicates)
        return Estimate(value=value, low=max(0.0, low), high=min(1.0, high), method="normal_and_calibration")


def share(values: Floats) -> Estimate:
    """The share of ones with Wilson's interval."""
    low, high = intervals.proportion_interval(values == 1)
    return Estimate(value=float(values.mean()), low=low, high=high, method="wilson")


def accuracy_of(cases: Observed, calibrated: Calibrated | None) -> Accuracy:
    """What is known of ``cases``; there is at least one."""
    confidence, judged = cases.confidence[~np.isnan(cases.confidence)], cases.right[cases.judged]
    return Accuracy(
        estimated=calibrated.estimate(confidence) if calibrated and len(confidence) else None,
        abstained=share(cases.abstained),
        judged=len(judged),
        realised=share(judged) if len(judged) else None,
    )


def recent_shortfall(
    confidence: Floats, right: Floats, calibrated: Calibrated, level: float
) -> tuple[float, float] | None:
    """The accuracy of the most recent judged cases and the least that chance explains, at ``level``; None for too few.

    Chance: each is right with its own calibrated probability, and these are off as in the evaluation, give or take the
    standard error of that. A selection by confidence makes no difference; one by what was wrong does.
    """
    places = np.flatnonzero(~np.isnan(right) & ~np.isnan(confidence))[-RECENT:]
    if len(places) < MIN_JUDGED:
        return None
    p, judged = confidence[places], right[places]
    spread = math.hypot(math.sqrt(float((p * (1 - p)).sum())) / len(p), calibrated.error)
    return float(judged.mean()), float(p.mean()) + calibrated.bias.value + float(norm.ppf(level)) * spread
