"""What is said of accuracy before anybody judged, and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streams

from osler.monitoring.accuracy import Calibrated, accuracy_of, recent_shortfall
from osler.monitoring.reference import Reference


def calibrated(reference: Reference) -> Calibrated:
    found = Calibrated.of(reference.cases, reference.resamples)
    assert found
    return found


def test_the_interval_of_the_estimate_holds_the_accuracy_of_calibrated_answers() -> None:
    """Of many cases: the estimate is of what is to be expected, and the accuracy of few varies on top of that."""
    held = []
    for seed in range(40):
        trusted = calibrated(streams.reference(seed=seed))
        told = trusted.estimate(streams.cases(250, seed=1000 + seed).confidence)
        assert told.low is not None
        assert told.high is not None
        held.append(told.low <= 4 / 6 <= told.high)  # the mean of beta(4, 2)
    assert np.mean(held) >= 0.9


def test_few_cases_or_publications_get_an_estimate_without_interval() -> None:
    reference = streams.reference()
    assert calibrated(reference).estimate(streams.cases(5).confidence).low is None
    few = calibrated(replace(reference, groups=np.arange(400) % 3))
    assert few.estimate(streams.cases(250).confidence).method == "too_few_groups"


def test_probabilities_that_are_not_there_give_no_estimate() -> None:
    reference = streams.reference()
    blind = replace(reference, cases=replace(reference.cases, confidence=np.full(400, np.nan)))
    assert Calibrated.of(blind.cases, blind.resamples) is None
    told = accuracy_of(streams.cases(100), None)
    assert told.estimated is None
    assert told.judged == 100
    assert told.realised is not None


def test_wrong_answers_that_seemed_sure_are_noticed_and_chance_is_not() -> None:
    trusted, seen = calibrated(streams.reference(2000, 2000)), streams.cases(250, seed=4)
    quiet = recent_shortfall(seen.confidence, seen.right, trusted, 0.0025)
    assert quiet
    assert quiet[0] >= quiet[1]
    wrong = np.where(np.arange(250) % 3 == 0, 0.0, seen.right)
    told = recent_shortfall(seen.confidence, wrong, trusted, 0.0025)
    assert told
    assert told[0] < told[1]
    assert recent_shortfall(seen.confidence, np.full(250, np.nan), trusted, 0.0025) is None
