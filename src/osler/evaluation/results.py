"""From prediction files to ``results.json``. Needs no model and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osler.errors import InputError
from osler.evaluation import parity
from osler.evaluation.answers import Splits, check_same_cases, group_numbers, read_splits
from osler.evaluation.fusion import VALIDATION, parts_of
from osler.evaluation.measurement import Measurement, label_columns, load_metrics, prediction_columns
from osler.recipe import BASELINES, FUSED
from osler.runs import Contamination, Fusion, Results
from osler.statistics import Resamples, calibration, intervals, resampled_mean, significance
from osler.storage import plain, sha256_file, validated, write_model

MIN_SUBGROUP = 10  # cases; the accuracy of a smaller subgroup is not given


def score(
    files: Sequence[Path],
    output: Path,
    resamples: int = 2000,
    seed: int = 0,
    *,
    compared: str | None = None,
    task_version: int | None = None,
    prompt_sha256: str | None = None,
    contamination: Contamination | None = None,
    weights_sha256: Mapping[str, str] | None = None,
    dtype: str = "float32",
    fused: Fusion | None = None,
    limit: int | None = None,
) -> Results:
    """Score prediction files and write ``results.json``, all or nothing; the same files and seed give the same bytes.

    Args:
        files: prediction files; each of one task, with any systems and splits.
        output: where to write.
        resamples, seed: of the bootstrap.
        compared: the system every other one is compared with; where None, :func:`compared_system` of each split. A
            system that it is a part of is compared with its parts instead.
        task_version: copied into the records; no prediction file holds it.
        prompt_sha256: of the prompt ``compared`` must have been asked with; copied into the records too.
        contamination: how the cases of each split overlap with what ``compared`` learnt from
            (:func:`osler.data.contamination.measure`), and ``allowed``, the reasons a recipe gives; what is of a
            record's split goes into it, with the settings it was measured with; null where it was not measured.
        weights_sha256: system to fingerprint of its model; copied, where the system has answered.
        dtype: what the models computed in, of which the bound of ``parity`` is; the strictest unless given.
        fused: what the system ``fused`` among them is made of (:func:`osler.evaluation.fusion.fuse`); copied.
        limit: only so many cases of each split were answered; copied.

    Returns:
        What was written: ``schema``, ``resamples``, ``seed``, ``weights_sha256`` (null where no weights are known),
        ``fused`` (null where nothing was) and ``records``, one a task and split. A metric is
        ``{value, low, high, method}``; a system lacks those it has no columns for (:func:`prediction_columns`). The
        answers a system gave to the split ``validation``, where there are any, are what its ``calibration`` of the
        other splits is fitted on. ``groups`` is the number of
        independent groups where some cases belong together, else null. A merged model is in no comparison; beside the
        model with its adapter it has ``parity`` (:func:`compare_merged`), which is null without one.

    Raises:
        InputError: a file is refused by :func:`~osler.runs.predictions.read_predictions`, a system is in two files,
            systems do not cover the same cases of a split or disagree about a label or a group, ``compared`` is not
            there or was asked with another prompt.
    """
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; it must be 1 or more")
    splits = read_splits(files)
    check_splits(splits, compared, prompt_sha256)
    metrics = load_metrics()
    fits = fit_calibrations(splits)
    records = []
    for (task, split), systems in splits.items():
        first = compared_system(systems, compared)
        n, groups = len(systems[first].rows), group_numbers(systems)
        drawn = Resamples.draw(n, resamples, seed, groups)
        measured = {system: Measurement(prediction_columns(answers.rows), drawn) for system, answers in systems.items()}
        # Beside the model with its adapter, the merged one would cost every comparison power and say nothing new.
        merged = parity.merged_models(systems).keys() - {first}
        parts = parts_of(fused, systems)
        apart = [name for name in systems if name not in merged and not (parts and name == FUSED)]
        records.append(
            {
                "task": task,
                "task_version": task_version,
                "split": split,
                "n": n,
                "groups": None if groups is None else int(groups.max()) + 1,
                "prompt_sha256": prompt_sha256 or systems[first].rows[0].prompt_sha256,
                "predictions_sha256": {system: sha256_file(answers.file) for system, answers in systems.items()},
                "systems": {
                    system: system_record(
                        measurement,
                        metrics,
                        [row.subgroups for row in systems[system].rows],
                        fits.get((task, system)) if split != VALIDATION else None,
                    )
                    for system, measurement in measured.items()
                },
                "comparisons": [
                    *comparisons(measured, first, [name for name in apart if name != first]),
                    *comparisons(measured, FUSED, parts),
                ],
                "parity": parity.compare_merged(systems, parity.BOUNDS[dtype]),
                "contamination": _overlap(contamination, split),
            }
        )
    answered = set().union(*splits.values())
    weights = weights_sha256 and {name: sha256 for name, sha256 in weights_sha256.items() if name in answered}
    content = {
        "schema": 1,
        **({} if limit is None else {"first": limit}),
        "resamples": resamples,
        "seed": seed,
        "weights_sha256": weights,
        "fused": None if fused is None else plain(fused),
        "records": records,
    }
    results = validated(Results, content, str(output))
    write_model(output, results)
    return results


def _overlap(report: Contamination | None, split: str) -> dict[str, Any] | None:
    if report is None or split not in report.splits:
        return None
    return {**plain(report.splits[split]), "allowed": report.allowed.get(split), "settings": plain(report.settings)}


def check_splits(splits: Splits, compared: str | None, prompt_sha256: str | None) -> None:
    """Raise :class:`~osler.errors.InputError` for what :func:`score` says it refuses once the files are read."""
    for (task, split), systems in splits.items():
        check_same_cases(systems)
        first = compared_system(systems, compared)
        if first not in systems:
            raise InputError(f"{task}, {split}: no predictions of system {first!r}; there are {', '.join(systems)}")
        asked = systems[first].rows[0].prompt_sha256
        if asked and prompt_sha256 and asked != prompt_sha256:
            raise InputError(
                f"{systems[first].file}: {first!r} was asked with the prompt {asked[:12]}…, but the task's is "
                f"{prompt_sha256[:12]}… now; move the file away and predict again"
            )


def compared_system(systems: Mapping[str, Any], compared: str | None) -> str:
    """``compared``, or else the first of ``systems`` that is no merged model and, if there is one, neither a baseline
    nor a mixture with such."""
    merged = parity.merged_models(systems)
    candidates = [system for system in systems if system not in merged]
    return compared or next((system for system in candidates if system not in (*BASELINES, FUSED)), candidates[0])


def fit_calibrations(splits: Splits) -> dict[tuple[str, str], calibration.Fit]:
    """(task, system) to what its answers to the validation split say; only systems with probabilities are there."""
    fits = {}
    for (task, split), systems in splits.items():
        for system, answers in systems.items() if split == VALIDATION else ():
            columns = prediction_columns(answers.rows)
            if "probabilities" in columns:
                correct = np.array([row.correct for row in answers.rows])
                fits[task, system] = calibration.fit(
                    columns["probabilities"], label_columns(columns), correct, columns["named"]
                )
    return fits


def fit_of(file: Path) -> calibration.Fit | None:
    """What a system's answers to the validation split, in ``file``, say; None where they have no probabilities."""
    return next(iter(fit_calibrations(read_splits([file])).values()), None)


