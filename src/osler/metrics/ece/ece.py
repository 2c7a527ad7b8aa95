"""Expected calibration error: how far confidence is from the share of right answers."""

from collections.abc import Mapping

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from osler.statistics import MethodInterval, Resamples, intervals, resampling


class ECE(evaluate.Metric):
    """Top-label calibration error over bins of equal mass, plug-in and debiased.

    Cases are sorted by confidence into ``bins`` bins as equal in size as ties allow, which share a bin. ``ece`` is the
    mean over cases of |confidence - accuracy| of their bin. It is above 0 for a perfectly calibrated system too, the
    more so the fewer cases a bin has. ``ece_debiased`` is the root mean square instead, from which the part that chance
    alone adds, accuracy · (1 - accuracy) / (n - 1) of each bin, is taken off; 0 where more is to be taken off than is
    there. Root mean squares are at least as large as means, so it may lie above ``ece``.

    Args:
        confidences: the probability of the answer given to each case, in [0, 1].
        predictions: that answer, strings.
        references: the label each case has, strings, in the same order.
        bins: how many bins.

    Returns:
        ``{"ece": float, "ece_debiased": float}``, each in [0, 1].
    """

    calibration = True

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="Kumar, Liang & Ma (2019), Verified uncertainty calibration, NeurIPS, section 5 (top label)",
            inputs_description=self.__doc__,
            features=datasets.Features(
                {
                    "confidences": datasets.Value("float64"),
                    "predictions": datasets.Value("string"),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def intervals(
        self,
        values: Mapping[str, float],
        resamples: Resamples,
        confidences: npt.NDArray[np.float64],
        predictions: list[str],
        references: list[str],
    ) -> dict[str, MethodInterval]:
        correct = np.asarray(predictions) == np.asarray(references)
        resampled = resampling.resampled_calibration_error(confidences, correct, resamples.counts)
        bounds = intervals.calibration_error_intervals(*resampled, resamples.units)
        return {name: (*bounds[name], resamples.method("bootstrap_bounds")) for name in values}

    def _compute(
        self, confidences: list[float], predictions: list[str], references: list[str], bins: int = 10
    ) -> dict[str, float]:
        confidence = np.asarray(confidences)
        right = np.asarray(predictions) == np.asarray(references)
        bin_of = resampling.equal_mass_bins(confidence, bins)
        ece = squared = 0.0
        for members in (bin_of == number for number in np.unique(bin_of)):
            n, accuracy = members.sum(), right[members].mean()
            gap = abs(confidence[members].mean() - accuracy)
            noise = accuracy * (1 - accuracy) / (n - 1) if n > 1 else 0.0
            ece += n / len(confidence) * gap
            squared += n / len(confidence) * (gap**2 - noise)
        return {"ece": float(ece), "ece_debiased": float(max(0.0, squared) ** 0.5)}
