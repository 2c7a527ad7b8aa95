"""How near a merged model is to the model with its adapter, seen from their answers alone. Needs no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from osler.evaluation.answers import Answers
from osler.runs import MERGED, Prediction

# The most that the probability of a label may differ by, by the precision that both compute in. Measured on 20 cases of
# rare_disease (135 M parameters, NF4): 2e-6 in float32, where only sums are taken in another order; 0.033 in bfloat16,
# where a merged weight is rounded to 8 bits once more (the adapter itself answers 0.036 otherwise than in float32);
# merged into the weights before NF4, which has to be found out in any precision, 0.32. float16 rounds to 11 bits.
BOUNDS: Mapping[str, float] = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.1 / 8}


def merged_models(systems: Mapping[str, Any]) -> dict[str, str]:
    """Merged model → the model with the adapter that it was made of, of those of which both are among ``systems``."""
    return {f"{system}{MERGED}": system for system in systems if f"{system}{MERGED}" in systems}


def compare_merged(systems: Mapping[str, Answers], bound: float) -> dict[str, Any] | None:
    """:func:`compare` for the first merged model of ``systems``, with its name as ``system``; None without one."""
    for merged, tuned in merged_models(systems).items():
        return {"system": merged, **compare(systems[tuned].rows, systems[merged].rows, bound)}
    return None


def compare(ours: Sequence[Prediction], theirs: Sequence[Prediction], bound: float) -> dict[str, Any]:
    """Two systems' answers to the same cases, in the same order, held against each other.

    Returns:
        ``n`` cases; in how many of them both give the ``same_first_label`` and the ``same_ranking``;
        ``max_probability_difference`` over all cases and labels (one that is not ranked has 0), null where a case has
        no probabilities; the ``bound``; and whether it ``holds``: no difference is larger, or where there are no
        probabilities, all rankings are the same. A ranking may change within the bound: labels of nearly the same
        probability change places.
    """
    pairs = list(zip(ours, theirs, strict=True))
    same_ranking = sum(one.ranked == other.ranked for one, other in pairs)
    known = all(row.probabilities is not None for pair in pairs for row in pair)
    difference = max(_difference(one, other) for one, other in pairs) if known else None
    return {
        "n": len(pairs),
        "same_first_label": sum(one.answer == other.answer for one, other in pairs),
        "same_ranking": same_ranking,
        "max_probability_difference": difference,
        "bound": bound,
        "holds": same_ranking == len(pairs) if difference is None else difference <= bound,
    }


def _difference(one: Prediction, other: Prediction) -> float:
    """The largest difference between two answers' probabilities of a label."""
    a, b = (dict(zip(row.ranked, row.probabilities or (), strict=True)) for row in (one, other))
    return max(abs(a.get(label, 0.0) - b.get(label, 0.0)) for label in a.keys() | b.keys())
