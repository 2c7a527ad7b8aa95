"""Macro precision: of the cases given a label, the share that have it, averaged over labels."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_score

from osler.statistics import resampling


class Precision(evaluate.Metric):
    """scikit-learn's ``precision_score(average="macro")`` over the labels present in ``references``.

    A label that is never predicted has precision 0. Predictions outside those labels count as wrong for the case
    they were given to, and add no label to the average.

    Args:
        predictions: the label given to each case, strings; an empty string where no answer could be parsed (wrong).
        references: the label each case has, strings, in the same order.

    Returns:
        ``{"precision": float}`` in [0, 1].
    """

    interval = "normal"

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.precision_score.html",
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
        value = precision_score(references, predictions, labels=present, average="macro", zero_division=0)
        return {"precision": float(value)}
