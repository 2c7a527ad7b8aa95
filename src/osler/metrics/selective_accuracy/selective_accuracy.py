"""Accuracy on the most confident cases: what a system reaches when it may abstain from the rest."""

from collections.abc import Mapping

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from osler.statistics import MethodInterval, Resamples, intervals, resampling


class SelectiveAccuracy(evaluate.Metric):
    """Accuracy over the given share of the cases, the most confident first.

    Cases tied in confidence are answered in random order, so each counts with the accuracy of its tie; where the share
    ends within a case, that case counts in part.

    Args:
        confidences: the probability of the answer given to each case, or anything that ranks answers by trust.
        predictions: that answer, strings; wrong where it is not the reference.
        references: the label each case has, strings, in the same order.
        coverages: shares of the cases to answer, in per cent, each in (0, 100].

    Returns:
        ``{"selective_accuracy_50": float, …}`` for ``coverages=(50, …)``, each in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="El-Yaniv & Wiener (2010), J. Mach. Learn. Res. 11:1605",
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
        replicates = resampling.resampled_selective(confidences, predictions, references, resamples.counts)
        measured: dict[str, MethodInterval] = {}
        for name, value in values.items():
            answered = len(references) * int(name.rpartition("_")[2]) / 100
            low, high = intervals.selective_interval(value, replicates[name], answered, resamples.groups)
            measured[name] = low, high, "wilson_effective_n"
        return measured

    def _compute(
        self,
        confidences: list[float],
        predictions: list[str],
        references: list[str],
        coverages: tuple[int, ...] = (50, 80, 90),
    ) -> dict[str, float]:
        ties: dict[float, list[bool]] = {}
        for confidence, prediction, reference in zip(confidences, predictions, references, strict=True):
            ties.setdefault(confidence, []).append(prediction == reference)
        most_confident_first = [correct for _, correct in sorted(ties.items(), reverse=True)]
        values = {}
        for coverage in coverages:
            if not 0 < coverage <= 100:
                raise ValueError(f"a coverage is {coverage!r}; it must be above 0 and at most 100 per cent")
            wanted = left = len(references) * coverage / 100
            right = 0.0
            for correct in most_confident_first:
                answered = min(left, len(correct))
                right += answered * sum(correct) / len(correct)
                left -= answered
            values[f"selective_accuracy_{coverage}"] = min(
                1.0, right / wanted
            )  # parts of cases add up to a rounding error
        return values
