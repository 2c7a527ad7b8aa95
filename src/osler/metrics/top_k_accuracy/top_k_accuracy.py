"""Share of cases whose label is among the first k of the ranking."""

import math
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np
import numpy.typing as npt


class TopKAccuracy(evaluate.Metric):
    """Top-k accuracy from rankings; scikit-learn's ``top_k_accuracy_score`` wants a score for every label instead.

    A ranking shorter than k is used as it is: what was not ranked was not found.

    Args:
        ranked: for each case the labels, strings, best first; an empty list where no answer could be parsed (wrong).
        references: the label each case has, strings, in the same order.
        k: how deep to look, at least 1; several depths give several keys.

    Returns:
        ``{"top_3_accuracy": float, "top_5_accuracy": float}`` for ``k=(3, 5)``, each in [0, 1].
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

    def per_case(self, ranked: list[list[str]], references: list[str]) -> dict[str, npt.NDArray[np.bool_]]:
        ranks, longest = _ranks(ranked, references), max(map(len, ranked))
        return {f"top_{k}_accuracy": ranks <= k for k in (3, 5) if k <= longest}

    def _compute(
        self, ranked: list[list[str]], references: list[str], k: int | Sequence[int] = (3, 5)
    ) -> dict[str, float]:
        depths = [k] if isinstance(k, int) else list(k)
        if not depths or min(depths) < 1:
            raise ValueError(f"k is {k!r}; it must be 1 or more")
        ranks = _ranks(ranked, references)
        return {f"top_{depth}_accuracy": float((ranks <= depth).mean()) for depth in depths}


def _ranks(ranked: list[list[str]], references: list[str]) -> npt.NDArray[np.float64]:
    """The rank of each case's label, infinite where it was not ranked."""
    pairs = zip(ranked, references, strict=True)
    return np.array([labels.index(label) + 1 if label in labels else math.inf for labels, label in pairs])
