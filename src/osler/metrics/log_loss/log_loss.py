"""How surprised a system is by the label each case has: cross-entropy in nats."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt
from sklearn.metrics import log_loss


class LogLoss(evaluate.Metric):
    """scikit-learn's ``log_loss``: the mean of -ln of the probability given to the right label.

    A probability of 0 counts as 2.2e-16, which costs 36 nats; ln K is what K equal probabilities cost.

    Args:
        probabilities: for each case one a label, in the order of ``labels``, summing to one.
        references: the label each case has, strings, in the same order, each among ``labels``.
        labels: the panel, two labels or more.

    Returns:
        ``{"log_loss": float}``, 0 or more.
    """

    calibration = True

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/generated/sklearn.metrics.log_loss.html",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {
                    "probabilities": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def per_case(
        self, probabilities: list[list[float]], references: list[str], labels: list[str]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """What scikit-learn averages; its mean may differ from scikit-learn's in the last digit."""
        p = np.asarray(probabilities)
        given = p[np.asarray(references)[:, None] == np.asarray(labels)]
        return {"log_loss": -np.log(np.clip(given, np.finfo(np.float64).eps, None))}

    def _compute(self, probabilities: list[list[float]], references: list[str], labels: list[str]) -> dict[str, float]:
        order = np.argsort(labels)  # scikit-learn wants columns sorted by label
        # By position: the argument's name changed in scikit-learn 1.9.
        value = log_loss(references, np.asarray(probabilities)[:, order], labels=np.asarray(labels)[order])
        return {"log_loss": float(value)}
