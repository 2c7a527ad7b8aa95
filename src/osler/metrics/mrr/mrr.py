"""Mean reciprocal rank of the label each case has."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt


class MRR(evaluate.Metric):
    """Mean over cases of 1 / rank of the right label (1 for the first place), 0 where it was not ranked.

    Args:
        ranked: for each case the labels, strings, best first; an empty list where no answer could be parsed (0).
        references: the label each case has, strings, in the same order.

    Returns:
        ``{"mrr": float}`` in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="Voorhees (1999), The TREC-8 question answering track report, section 3",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {"ranked": datasets.Sequence(datasets.Value("string")), "references": datasets.Value("string")}
            ),
        )

    def per_case(self, ranked: list[list[str]], references: list[str]) -> dict[str, npt.NDArray[np.float64]]:
        pairs = zip(ranked, references, strict=True)
        return {"mrr": np.array([1 / (labels.index(label) + 1) if label in labels else 0.0 for labels, label in pairs])}

    def _compute(self, ranked: list[list[str]], references: list[str]) -> dict[str, float]:
        return {"mrr": sum(self.per_case(ranked, references)["mrr"].tolist()) / len(references)}
