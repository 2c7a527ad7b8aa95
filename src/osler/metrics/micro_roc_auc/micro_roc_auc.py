"""Area under the ROC curve of all pairs of a case and a label, taken together."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from osler.statistics import resampling


class MicroRocAuc(evaluate.Metric):
    """scikit-learn's ``roc_auc_score(average="micro")``: every pair of a case and a label is one yes-or-no question.

    Cases weigh the same, whatever their label, and labels that no case has count among the wrong answers.

    Args:
        probabilities: for each case one number a label, in the order of ``labels``, comparable between cases.
        references: the label each case has, strings, in the same order.
        labels: the panel, two labels or more.

    Returns:
        ``{"micro_roc_auc": float}`` in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_auc_score.html",
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
        return {"micro_roc_auc": float(roc_auc_score(has_label.ravel(), np.ravel(probabilities)))}
