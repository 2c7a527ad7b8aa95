"""Deletion and insertion: units taken out of a text, or put into it, in the order that an explanation says.

Where an explanation is right, the answer falls soon when what carried it goes first, and comes back soon when it comes
first. Source: Petsiuk et al. 2018, arXiv:1806.07421, section 3.2; the probability is that of the first answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from osler.explanation.subject import Subject
from osler.explanation.units import Unit, without
from osler.statistics import Floats

GRID = 11  # places that mean curves are told at


@dataclass(frozen=True)
class Areas:
    """Of one order: the areas under both curves, and the curves at :data:`GRID` places from 0 to 1."""

    deletion: float
    insertion: float
    deletion_curve: Floats
    insertion_curve: Floats


def areas(
    subject: Subject, text: str, units: Sequence[Unit], label: int, orders: Sequence[Sequence[int]]
) -> list[Areas]:
    """The areas of several ``orders`` of the ``units``, each order from what speaks most for ``label`` to what speaks
    most against it. A text that several orders pass is asked once."""
    paths = [_left_out(order) for order in orders]
    needed = sorted({gone for deletion, insertion in paths for gone in (*deletion, *insertion)}, key=sorted)
    scored = subject.ask([without(text, [units[place] for place in gone]) for gone in needed])
    probability = dict(zip(needed, np.exp(scored[:, label]).tolist(), strict=True))
    return [_areas(*([probability[gone] for gone in path] for path in both)) for both in paths]


def _left_out(order: Sequence[int]) -> tuple[list[frozenset[int]], list[frozenset[int]]]:
    """What is left out at each step of deletion, and of insertion."""
    everything = frozenset(order)
    gone = [frozenset(order[:step]) for step in range(len(order) + 1)]
    return gone, [everything - one for one in gone]


def _areas(deletion: Sequence[float], insertion: Sequence[float]) -> Areas:
    at = np.linspace(0, 1, len(deletion))
    grid = np.linspace(0, 1, GRID)
    return Areas(
        float(np.trapezoid(deletion, at)),
        float(np.trapezoid(insertion, at)),
        np.interp(grid, at, deletion),
        np.interp(grid, at, insertion),
    )


def mean_areas(of: Collection[Areas]) -> Areas:
    """The mean of several orders."""
    return Areas(
        float(np.mean([one.deletion for one in of])),
        float(np.mean([one.insertion for one in of])),
        np.mean([one.deletion_curve for one in of], axis=0),
        np.mean([one.insertion_curve for one in of], axis=0),
    )
