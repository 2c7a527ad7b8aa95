"""Recall averaged over labels: every label weighs the same, however many cases it has."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import recall_score

from osler.statistics import resampling


class BalancedAccuracy(evaluate.Metric):
    """scikit-learn's ``balanced_accuracy_score``: the mean recall over the labels present in ``references``.

    Predictions outside those labels count as wrong. Computed as the macro recall it is by definition, because
    ``balanced_accuracy_score`` warns about every such prediction; equal to the metric ``recall``.

    Args:
        predictions: the label given to each case, strings; an empty string where no answer could be parsed (wrong).
        references: the label each case has, strings, in the same order.

    Returns:
        ``{"balanced_accuracy": float}`` in [0, 1].
    """

    interval = "normal"

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.recall_score.html",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def replicates(
        self, counts: npt.NDArray[np.float64], predictions: list[str], references: list[str]
    ) -> dict[str, npt.NDArray[np.float64]]:
        return resampling.resampled_label_metrics(references, predictions, counts)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        present = sorted(set(references))
        value = recall_score(references, predictions, labels=present, average="macro", zero_division=0)
        return {"balanced_accuracy": float(value)}
