"""Area under the curve of top-k accuracy over k, from the first place to the last."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt


class SensitivityAtKAuc(evaluate.Metric):
    """Mean of top-k accuracy over k = 1 … K: the whole ranking in one number, 1 where every label comes first.

    A label at rank r of K is found by K - r + 1 of the K lists, so the area is 1 - (mean rank - 1) / K where all are
    ranked; a label that was not ranked adds nothing. Chance is (K + 1) / 2K. Only areas of the same K compare.

    Args:
        ranked: for each case the labels, strings, best first; an empty list where no answer could be parsed (0).
        references: the label each case has, strings, in the same order.
        k: K; the longest ranking where None.

    Returns:
        ``{"sensitivity_at_k_auc": float}`` in [0, 1]; 0 where nothing was ranked.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.top_k_accuracy_score.html",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {"ranked": datasets.Sequence(datasets.Value("string")), "references": datasets.Value("string")}
            ),
        )

    def per_case(self, ranked: list[list[str]], references: list[str]) -> dict[str, npt.NDArray[np.float64]]:
        """Nothing where one of the rankings lacks labels that others have."""
        if min(len(labels) for labels in ranked if labels) < len(set().union(*ranked)):
            return {}
        depth = max(map(len, ranked))
        return {"sensitivity_at_k_auc": np.array(_lists_with_label(ranked, references, depth)) / depth}

    def _compute(self, ranked: list[list[str]], references: list[str], k: int | None = None) -> dict[str, float]:
        depth = max(map(len, ranked)) if k is None else k
        lists = _lists_with_label(ranked, references, depth)
        return {"sensitivity_at_k_auc": sum(lists) / (max(1, depth) * len(references))}


def _lists_with_label(ranked: list[list[str]], references: list[str], depth: int) -> list[int]:
    """How many of the lists of the first 1 … ``depth`` labels hold each case's label."""
    pairs = zip(ranked, references, strict=True)
    return [max(0, depth - labels.index(label)) if label in labels else 0 for labels, label in pairs]