def system_record(
    measurement: Measurement,
    metrics: Sequence[Any],
    subgroups: Sequence[Mapping[str, str]],
    fit: calibration.Fit | None,
) -> dict[str, Any]:
    """Everything about one system on one split: ``metrics``, ``calibration`` and ``subgroups``."""
    values: dict[str, Any] = {}
    before: dict[str, Any] = {}
    judges = []
    for metric in metrics:
        measured = measurement.measure(metric)
        values |= measured
        if getattr(metric, "calibration", False):
            judges.append(metric)
            before |= measured
    return {
        "metrics": values,
        "calibration": calibration_record(measurement, judges, before, fit),
        "subgroups": subgroup_records(measurement, subgroups),
    }


def calibration_record(
    measurement: Measurement, judges: Sequence[Any], values: Mapping[str, Any], fit: calibration.Fit | None
) -> dict[str, Any]:
    """How far the probabilities can be believed, ``before`` and ``after`` a temperature, and when to abstain.

    ``judges`` are the metrics that judge probabilities, ``values`` what they give before. Empty for a system without
    probabilities; only ``before`` where there was nothing to fit on. In ``abstention``, ``validation`` is what the
    threshold was chosen by, ``coverage`` and ``accuracy`` what it comes to on this split; all are null where no
    threshold reaches the target, and ``accuracy`` where nothing is answered.
    """
    if "probabilities" not in measurement.columns:
        return {}
    before = {**values, "reliability": reliability_table(measurement)}
    if fit is None:
        return {"before": before}
    tempered = calibration.temper(
        measurement.columns["probabilities"], fit.temperature, measurement.columns["named"], fit.named
    )
    columns = {**measurement.columns, "probabilities": tempered, "confidences": tempered.max(axis=1)}
    after = Measurement(columns, measurement.resamples)
    abstention: dict[str, Any] = {"target_accuracy": calibration.TARGET_ACCURACY, "threshold": fit.threshold}
    abstention |= {"validation": None, "coverage": None, "accuracy": None}
    if fit.threshold is not None:
        answered = columns["confidences"] >= fit.threshold
        abstention["validation"] = {"coverage": fit.coverage, "accuracy": fit.accuracy}
        abstention["coverage"] = after.proportion(answered)
        abstention["accuracy"] = after.proportion(after.correct, answered) if answered.any() else None
    tempered_values = {name: value for metric in judges for name, value in after.measure(metric).items()}
    return {
        "before": before,
        "fitted_on": {"split": VALIDATION, "n": fit.n},
        "temperature": fit.temperature,
        "named": fit.named,
        "after": {**tempered_values, "reliability": reliability_table(after)},
        "abstention": abstention,
    }


