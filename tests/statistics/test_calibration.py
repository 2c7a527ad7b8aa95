"""A temperature is found where there is one, and a threshold is given only where it keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from osler.statistics import calibration


def cases(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of ``n`` cases over five labels, tempered, and the labels' columns."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(5, size=n)
    scores = 1.5 * (draw.normal(size=(n, 5)) + 1.5 * np.eye(5)[labels])
    return special.softmax(scores / temperature, axis=1), labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_taken_out(temperature: float) -> None:
    probabilities, labels = cases(4000, temperature)
    fitted = calibration.fit_temperature(probabilities, labels, every(probabilities))
    assert fitted == pytest.approx(1 / temperature, rel=0.05)
    new, new_labels = cases(4000, temperature, seed=1)
    tempered = calibration.temper(new, fitted, every(new))
    assert tempered.max(axis=1).mean() == pytest.approx((tempered.argmax(axis=1) == new_labels).mean(), abs=0.02)
    assert (tempered.argsort(axis=1) == new.argsort(axis=1)).all()


def every(probabilities: np.ndarray) -> np.ndarray:
    """Every label is ranked in every case."""
    return np.full(probabilities.shape, True)


def test_what_a_system_does_not_name_takes_no_part_in_the_temperature() -> None:
    """Of thousands of candidates it names two; where the right one is not among them, no temperature helps."""
    probabilities, named = np.zeros((100, 5000)), np.zeros((100, 5000), dtype=bool)
    probabilities[:, 0], probabilities[:, 1], named[:, :2] = 0.8, 0.2, True
    labels = np.repeat([0, 1, 4999], [40, 10, 50])
    temperature = calibration.fit_temperature(probabilities, labels, named)
    assert temperature == pytest.approx(1.0, abs=1e-3), "four of five that it names right have its first"
    tempered = calibration.temper(probabilities, 2.0, named)
    assert tempered[0, :3] == pytest.approx([2 / 3, 1 / 3, 0.0])
    fit = calibration.fit(probabilities, labels, labels == 0, named)
    assert fit.named == 0.5
    tempered = calibration.temper(probabilities, 1.0, named, fit.named)
    assert tempered[0, :2] == pytest.approx([0.4, 0.1]), "as often as it is right"
    assert tempered.sum(axis=1) == pytest.approx(np.ones(100))
    assert calibration.fit_temperature(probabilities, np.full(100, 4999), named) == 1.0


def test_tempering_by_hand() -> None:
    # Square roots of 0.64 and 0.36 are 0.8 and 0.6.
    assert calibration.temper(np.array([[0.64, 0.36]]), 2.0, np.full((1, 2), True))[0] == pytest.approx(
        [8 / 14, 6 / 14]
    )
    assert calibration.temper(np.array([[0.7, 0.3, 0.0]]), 1.0, np.full((1, 3), True))[0] == pytest.approx(
        [0.7, 0.3, 0.0]
    )


@pytest.mark.filterwarnings("error")
def test_temperatures_stay_within_their_bounds() -> None:
    """All right, all wrong, a right label of probability 0: the best temperature would be 0 or infinite."""
    probabilities = np.array([[0.9, 0.1, 0.0]] * 8)
    lowest, highest = calibration.TEMPERATURES
    assert lowest <= calibration.fit_temperature(probabilities, np.zeros(8, dtype=int), every(probabilities)) < 0.1
    assert calibration.fit_temperature(probabilities, np.full(8, 2), every(probabilities)) == pytest.approx(
        highest, rel=1e-3
    )


def test_the_threshold_answers_as_many_as_the_target_allows() -> None:
    confidences = np.linspace(0.99, 0.5, 50)
    correct = np.ones(50, dtype=bool)
    correct[[12, 20, 22, 30, 31, 32, 33, 40]] = False
    # 3 wrong of the first 30 are 0.9; the 31st is wrong, and it gets no better after that.
    threshold = calibration.abstention_threshold(confidences, correct, target=0.9)
    assert threshold == confidences[29]
    assert calibration.abstention_threshold(confidences, correct, target=0.8) == confidences[49]


def test_there_is_no_threshold_where_none_keeps_the_promise() -> None:
    confidences = np.linspace(0.99, 0.5, 50)
    assert calibration.abstention_threshold(confidences, np.zeros(50, dtype=bool)) is None
    first_eight = np.arange(50) < 8  # eight right answers are no ground to promise nine of ten
    assert calibration.abstention_threshold(confidences, first_eight) is None
    assert calibration.abstention_threshold(np.full(50, 0.7), np.arange(50) < 40) is None


def test_cases_of_one_confidence_are_answered_together_or_not_at_all() -> None:
    confidences = np.array([0.9] * 12 + [0.6] * 12)
    correct = np.array([True] * 12 + [True] * 6 + [False] * 6)
    assert calibration.abstention_threshold(confidences, correct) == 0.9


def test_a_fit_says_what_it_comes_to_on_the_cases_it_was_chosen_on() -> None:
    probabilities, labels = cases(400, 0.5)
    correct = probabilities.argmax(axis=1) == labels
    fit = calibration.fit(probabilities, labels, correct, every(probabilities))
    assert fit.threshold is not None
    answered = calibration.temper(probabilities, fit.temperature, every(probabilities)).max(axis=1) >= fit.threshold
    assert (fit.n, fit.coverage, fit.accuracy) == (400, answered.mean(), correct[answered].mean())
    assert fit.accuracy >= 0.9


def test_a_reliability_table_has_every_case_in_one_bin() -> None:
    bins = calibration.reliability_bins(np.random.default_rng(0).random(83))
    assert np.sum(bins, axis=0).tolist() == [1] * 83
    assert {int(bin_.sum()) for bin_ in bins} == {8, 9}
