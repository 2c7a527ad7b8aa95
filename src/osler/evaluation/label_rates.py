"""How well each diagnosis is found, and how far an answer that names it can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from osler.evaluation.measurement import proportion
from osler.runs import Estimate, Prediction
from osler.statistics import Ints


@dataclass(frozen=True)
class LabelRates:
    """One label of one system on one split.

    Attributes:
        cases, answered, right: how many cases have the label, how often it was the answer, and how often both.
        sensitivity: ``right`` of ``cases``; None where there are none.
        predictive_value: ``right`` of ``answered``, the positive predictive value; None where it was never the answer.
            It depends on how frequent the label is among these cases.
    """

    label: str
    cases: int
    answered: int
    right: int
    sensitivity: Estimate | None
    predictive_value: Estimate | None


def label_rates(rows: Sequence[Prediction], groups: Ints | None) -> list[LabelRates]:
    """Of every label that a case has or that was answered, those with most cases first, then in alphabetical order.

    Args:
        rows: what one system answered to one split; an answer that could not be parsed names no label.
        groups: the group of each case, as for :func:`osler.statistics.intervals.proportion_interval`.
    """
    labels, answers = (np.array(column, dtype=object) for column in ([r.label for r in rows], [r.answer for r in rows]))
    rates = []
    for label in sorted(set(labels) | set(answers) - {""}):
        has, answered = labels == label, answers == label
        rates.append(
            LabelRates(
                label,
                int(has.sum()),
                int(answered.sum()),
                int((has & answered).sum()),
                _share(answered, has, groups),
                _share(has, answered, groups),
            )
        )
    return sorted(rates, key=lambda row: -row.cases)


def _share(of: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], groups: Ints | None) -> Estimate | None:
    return Estimate(**proportion(of, groups, among)) if among.any() else None
