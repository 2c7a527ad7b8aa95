"""Area under the ROC curve, each label against the rest, averaged over labels."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from osler.statistics import resampling


class MacroRocAuc(evaluate.Metric):
    """scikit-learn's ``roc_auc_score`` of each label against the rest, averaged with equal weights.

    Averaged over the labels that some, but not all, of ``references`` have: a label nobody has, or everybody, has no
    ROC curve. Few labels of a rare-disease panel occur more than twice in a test set, and the average rests on them.

    Args:
        probabilities: for each case one number a label, in the order of ``labels``; any score that ranks cases will do.
        references: the label each case has, strings, in the same order.
        labels: the panel.

    Returns:
        ``{"macro_roc_auc": float}`` in [0, 1]; NaN where all cases have one label.
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
        curved = has_label.any(axis=0) & ~has_label.all(axis=0)
        if not curved.any():
            return {"macro_roc_auc": float("nan")}
        value = roc_auc_score(has_label[:, curved], np.asarray(probabilities)[:, curved], average="macro")
        return {"macro_roc_auc": float(value)}
