"""How much an answer depends on what should not matter: the same cases, perturbed. Needs no model and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from osler.errors import InputError
from osler.evaluation.measurement import Measurement, prediction_columns
from osler.recipe import TEXT_BASELINES, Recipe
from osler.runs import Prediction, Robustness, Run, read_predictions, tuned_name
from osler.statistics import Floats, Ints, Resamples, intervals, number_groups
from osler.storage import sha256_file, validated, write_model
from osler.tasks import Perturbation

# Half of the published patients have eight findings or fewer, half of the complaints three sentences or fewer: less
# than a quarter of them is one at most. What leaves the meaning as it is may change all of them.
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "typos": (0.1, 0.3),
    "dropped": (0.25, 0.5),
    "irrelevant": (0.25, 0.5),
    "negated": (0.25, 1.0),
    "reordered": (1.0,),
    "paraphrased": (0.5, 1.0),
    "sex_swap": (1.0,),
    "age_swap": (1.0,),
}


def planned_perturbations(names: Sequence[str]) -> list[Perturbation]:
    """What is done to the cases of a source that has the perturbations ``names``."""
    return [Perturbation(name, strength) for name in names for strength in STRENGTHS[name]]


def systems(recipe: Recipe) -> list[str]:
    """Who answers perturbed cases: the tuned model, and the recipe's baselines that see nothing but the text."""
    return [tuned_name(recipe), *(name for name in recipe.evaluation.baselines if name in TEXT_BASELINES)]


def score(run: Run, recipe: Recipe, names: Sequence[str], split: str, limit: int | None = None) -> Robustness:
    """Compare the answers that are in the run directory, and write :meth:`Run.robustness`, all or nothing.

    Args:
        run, recipe: whose answers.
        names: the perturbations there are of the task's cases.
        split, limit: of which cases. With ``limit`` the file's name says so.

    Returns:
        What was written: ``schema``, ``task``, ``split``, ``records`` (system → what :func:`robustness` returns) and
        ``predictions_sha256`` (system → ``original``, or the folder of the perturbation → hash of the file).

    Raises:
        InputError: predictions are refused by :func:`~osler.runs.predictions.read_predictions`, or do not belong
            together.
    """
    records, hashes = {}, {}
    perturbations = planned_perturbations(names)
    for system in systems(recipe):
        original = run.prediction_path(recipe.task.name, split, system, limit)
        copies = {p: run.prediction_path(recipe.task.name, split, system, limit, p.folder) for p in perturbations}
        # A perturbation that changes no case has no file.
        perturbed = {p: read_predictions(path) if path.is_file() else [] for p, path in copies.items()}
        records[system] = robustness(read_predictions(original), perturbed, recipe.evaluation.resamples)
        files = {"original": original, **{path.parent.name: path for path in copies.values() if path.is_file()}}
        hashes[system] = {name: sha256_file(path) for name, path in files.items()}
    content = {
        "schema": 1,
        "task": recipe.task.name,
        "split": split,
        "records": records,
        "predictions_sha256": hashes,
    }
    output = run.robustness_path(recipe, split, limit)
    measured = validated(Robustness, content, str(output))
    write_model(output, measured)
    return measured


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
        fault except under ``negated``, where the findings are no longer those of the case. Where cases share a
        ``group``, groups are the independent units, as in ``results.json``.

    Raises:
        InputError: a case comes twice, was not among the originals, or belongs to another system, task, split, label
            or prompt.
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
            raise InputError(f"case {prediction.case_id!r} comes twice; one prediction a case is needed")
    return cases


def _compare(
    original: Mapping[str, Prediction], perturbed: Mapping[str, Prediction], resamples: int, seed: int
) -> dict[str, Any]:
    pairs = []
    for case_id in sorted(perturbed):  # the resamples may not depend on the order of the lines
        after = perturbed[case_id]
        before = original.get(case_id)
        if before is None:
            raise InputError(f"case {case_id!r} is perturbed, but not among the {len(original):,} originals")
        for name in ("system", "task", "split", "label", "prompt_sha256"):
            if getattr(before, name) != getattr(after, name):
                raise InputError(
                    f"case {case_id!r}: {name} {getattr(after, name)!r} perturbed, {getattr(before, name)!r} before;"
                    " move both files away and predict again"
                )
        pairs.append((before, after))
    n = len(pairs)
    counted: dict[str, Any] = {"n": n, "unchanged": len(original) - n}
    if n == 0:
        return counted | dict.fromkeys(("original_accuracy", "accuracy", "change", "top_1_flip_rate"))
    groups = number_groups({before.case_id: before.group for before, _ in pairs})
    drawn = Resamples.draw(n, resamples, seed, groups)
    originals, copies = (Measurement(prediction_columns(rows), drawn) for rows in zip(*pairs, strict=True))
    return counted | {
        "original_accuracy": originals.proportion(originals.correct),
        "accuracy": copies.proportion(copies.correct),
        "change": paired_change(copies.correct, originals.correct, drawn, groups),
        "top_1_flip_rate": copies.proportion(np.array([before.answer != after.answer for before, after in pairs])),
    }


def paired_change(after: Floats, before: Floats, drawn: Resamples, groups: Ints | None) -> dict[str, Any]:
    """The mean of ``after`` minus that of ``before``, (cases,) each, as a :class:`~osler.runs.results.Change`."""
    units = None if groups is None else drawn.units
    change, low, high = intervals.paired_bootstrap_difference(after, before, drawn.counts, units)
    bounds = {"low": None, "high": None} if drawn.too_few else {"low": low, "high": high}
    return {"difference": change, **bounds, "method": drawn.method("paired_bootstrap_percentile")}
