"""A mixture is at least as good as its parts, and a part that knows nothing has no say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from osler.statistics import Floats, Ints, log_linear

LABELS = 60
# How far the score of the right label stands out from noise of one standard deviation, and how sharp the system is.
# With independent noise of variance one the best weights are known: skill / sharpness.
GOOD, FAIR, RANDOM = (3.0, 1.5), (2.5, 1.0), (0.0, 1.0)


def answers(seed: int, n: int, *systems: tuple[float, float]) -> tuple[Floats, Ints]:
    """Log-probabilities (systems, n, LABELS), and the labels."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, LABELS, n)
    scores = draw.normal(size=(len(systems), n, LABELS))
    for system, (skill, sharpness) in enumerate(systems):
        scores[system, np.arange(n), labels] += skill
        scores[system] *= sharpness
    return np.asarray(log_softmax(scores, axis=-1)), labels


def right(log_probabilities: Floats, labels: Ints) -> float:
    return float((log_probabilities.argmax(axis=1) == labels).mean())


def test_a_few_hundred_cases_find_the_best_weights_and_a_useless_part_has_none() -> None:
    weights = np.mean([log_linear.fit(*answers(seed, 300, GOOD, FAIR, RANDOM)) for seed in range(20)], axis=0)
    assert weights == pytest.approx([2.0, 2.5, 0.0], abs=0.15)


def test_the_mixture_is_better_than_every_part_and_no_worse_for_a_random_one() -> None:
    weights = log_linear.fit(*answers(1, 150, GOOD, FAIR, RANDOM))
    given, labels = answers(2, 2000, GOOD, FAIR, RANDOM)
    mixed = log_linear.mix(given, weights)
    assert np.exp(mixed).sum(axis=1) == pytest.approx(1)
    assert right(mixed, labels) > max(right(part, labels) for part in given) + 0.1
    alone = log_linear.mix(given[:2], log_linear.fit(*answers(1, 150, GOOD, FAIR)))
    assert right(mixed, labels) == pytest.approx(right(alone, labels), abs=0.01)


def test_weights_are_never_negative_and_equal_where_there_is_no_case() -> None:
    given, labels = answers(1, 200, GOOD, FAIR)
    against = np.stack([given[0], log_softmax(-given[1], axis=1)])
    assert log_linear.fit(against, labels)[1] == 0
    assert log_linear.fit(given[:, :0], labels[:0]) == pytest.approx([0.5, 0.5])


def test_a_group_is_in_one_fold_whatever_the_order_of_its_cases() -> None:
    units = [f"PMID:{case % 40}" for case in range(300)]
    folds = log_linear.grouped_folds(units, 5)
    assert len({(unit, fold) for unit, fold in zip(units, folds, strict=True)}) == 40
    assert sorted(np.bincount([dict(zip(units, folds, strict=True))[unit] for unit in set(units)])) == [8] * 5
    assert (log_linear.grouped_folds(units[::-1], 5)[::-1] == folds).all()
    assert set(log_linear.grouped_folds(["one", "two"], 5)) == {0, 1}
