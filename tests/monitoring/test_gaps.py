"""Subgroups of a stream, beside the same in the evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streams

from osler.monitoring.accuracy import Calibrated
from osler.monitoring.gaps import Subgroups, group_accuracies
from osler.monitoring.observed import Observed
from osler.monitoring.reference import Reference


def less_sure(cases: Observed, value: str, by: float) -> Observed:
    """Of the cases with one value of ``sex``."""
    of = cases.subgroup("sex", value)
    return replace(cases, confidence=np.where(of, np.clip(cases.confidence - by, 0, 1), cases.confidence))


def lowest(reference: Reference, cases: Observed) -> float:
    """The least p value of any group and measure."""
    trusted = Calibrated.of(reference.cases, reference.resamples)
    groups = Subgroups(reference.cases, reference.resamples).groups(cases, trusted)
    return min(p for group in groups for p in group.changed.values())


def test_a_gap_that_was_not_in_the_evaluation_is_told_and_one_that_was_is_not() -> None:
    reference, seen = streams.reference(), less_sure(streams.cases(2000, seed=2), "male", 0.15)
    assert lowest(reference, streams.cases(2000, seed=2)) > 0.01
    assert lowest(reference, seen) < 1e-6
    same = replace(reference, cases=less_sure(reference.cases, "male", 0.15))
    assert lowest(same, seen) > 0.01


def test_a_small_group_is_counted_and_given_no_accuracy() -> None:
    seen = streams.cases(200)
    seen = replace(seen, subgroups=({"sex": "other"},) * 9 + seen.subgroups[9:])
    reference = streams.reference()
    groups = Subgroups(reference.cases, reference.resamples).groups(seen, None)
    (other,) = [group for group in groups if group.value == "other"]
    assert other.n == 9
    assert other.accuracy is None
    assert not other.gap
    assert not other.changed
    assert "other" not in group_accuracies(seen, None)["sex"]


def test_what_probabilities_say_is_left_out_where_they_are_not_calibrated() -> None:
    reference = streams.reference()
    for group in Subgroups(reference.cases, reference.resamples).groups(streams.cases(500), None):
        assert "estimated accuracy" not in group.gap
        assert "realised accuracy" in group.gap
        assert group.accuracy is not None
        assert group.accuracy.estimated is None
