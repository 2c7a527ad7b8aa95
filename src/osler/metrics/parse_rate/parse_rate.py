"""Share of answers a label could be read from."""

import datasets
import evaluate
import numpy as np
import numpy.typing as npt


class ParseRate(evaluate.Metric):
    """Mean of ``parsed``. What could not be parsed is wrong in every other metric.

    Args:
        parsed: for each case whether a label could be read from the answer.

    Returns:
        ``{"parse_rate": float}`` in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=self.__doc__,
            features=datasets.Features({"parsed": datasets.Value("bool")}),
        )

    def per_case(self, parsed: list[bool]) -> dict[str, npt.NDArray[np.bool_]]:
        return {"parse_rate": np.asarray(parsed, dtype=bool)}

    def _compute(self, parsed: list[bool]) -> dict[str, float]:
        return {"parse_rate": float(self.per_case(parsed)["parse_rate"].mean())}
