"""The swap tests of an evaluation, on the texts that a service kept: does sex or age alone change the answer?

Monitoring, which is below, holds what comes out (:class:`~osler.monitoring.Swapped`); here a model is asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from osler.errors import InputError
from osler.evaluation.prediction import LanguageModel, language_model, run_models
from osler.evaluation.results import MIN_SUBGROUP
from osler.evaluation.robustness import paired_change, planned_perturbations, robustness
from osler.feedback import StoredPrediction, Verdict, by_prediction, right_label, settle
from osler.monitoring import ACCURACY, FLIPS, MIN_TESTED, Swapped
from osler.recipe import Recipe, find_tasks
from osler.runs import Estimate, PerturbedRecord, Prediction, Robustness, Run, read_predictions, tuned_name
from osler.statistics import Resamples, number_groups, significance
from osler.storage import read_model, validated
from osler.tasks import SWAPS, Case, Perturbation, Task, changed, load_task

UNSETTLED = "not settled"  # the label of a case that nobody has settled; no task's
SPLIT = "in use"


def swaps(run: Run, answered: Sequence[StoredPrediction], verdicts: Sequence[Verdict] = ()) -> list[Swapped]:
    """Ask the model of ``run`` the kept texts of ``answered`` as they are, and with sex and age exchanged.

    Raises:
        InputError: the cases of the task are more than a text, no text is kept, or nearly none could be changed.
    """
    recipe = run.recipe()
    task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    cases = _cases(task, answered, verdicts)
    copies = {swap: _changed(swap, cases) for swap in planned_perturbations(SWAPS)}
    most = max(map(len, copies.values()))
    if most < MIN_SUBGROUP:
        raise InputError(
            f"--swaps: of {len(cases):,} kept texts {most:,} say a sex or an age that can be exchanged; at least"
            f" {MIN_SUBGROUP} are needed"
        )
    model = language_model(tuned_name(recipe), recipe, task, run_models(run, recipe))
    with tempfile.TemporaryDirectory() as folder:  # answers to patients' texts are not left behind
        original = _asked(model, cases, Path(folder, "as they are"))
        perturbed = {swap: _asked(model, of, Path(folder, swap.name)) for swap, of in copies.items() if of}
    found = compare(original, {swap: perturbed.get(swap, []) for swap in copies}, recipe.evaluation.resamples)
    return against(found, evaluated(run, recipe))


def _cases(task: Task, answered: Sequence[StoredPrediction], verdicts: Sequence[Verdict]) -> list[Case]:
    """Those whose text is kept, with the label that is settled. The same text asked twice is not independent."""
    if task.has_images or task.labels is None or task.scorer is not None:
        raise InputError(f"--swaps: the cases of {task.name} are more than a text with one of its labels")
    opinions = by_prediction(verdicts)
    cases = [
        Case(one.id, one.text, _label(one, opinions.get(one.id, ())), one.subgroups, one.text_hmac, source="store")
        for one in answered
        if one.text
    ]
    if not cases:
        raise InputError(
            f"--swaps: the store keeps no text of these {len(answered):,} answers; serve with --store URL --keep-text,"
            " which keeps them de-identified"
        )
    return cases


def _label(one: StoredPrediction, verdicts: Sequence[Verdict]) -> str:
    """The right label as the verdict that holds says it."""
    verdict = settle(verdicts) if verdicts else None
    return (verdict and right_label(one, verdict)) or UNSETTLED


def _changed(swap: Perturbation, cases: Sequence[Case]) -> list[Case]:
    return changed(cases, [swap.text(case.case_id, case.text, case.label) for case in cases]).rows


def _asked(model: LanguageModel, cases: Sequence[Case], folder: Path) -> list[Prediction]:
    folder.mkdir()  # its name stands before the progress bar
    path = folder / "answers.jsonl"
    model.answer(cases, SPLIT, path)
    return read_predictions(path)


def compare(
    original: Sequence[Prediction], perturbed: Mapping[Perturbation, Sequence[Prediction]], resamples: int = 2000
) -> list[Swapped]:
    """What each swap does to the answers: to all of them, and to those whose right label is known."""
    of_all = robustness(original, perturbed, resamples)
    settled = [row for row in original if row.label != UNSETTLED]
    among = {row.case_id for row in settled}
    judged = {swap: [row for row in rows if row.case_id in among] for swap, rows in perturbed.items()}
    of_judged = {record["perturbation"]: record for record in robustness(settled, judged, resamples)}
    rows_of = {swap.name: rows for swap, rows in perturbed.items()}
    return [
        _swapped(record, of_judged[record["perturbation"]], original, rows_of[record["perturbation"]], resamples)
        for record in of_all
    ]


def _swapped(
    record: Mapping[str, Any],
    judged: Mapping[str, Any],
    original: Sequence[Prediction],
    perturbed: Sequence[Prediction],
    resamples: int,
) -> Swapped:
    enough, known = record["n"] >= MIN_SUBGROUP, judged["n"] >= MIN_SUBGROUP
    change = judged["change"] if known else None
    content = {
        "swap": record["perturbation"],
        "n": record["n"],
        "unchanged": record["unchanged"],
        "flip_rate": record["top_1_flip_rate"] if enough else None,
        "probability": _probability(original, perturbed, resamples) if enough else None,
        "judged": judged["n"],
        "original_accuracy": judged["original_accuracy"] if known else None,
        "accuracy": judged["accuracy"] if known else None,
        "change": change and _as_estimate(change),
        "evaluated": None,
        "differs": {},
    }
    return validated(Swapped, content, "swaps")


def _probability(
    original: Sequence[Prediction], perturbed: Sequence[Prediction], resamples: int
) -> dict[str, Any] | None:
    """By how much the probability of the first answer changes, on average; None where not all have one."""
    before = {row.case_id: row for row in original}
    pairs = [(before[row.case_id], row) for row in sorted(perturbed, key=lambda row: row.case_id)]
    if any(row.probabilities is None or not row.ranked for pair in pairs for row in pair):
        return None
    first = np.array([one.probabilities[0] for one, _ in pairs if one.probabilities])
    now = np.array(
        [dict(zip(row.ranked, row.probabilities or (), strict=True)).get(one.ranked[0], 0.0) for one, row in pairs]
    )
    groups = number_groups({one.case_id: one.group for one, _ in pairs})
    return _as_estimate(paired_change(now, first, Resamples.draw(len(pairs), resamples, 0, groups), groups))


def _as_estimate(change: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": change["difference"], **{name: change[name] for name in ("low", "high", "method")}}


def evaluated(run: Run, recipe: Recipe) -> dict[str, PerturbedRecord]:
    """Swap → what it did to the cases of the first evaluated split that was perturbed; empty where none was."""
    for split in recipe.evaluation.splits:
        if (path := run.robustness_path(recipe, split)).is_file():
            records = read_model(path, Robustness).records.get(tuned_name(recipe), ())
            return {record.perturbation: record for record in records}
    return {}


def against(found: Sequence[Swapped], before: Mapping[str, PerturbedRecord]) -> list[Swapped]:
    """``found`` beside what the evaluation says of the same swaps, and whether that is more than chance.

    A normal test of the difference, by the widths of both 95% intervals, which know of groups and of shares near 0.
    """
    tests: list[tuple[int, str, float]] = []
    for number, swap in enumerate(found):
        earlier = before.get(swap.swap)
        if earlier is None or earlier.n < MIN_TESTED:
            continue
        if swap.n >= MIN_TESTED and swap.flip_rate and earlier.top_1_flip_rate:
            tests += [(number, FLIPS, p) for p in _p_value(swap.flip_rate, earlier.top_1_flip_rate)]
        if swap.judged >= MIN_TESTED and swap.change and earlier.change:
            was = earlier.change
            then = Estimate(value=was.difference, low=was.low, high=was.high, method=was.method)
            tests += [(number, ACCURACY, p) for p in _p_value(swap.change, then)]
    differs: list[dict[str, float]] = [{} for _ in found]
    for (number, measure, _), p in zip(tests, significance.holm([p for *_, p in tests]), strict=True):
        differs[number][measure] = p
    return [
        swap.model_copy(update={"evaluated": before.get(swap.swap), "differs": now})
        for swap, now in zip(found, differs, strict=True)
    ]


def _p_value(now: Estimate, before: Estimate) -> list[float]:
    """Of both being the same; nothing where one has no interval, or none of any width."""
    if now.low is None or now.high is None or before.low is None or before.high is None:
        return []
    error = float(np.hypot(now.high - now.low, before.high - before.low)) / (2 * float(norm.ppf(0.975)))
    return [float(2 * norm.sf(abs(now.value - before.value) / error))] if error else []