def reliability_table(measurement: Measurement) -> list[dict[str, Any]]:
    """One row a bin of equal mass, least confident first: ``n``, mean ``confidence``, ``accuracy`` with interval."""
    confidences = measurement.columns["confidences"]
    return [
        {
            "n": int(among.sum()),
            "confidence": float(confidences[among].mean()),
            "accuracy": measurement.proportion(measurement.correct, among),
        }
        for among in calibration.reliability_bins(confidences)
    ]


def subgroup_records(measurement: Measurement, subgroups: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Attribute to accuracy by subgroup, ``worst`` and ``best`` subgroup, and the ``gap`` between the two.

    ``{"sex": {"values": {"female": {"n": 40, "accuracy": {...}}}, "worst": "male", "best": "female", "gap": {...}}}``.
    ``accuracy`` is null below ``MIN_SUBGROUP`` cases; the other three where fewer than two subgroups have one. The gap
    is between the extremes of what was seen: among many subgroups of the same true accuracy it is not 0.
    """
    records = {}
    correct, counts = measurement.correct, measurement.resamples.counts
    for name in sorted(set().union(*subgroups)):
        membership = np.array([attributes.get(name) for attributes in subgroups], dtype=object)
        members = {value: membership == value for value in sorted(set(membership) - {None})}
        values = {
            value: {
                "n": int(among.sum()),
                "accuracy": measurement.proportion(correct, among) if among.sum() >= MIN_SUBGROUP else None,
            }
            for value, among in members.items()
        }
        shown = {value: float(correct[members[value]].mean()) for value, group in values.items() if group["accuracy"]}
        record: dict[str, Any] = {"values": values, "worst": None, "best": None, "gap": None}
        if len(shown) > 1:
            worst, best = min(shown, key=shown.__getitem__), max(shown, key=shown.__getitem__)
            at_best, at_worst = (resampled_mean(correct, counts, members[value]) for value in (best, worst))
            gap = shown[best] - shown[worst]
            low, high, method = measurement.resamples.interval(gap, at_best - at_worst)
            record |= {"worst": worst, "best": best}
            record["gap"] = {"value": gap, "low": low, "high": high, "method": method}
        records[name] = record
    return records


def comparisons(measured: Mapping[str, Measurement], first: str, others: Sequence[str]) -> list[dict[str, Any]]:
    """``first`` against each of ``others`` on the same cases; ``difference`` is the accuracy of ``a`` minus ``b``'s.

    p values are exact (McNemar's; over groups of cases the sign-flip test), adjusted by Holm over these comparisons:
    those of one ``a`` on this task and split, which answer one question.
    ``minimum_detectable_difference`` is what a test set of this size, in which the systems differ
    on this share of cases (``discordance``), would show in four of five samples; null where nothing would do.
    """
    if not others:
        return []
    drawn = measured[first].resamples
    correct = {system: measured[system].correct for system in (first, *others)}
    if drawn.groups is None:
        test = "mcnemar_exact"
        p_values = [significance.mcnemar_exact(correct[first], correct[other]) for other in others]
    else:
        test = "sign_flip_exact"
        p_values = [significance.sign_flip_exact(correct[first], correct[other], drawn.groups) for other in others]
    records = []
    for other, p_value, p_adjusted in zip(others, p_values, significance.holm(p_values), strict=True):
        differences = correct[first].astype(float) - correct[other]
        n = len(differences) if drawn.groups is None else intervals.effective_size(differences, drawn.groups)
        discordance = float((differences != 0).mean())
        difference, low, high = intervals.paired_bootstrap_difference(
            correct[first], correct[other], drawn.counts, drawn.units
        )
        records.append(
            {
                "a": first,
                "b": other,
                "metric": "accuracy",
                "difference": difference,
                "low": None if drawn.too_few else low,
                "high": None if drawn.too_few else high,
                "interval_method": drawn.method("paired_bootstrap_percentile"),
                "p_value": p_value,
                "p_adjusted": p_adjusted,
                "method": test,
                "discordance": discordance,
                "minimum_detectable_difference": significance.minimum_detectable_difference(round(n), discordance),
            }
        )
    return records
