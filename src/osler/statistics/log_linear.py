"""Log-linear mixtures: log p(label) = Σ wᵢ · log pᵢ(label), renormalised over the labels of a case, with wᵢ ≥ 0.

Source: Genest & Zidek (1986), Stat. Sci. 1:114 (the logarithmic opinion pool). The sum of the weights is an inverse
temperature: a mixture needs no other. Everything here takes arrays: ``log_probabilities`` (parts, cases, labels),
finite natural logarithms; ``labels`` the column of each case's label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from osler.statistics.resampling import Floats, Ints
from osler.storage import stable_unit

# Of the squared distance of the weights from 1/parts, against the summed log loss: a standard normal prior around the
# plain geometric mean, fixed before any data were seen; a few dozen cases outweigh it.
PENALTY = 1.0


def fit(log_probabilities: Floats, labels: Ints) -> Floats:
    """The weights, shape (parts,), of least penalised log loss on these cases; 1/parts each where there is no case.

    It is convex, so there is one minimum.
    """
    parts, cases = len(log_probabilities), np.arange(len(labels))
    equal = np.full(parts, 1 / parts)
    given = log_probabilities[:, cases, labels].sum(axis=1)  # Σ log pᵢ(label), (parts,)

    def loss(weights: Floats) -> tuple[float, Floats]:
        mixed = np.tensordot(weights, log_probabilities, 1)
        expected = np.einsum("pcl,cl->p", log_probabilities, softmax(mixed, axis=1))
        value = -log_softmax(mixed, axis=1)[cases, labels].sum() + PENALTY / 2 * ((weights - equal) ** 2).sum()
        return float(value), expected - given + PENALTY * (weights - equal)

    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 1000}
    found = minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=[(0, None)] * parts, options=options)
    return np.asarray(found.x)


def mix(log_probabilities: Floats, weights: Floats) -> Floats:
    """Log-probabilities of the mixture, (cases, labels)."""
    return np.asarray(log_softmax(np.tensordot(weights, log_probabilities, 1), axis=1))


def grouped_folds(units: Sequence[str], folds: int) -> Ints:
    """The fold of each case, from 0; ``units`` names what is independent of it (its group, or itself).

    All cases of a unit are in one fold, and every fold has as many units, give or take one: fewer units than ``folds``
    make fewer folds. A hash of the names decides, so neither their order nor a seed plays a part.
    """
    order = sorted(set(units), key=lambda unit: (stable_unit(f"fold/{unit}"), unit))
    fold = {unit: position % folds for position, unit in enumerate(order)}
    return np.array([fold[unit] for unit in units], dtype=np.int64)
