"""How well each diagnosis is found, and how far an answer that names it can be believed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from osler.evaluation.label_rates import label_rates
from osler.runs.predictions import Prediction


def answers(pairs: list[tuple[str, str]]) -> list[Prediction]:
    """A case a pair of label and answer; an empty answer could not be parsed."""
    return [
        Prediction(f"{n}", "t", "test", "s", label, (answer,) if answer else (), parsed=bool(answer))
        for n, (label, answer) in enumerate(pairs)
    ]


def test_sensitivity_is_of_the_cases_with_a_label_and_predictive_value_of_those_it_was_named_for() -> None:
    rows = answers([("asthma", "asthma")] * 6 + [("asthma", "")] * 3 + [("asthma", "gout")] + [("flu", "asthma")] * 2)
    asthma, flu, gout = label_rates(rows, None)
    assert (asthma.label, asthma.cases, asthma.answered, asthma.right) == ("asthma", 10, 8, 6)
    for share, n in ((asthma.sensitivity, 10), (asthma.predictive_value, 8)):
        assert share is not None
        wilson = binomtest(6, n).proportion_ci(method="wilson")
        assert (share.value, share.low, share.high) == pytest.approx((6 / n, wilson.low, wilson.high))
    assert (flu.right, flu.sensitivity is not None, flu.predictive_value) == (0, True, None)
    assert (gout.cases, gout.sensitivity, gout.predictive_value is not None) == (0, None, True)


def test_patients_of_one_family_say_less_than_as_many_strangers() -> None:
    rows = answers([("flu", "flu")] * 8 + [("flu", "gout")] * 8)
    strangers = label_rates(rows, None)[0].sensitivity
    families = label_rates(rows, np.repeat(range(4), 4))[0].sensitivity
    assert strangers is not None
    assert families is not None
    assert families.value == strangers.value
    assert (families.low or 0) < (strangers.low or 0)
    assert (families.high or 0) > (strangers.high or 0)
