"""Area under the risk-coverage curve: how well confidence tells right answers from wrong ones."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from osler.statistics import resampling


class AURC(evaluate.Metric):
    """Mean, over the n coverages 1/n … n/n, of the share of wrong answers among the most confident cases; low is good.

    Cases tied in confidence are answered in random order, so each counts with the accuracy of its tie: a system with
    one confidence for all has its error rate as AURC.

    Args:
        confidences: the probability of the answer given to each case, or anything that ranks answers by trust.
        predictions: that answer, strings; wrong where it is not the reference.
        references: the label each case has, strings, in the same order.

    Returns:
        ``{"aurc": float}`` in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="Geifman, Uziel & El-Yaniv (2019), ICLR, arXiv:1805.08206, section 2",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {
                    "confidences": datasets.Value("float64"),
                    "predictions": datasets.Value("string"),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def replicates(
        self,
        counts: npt.NDArray[np.float64],
        confidences: npt.NDArray[np.float64],
        predictions: list[str],
        references: list[str],
    ) -> dict[str, npt.NDArray[np.float64]]:
        return resampling.resampled_selective(confidences, predictions, references, counts)

    def _compute(self, confidences: list[float], predictions: list[str], references: list[str]) -> dict[str, float]:
        ties: dict[float, list[bool]] = {}
        for confidence, prediction, reference in zip(confidences, predictions, references, strict=True):
            ties.setdefault(confidence, []).append(prediction != reference)
        answered, errors, risks = 0, 0.0, 0.0
        for _, wrong in sorted(ties.items(), reverse=True):
            for _ in wrong:
                answered += 1
                errors += sum(wrong) / len(wrong)
                risks += errors / answered
        return {"aurc": risks / answered}
