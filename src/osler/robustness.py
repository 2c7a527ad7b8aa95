"""How much an answer depends on what should not matter: the same cases, perturbed. Needs no model and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from osler import statistics
from osler.perturbation import Perturbation
from osler.prediction_file import Prediction
from osler.resampling import resample_counts


def robustness(
    original: Sequence[Prediction],
    perturbed: Mapping[Perturbation, Sequence[Prediction]],
    resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare one system's answers to the cases of a split with its answers to the same cases perturbed.

    Args:
        original: one prediction a case.
        perturbed: for each perturbation the predictions of the cases it changed; it may have changed none.
        resamples, seed: of the bootstrap.

    Returns:
        One record a perturbation, sorted by name, strength and seed. ``n`` cases were changed, ``unchanged`` were not
        and count nowhere. Over the ``n``, with 95% intervals: ``original_accuracy`` and ``accuracy`` (Wilson);
        ``change``, the second minus the first (paired bootstrap, percentile); ``top_1_flip_rate``, the share of cases
        whose first label is another one (Wilson), right or wrong. All four are null where ``n`` is 0. A flip is a
        fault except under ``negated``, where the findings are no longer those of the case.

    Raises:
        ValueError: a case comes twice, was not among the originals, or belongs to another system, task, split or label.
    """
    answers = _by_case(original)
    return [
        {
            "perturbation": perturbation.name,
            "strength": perturbation.strength,
            "seed": perturbation.seed,
            **_compare(answers, _by_case(predictions), resamples, seed),
        }
        for perturbation, predictions in sorted(perturbed.items(), key=lambda item: _order(item[0]))
    ]


def _order(perturbation: Perturbation) -> tuple[str, float, int]:
    return perturbation.name, perturbation.strength, perturbation.seed


def _by_case(predictions: Sequence[Prediction]) -> dict[str, Prediction]:
    cases: dict[str, Prediction] = {}
    for prediction in predictions:
        if cases.setdefault(prediction.case_id, prediction) is not prediction:
            raise ValueError(f"case {prediction.case_id!r} comes twice; one prediction a case is needed")
    return cases


def _compare(
    original: Mapping[str, Prediction], perturbed: Mapping[str, Prediction], resamples: int, seed: int
) -> dict[str, Any]:
    pairs = []
    for case_id in sorted(perturbed):  # the resamples may not depend on the order of the lines
        after = perturbed[case_id]
        before = original.get(case_id)
        if before is None:
            raise ValueError(f"case {case_id!r} is perturbed, but not among the {len(original):,} originals")
        for name in ("system", "task", "split", "label"):
            if getattr(before, name) != getattr(after, name):
                raise ValueError(
                    f"case {case_id!r}: {name} {getattr(after, name)!r} perturbed, {getattr(before, name)!r} before"
                )
        pairs.append((before, after))
    n = len(pairs)
    counted: dict[str, Any] = {"n": n, "unchanged": len(original) - n}
    if n == 0:
        return counted | dict.fromkeys(("original_accuracy", "accuracy", "change", "top_1_flip_rate"))
    right_before = [before.correct for before, _ in pairs]
    right_after = [after.correct for _, after in pairs]
    counts = resample_counts(n, resamples, seed)
    change, low, high = statistics.paired_bootstrap_difference(right_after, right_before, counts)
    return counted | {
        "original_accuracy": _share(right_before),
        "accuracy": _share(right_after),
        "change": {"difference": change, "low": low, "high": high, "method": "paired_bootstrap_percentile"},
        "top_1_flip_rate": _share([before.answer != after.answer for before, after in pairs]),
    }


def _share(cases: Sequence[bool]) -> dict[str, Any]:
    low, high = statistics.wilson_interval(sum(cases), len(cases))
    return {"value": sum(cases) / len(cases), "low": low, "high": high, "method": "wilson"}
