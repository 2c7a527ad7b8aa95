"""Agreement of raters beyond chance, with bootstrap intervals over the cases.

Kappa is 1 where all agree, 0 where they agree as often as chance would have it. Chance is taken from how often each
category is given, so the same share of agreement has a lower kappa where one category is given nearly always.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from osler.statistics.resamples import MethodInterval, Resamples
from osler.statistics.resampling import Floats

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Kappa:
    """Agreement on ``n`` cases.

    Attributes:
        agreement: the share of pairs of ratings of one case that are the same.
        value: kappa; None where all ratings are of one category, so that chance alone would agree always.
        interval: low, high and how they were found.
    """

    n: int
    agreement: float
    value: float | None
    interval: MethodInterval


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> Kappa:
    """Of two raters, from the category that each gave each case, in the same order.

    Source: Cohen (1960), Educ. Psychol. Meas. 20:37. Raises ``ValueError`` where there are no cases, or the lengths
    differ.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} ratings against {len(second)}: both raters need the same cases, one at least")
    a, b = _indicators([[one] for one in first], second), _indicators([[one] for one in second], first)
    return _kappa((a * b).sum(axis=1), a, b)


def fleiss_kappa(ratings: Sequence[Sequence[Hashable]]) -> Kappa:
    """Of several raters, who need not be the same ones for each case: the categories that each case was given.

    Source: Fleiss (1971), Psychol. Bull. 76:378. Raises ``ValueError`` where there are no cases, or they have not all
    as many ratings, two at least.
    """
    numbers = {len(of) for of in ratings}
    if len(numbers) != 1 or min(numbers) < 2:
        raise ValueError(f"cases with {sorted(numbers)} ratings: needed is the same number for each, two at least")
    m = numbers.pop()
    counts = _indicators(ratings, ())
    pairs = (counts * (counts - 1)).sum(axis=1) / (m * (m - 1))
    return _kappa(pairs, counts / m, counts / m)


def _indicators(ratings: Sequence[Sequence[Hashable]], others: Sequence[Hashable]) -> Floats:
    """How often each case was given each category that is in ``ratings`` or ``others``; shape (cases, categories)."""
    named = dict.fromkeys([one for of in ratings for one in of] + list(others))
    column = {category: position for position, category in enumerate(sorted(named, key=repr))}
    table = np.zeros((len(ratings), len(column)))
    for case, of in enumerate(ratings):
        for category in of:
            table[case, column[category]] += 1
    return table


def _kappa(agreed: Floats, first: Floats, second: Floats) -> Kappa:
    """From how far each case is agreed on (cases,), and the shares of categories on either side (cases, categories)."""
    n = len(agreed)
    drawn = Resamples.draw(n, RESAMPLES, SEED, None)

    def values(weights: Floats) -> Floats:
        chance = ((weights @ first) * (weights @ second)).sum(axis=1) / n**2
        with np.errstate(invalid="ignore"):
            # All of one category: 0 / 0, which is nothing known.
            found: Floats = (weights @ agreed / n - chance) / np.where(np.isclose(chance, 1.0), np.nan, 1 - chance)
        return found

    value = float(values(np.ones((1, n)))[0])
    if np.isnan(value):
        return Kappa(n, float(agreed.mean()), None, (None, None, "undefined"))
    return Kappa(n, float(agreed.mean()), value, drawn.interval(value, values(drawn.counts)))
