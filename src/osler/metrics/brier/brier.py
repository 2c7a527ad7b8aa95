"""Squared distance between the probabilities and what was the case."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import brier_score_loss


class Brier(evaluate.Metric):
    """scikit-learn's ``brier_score_loss(scale_by_half=False)``: summed over labels, mean over cases.

    0 for certainty in the right label, 2 for certainty in a wrong one, 1 - 1/K for K equal probabilities.

    Args:
        probabilities: for each case one a label, in the order of ``labels``, summing to one.
        references: the label each case has, strings, in the same order, each among ``labels``.
        labels: the panel, two labels or more.

    Returns:
        ``{"brier": float}`` in [0, 2].
    """

    calibration = True

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="Brier (1950), Monthly Weather Review 78:1",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {
                    "probabilities": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def per_case(
        self, probabilities: list[list[float]], references: list[str], labels: list[str]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """What scikit-learn averages; its mean may differ from scikit-learn's in the last digit."""
        p = np.asarray(probabilities)
        given = p[np.asarray(references)[:, None] == np.asarray(labels)]
        return {"brier": (p**2).sum(axis=1) - 2 * given + 1}

    def _compute(self, probabilities: list[list[float]], references: list[str], labels: list[str]) -> dict[str, float]:
        order = np.argsort(labels)  # scikit-learn wants columns sorted by label
        value = brier_score_loss(
            references, np.asarray(probabilities)[:, order], labels=np.asarray(labels)[order], scale_by_half=False
        )
        return {"brier": float(value)}
