"""``explanation.json``: how faithful the explanations of a run's answers are, measured on a held-out split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from osler.runs.results import Count, Estimate
from osler.storage import Contract, FileContract

Kind = Literal["deletion", "insertion"]
Probability = Annotated[float, Field(ge=0, le=1)]


class OrderCurves(Contract):
    """What the probability of the first answer does while units are left out, or put back, in the order of a method.

    Attributes:
        deletion: area under the curve, units left out, those first that speak most for the answer: lower is better.
        insertion: the same, units put into a text without any: higher is better.
        deletion_curve, insertion_curve: the mean probability at 0, 10, … 100% of the units.
    """

    deletion: Estimate
    insertion: Estimate
    deletion_curve: tuple[Probability, ...]
    insertion_curve: tuple[Probability, ...]


class CurveComparison(Contract):
    """The area of ``a`` minus that of ``b`` on the same cases. ``better`` and ``worse``: in how many cases ``a`` is;
    p values: exact sign test over cases or groups of them, two-sided, adjusted by Holm."""

    a: str
    b: str
    curve: Kind
    difference: float
    low: float | None
    high: float | None
    interval_method: str
    better: Count
    worse: Count
    p_value: Probability
    p_adjusted: Probability
    method: str


class RankAgreement(Contract):
    """How alike two lists of weights of the same units are, over the ``n`` cases with three units or more: Spearman's
    correlation, and in how many the unit that speaks most for the answer is the same. Null where ``n`` is 0."""

    n: Count
    spearman: Estimate | None
    same_first_unit: Estimate | None


class Paraphrased(Contract):
    """The weights of the same units in the text and in a paraphrase of it, by ablation. ``same_answer``: of the
    ``cases`` that could be told otherwise, the share whose first answer is the same then."""

    kind: str
    cases: Count
    same_answer: Estimate | None
    agreement: RankAgreement


class Faithfulness(FileContract):
    """``explanation.json``.

    Attributes:
        n: how many cases of ``split`` were measured; ``left_out``: reason → how many were not.
        first: only so many cases were asked for (``--limit``); null for all.
        most_units: neighbours are joined where a text has more; ``mean_units`` is how many there were.
        random_orders: of each case, whose mean is what ``random`` is compared as.
        steps: of integrated gradients; null where these were not measured.
        methods: ``ablation``, ``integrated_gradients``, ``random``.
        agreement: of ablation and integrated gradients; null where these were not measured.
    """

    task: str
    split: str
    system: str
    weights_sha256: str
    n: Count
    left_out: dict[str, Count]
    first: Annotated[int, Field(ge=1)] | None
    most_units: Annotated[int, Field(ge=2)]
    mean_units: float
    random_orders: Annotated[int, Field(ge=1)]
    steps: Annotated[int, Field(ge=1)] | None
    seed: Count
    resamples: Annotated[int, Field(ge=1)]
    methods: dict[str, OrderCurves]
    comparisons: tuple[CurveComparison, ...]
    agreement: RankAgreement | None
    paraphrased: Paraphrased
