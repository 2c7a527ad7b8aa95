"""Area under the precision-recall curve, each label against the rest, averaged over labels."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from osler.statistics import resampling


class AveragePrecision(evaluate.Metric):
    """scikit-learn's ``average_precision_score`` of each label against the rest, averaged with equal weights.

    Averaged over the labels present in ``references``. Chance is the share of cases that have the label, and with one
    or two cases a label the value lies above what many cases would give: compare systems, not test sets.

    Args:
        probabilities: for each case one number a label, in the order of ``labels``; any score that ranks cases will do.
        references: the label each case has, strings, in the same order.
        labels: the panel.

    Returns:
        ``{"average_precision": float}`` in [0, 1].
    """

    interval = "normal"

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.average_precision_score.html",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {
                    "probabilities": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def replicates(
        self,
        counts: npt.NDArray[np.float64],
        probabilities: npt.NDArray[np.float64],
        references: list[str],
        labels: list[str],
    ) -> dict[str, npt.NDArray[np.float64]]:
        return resampling.resampled_areas(probabilities, references, labels, counts)

    def _compute(self, probabilities: list[list[float]], references: list[str], labels: list[str]) -> dict[str, float]:
        has_label = np.asarray(references)[:, None] == np.asarray(labels)
        present = has_label.any(axis=0)
        value = average_precision_score(has_label[:, present], np.asarray(probabilities)[:, present], average="macro")
        return {"average_precision": float(value)}
