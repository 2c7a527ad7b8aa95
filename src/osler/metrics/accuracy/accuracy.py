"""Share of cases given the label they have."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt


class Accuracy(evaluate.Metric):
    """scikit-learn's ``accuracy_score``. A prediction that is no reference label is simply wrong.

    Args:
        predictions: the label given to each case, strings; an empty string where no answer could be parsed (wrong).
        references: the label each case has, strings, in the same order.

    Returns:
        ``{"accuracy": float}`` in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.accuracy_score.html",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def per_case(self, predictions: list[str], references: list[str]) -> dict[str, npt.NDArray[np.bool_]]:
        return {"accuracy": np.asarray(predictions) == np.asarray(references)}

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {"accuracy": float(self.per_case(predictions, references)["accuracy"].mean())}
