"""Kappa is what the published examples and other software have, and its intervals hold the true one."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from osler.statistics.agreement import cohen_kappa, fleiss_kappa

# Fleiss (1971), table 1: 30 patients, six psychiatrists, five diagnoses; how often each was given.
FLEISS = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 00501 30012 51000 02040 10203
00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""


def diagnoses(counts: str) -> list[int]:
    return [diagnosis for diagnosis, times in enumerate(counts) for _ in range(int(times))]


def test_fleiss_own_example() -> None:
    found = fleiss_kappa([diagnoses(counts) for counts in FLEISS.split()])
    assert found.n == 30
    assert found.value == pytest.approx(0.430, abs=5e-4)
    assert found.agreement == pytest.approx(0.555, abs=5e-4)
    low, high, method = found.interval
    assert low is not None
    assert high is not None
    assert low < 0.430 < high
    assert method == "bootstrap_percentile"


def test_statsmodels_agrees_on_fleiss() -> None:
    raters = pytest.importorskip("statsmodels.stats.inter_rater", reason="statsmodels is not installed")
    table = np.array([[int(times) for times in counts] for counts in FLEISS.split()])
    assert fleiss_kappa([diagnoses(counts) for counts in FLEISS.split()]).value == pytest.approx(
        raters.fleiss_kappa(table)
    )


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_agrees_on_cohen(seed: int) -> None:
    draw = np.random.default_rng(seed)
    first = draw.integers(0, 4, 50)
    second = np.where(draw.random(50) < 0.6, first, draw.integers(0, 6, 50))
    found = cohen_kappa(first.tolist(), second.tolist())
    assert found.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.agreement == pytest.approx((first == second).mean())


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [(["a", "b", None], ["a", "b", None], 1.0), (["a", "b"], ["b", "a"], -1.0), (["a", "a"], ["a", "a"], None)],
)
def test_agreement_without_chance_with_nothing_else_and_with_one_category(
    first: list[Hashable], second: list[Hashable], value: float | None
) -> None:
    assert cohen_kappa(first, second).value == value


def test_the_interval_holds_the_kappa_of_all_cases() -> None:
    draw, held = np.random.default_rng(0), 0
    for _ in range(100):
        truth = draw.integers(0, 2, 80)
        ratings = [np.where(draw.random(80) < 0.85, truth, 1 - truth) for _ in range(2)]
        low, high, _ = cohen_kappa(ratings[0].tolist(), ratings[1].tolist()).interval
        assert low is not None
        assert high is not None
        # Both right or both wrong: 0.85² + 0.15² = 0.745 agree, and half would by chance.
        held += low <= (0.745 - 0.5) / 0.5 <= high
    assert held >= 88


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="3 ratings against 2"):
        cohen_kappa([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match=r"cases with \[2, 3\] ratings"):
        fleiss_kappa([[1, 2], [1, 2, 3]])
