"""``<recipe>.learning-curve.json``: accuracy against training patients and against tokens and minutes of training.

A point is a whole training of the recipe with less data, its learning rate decayed to the end: what one gets for that
budget. Checkpoints within one training are none, because their rate was meant to go on. All systems of a point learnt
from the same rows; tokens and minutes are those of the language model, classifiers are fitted in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import model_validator

from osler.errors import InputError, show
from osler.evaluation import VALIDATION
from osler.recipe import FUSED, TEXT_BASELINES, DataSection, Recipe
from osler.rendering import plots
from osler.reproduction.expected import threads_text
from osler.runs import Comparison, Estimate, Manifest, Record, Run, read_predictions, tuned_name
from osler.statistics import Floats, Resamples, intervals, number_groups, resampled_mean
from osler.storage import Contract, FileContract, read_model

SPLITS = (VALIDATION, f"{VALIDATION}_unseen_wording")  # choices are made on a curve, so never a test split
CLASSIFIERS = (*TEXT_BASELINES, "encoder")  # learn from the rows the model learns from, and from nothing else
IN_SIGHT = 10  # times the largest budget: a line through a few points says nothing of what is further away
Axis = Literal["patients", "tokens"]


class CurveScore(Contract):
    """How one system did."""

    accuracy: Estimate
    balanced_accuracy: Estimate


class CurveSplit(Contract):
    """One split: all systems, and the accuracy of the tuned model minus that of the most accurate classifier there."""

    n: int
    groups: int | None
    systems: dict[str, CurveScore]
    difference: Comparison

    @model_validator(mode="after")
    def _compares_its_systems(self) -> CurveSplit:
        for name in (self.difference.a, self.difference.b):
            if name not in self.systems:
                raise ValueError(f"{show(name)} is compared, and is none of its systems")
        return self


class CurvePoint(Contract):
    """One training of the recipe with ``data.share`` and ``data.tellings`` as given. ``patients`` are real ones, of so
    many ``publications``; ``rows`` and ``tokens`` those of all passes."""

    share: float
    tellings: int
    patients: int
    publications: int
    rows: int
    tokens: int
    minutes: float
    machine: str
    splits: dict[str, CurveSplit]


class Crossing(Contract):
    """Where the difference would be zero, by a line through the points over the logarithm of the budget, with the 95%
    interval over publications. Null lies beyond ten times the largest budget, or the line does not rise; ``low``, too,
    where there are too few publications."""

    at: float | None
    low: float | None
    high: float | None
    method: str


class LearningCurve(FileContract):
    """``<recipe>.learning-curve.json``. ``share`` and ``tellings`` are the recipe's own: the curve over patients has
    the points with these tellings, that over tokens those with this share. ``crossings``: split → ``patients`` and
    ``tokens``, where a curve has two points or more."""

    recipe: str
    run_sha256: str
    release_sha256: str | None
    system: str
    share: float
    tellings: int
    points: tuple[CurvePoint, ...]
    crossings: dict[str, dict[Axis, Crossing]]

    @model_validator(mode="after")
    def _is_of_its_points(self) -> LearningCurve:
        for point in self.points:
            for split in SPLITS:
                if split not in point.splits or point.splits[split].difference.a != self.system:
                    raise ValueError(f"a point has nothing of {show(self.system)} on {split}")
        for axis in {axis for found in self.crossings.values() for axis in found}:
            if len(self.along(axis)) < 2:
                raise ValueError(f"a crossing over {axis}, and not two points to draw a line through")
        return self

    def along(self, axis: Axis) -> list[CurvePoint]:
        """The points of one curve, the smallest budget first."""
        return [self.points[n] for n in _along(self.points, self.share, self.tellings, axis)]


def curve_path(recipe_path: Path) -> Path:
    """Where the curve of a recipe stands; its plot has the suffix ``.svg``."""
    return recipe_path.with_suffix(".learning-curve.json")


def read_curve(path: Path) -> LearningCurve:
    """Raises :class:`InputError` as :func:`osler.storage.read_model`."""
    return read_model(path, LearningCurve)


def measure(recipe: Recipe, runs: Sequence[Run]) -> LearningCurve:
    """The curve of ``recipe`` from evaluated ``runs`` of it with other shares and tellings.

    Raises :class:`InputError` where a run is not finished and evaluated on :data:`SPLITS` with a classifier, or where
    the runs are of several releases or answered different cases.
    """
    manifests = [run.read_manifest() for run in runs]
    if len(releases := {manifest.release_sha256 for manifest in manifests}) > 1:
        named = ", ".join(sorted(f"{str(sha256)[:12]}" for sha256 in releases))
        raise InputError(f"{runs[0].folder.parent}: runs of several releases ({named}); move it away, and train again")
    points = tuple(_point(run, manifest) for run, manifest in zip(runs, manifests, strict=True))
    data = _data(recipe)
    return LearningCurve(
        schema=1,
        recipe=recipe.name,
        run_sha256=recipe.run_sha256,
        release_sha256=releases.pop(),
        system=tuned_name(recipe),
        share=data.share,
        tellings=data.tellings,
        points=points,
        crossings={split: _crossings(recipe, runs, points, split) for split in SPLITS},
    )


def _data(recipe: Recipe) -> DataSection:
    assert recipe.data is not None, "only a task with data: has shares and tellings"
    return recipe.data


def _along(points: Sequence[CurvePoint], share: float, tellings: int, axis: Axis) -> list[int]:
    own = [n for n, p in enumerate(points) if (p.tellings == tellings if axis == "patients" else p.share == share)]
    return sorted(own, key=lambda n: getattr(points[n], axis))


def _point(run: Run, manifest: Manifest) -> CurvePoint:
    recipe, results = run.recipe(), run.read_results()
    records = {record.split: record for record in results.records}
    if missing := [split for split in SPLITS if split not in records]:
        raise InputError(f"{run.results_path()}: has no {missing[0]}; evaluate the run on {' and '.join(SPLITS)}")
    data, provenance = _data(recipe), run.read_data_report().provenance
    passes = float(recipe.train.get("num_train_epochs", 3))  # the trainer's own default
    return CurvePoint(
        share=data.share,
        tellings=data.tellings,
        patients=_of_training(provenance["patients"]),
        publications=_of_training(provenance["publications"]),
        rows=round(manifest.rows_out * passes),
        tokens=round(manifest.tokens_a_pass * passes),
        minutes=round(manifest.train_seconds / 60, 2),
        machine=_machine(manifest),
        splits={split: _split(records[split], tuned_name(recipe), run) for split in SPLITS},
    )


def _of_training(counts: object) -> int:
    assert isinstance(counts, Mapping), "part → a number, by the source of the patients"
    return int(counts["train"])


def _machine(manifest: Manifest) -> str:
    machine = manifest.environment
    return ", ".join(machine.gpus) or (
        f"{threads_text(manifest.threads)} of {machine.cores} cores ({machine.cpu or 'CPU'})"
    )


def _split(record: Record, tuned: str, run: Run) -> CurveSplit:
    compared = [row for name, row in record.against(tuned).items() if name in CLASSIFIERS]
    if not compared:
        raise InputError(
            f"{run.results_path()}: no classifier answered {record.split}; expected one of {', '.join(CLASSIFIERS)}"
        )
    # Of systems that are equally accurate the first in the order of the recipe.
    best = max(compared, key=lambda row: record.systems[row.b].metrics["accuracy"].value)
    systems = {
        name: CurveScore(accuracy=system.metrics["accuracy"], balanced_accuracy=system.metrics["balanced_accuracy"])
        for name, system in record.systems.items()
    }
    return CurveSplit(n=record.n, groups=record.groups, systems=systems, difference=best)


# ── where the curves cross ───────────────────────────────────────────────────────────────────────────────────────────


def _crossings(recipe: Recipe, runs: Sequence[Run], points: Sequence[CurvePoint], split: str) -> dict[Axis, Crossing]:
    cases: dict[str, str | None] = {}
    gains = []
    for run, point in zip(runs, points, strict=True):
        difference = point.splits[split].difference
        tuned, best = (
            {row.case_id: row for row in read_predictions(run.prediction_path(recipe.task.name, split, system))}
            for system in (difference.a, difference.b)
        )
        cases = cases or {case_id: tuned[case_id].group for case_id in sorted(tuned)}
        if tuned.keys() != cases.keys() or best.keys() != cases.keys():
            raise InputError(f"{run.folder}: answers other cases of {split} than {runs[0].folder}; train both again")
        gains.append([float(tuned[case].correct) - float(best[case].correct) for case in cases])
    resamples = Resamples.draw(len(cases), recipe.evaluation.resamples, 0, number_groups(cases))
    found: dict[Axis, Crossing] = {}
    axes: tuple[Axis, ...] = ("patients", "tokens")
    for axis in axes:
        own = _along(points, _data(recipe).share, _data(recipe).tellings, axis)
        budgets = [float(getattr(points[n], axis)) for n in own]
        if len(set(budgets)) > 1:
            found[axis] = crossing(budgets, np.array([gains[n] for n in own]), resamples)
    return found


def crossing(budgets: Sequence[float], gains: Floats, resamples: Resamples) -> Crossing:
    """Where the mean of ``gains``, shape (budgets, cases), would be zero on a least-squares line over log(budget).

    The interval is of the percentiles of the lines through the same resamples of cases at every budget; it knows
    nothing of chance in training, nor of whether the curve is a line.
    """
    x, beyond = np.log(budgets), math.log(IN_SIGHT * max(budgets))

    def zero(means: Floats) -> Floats:
        """The log(budget) where lines through ``means``, shape (budgets, …), are zero, ``beyond`` at most."""
        slope = (x - x.mean()) @ (means - means.mean(axis=0)) / ((x - x.mean()) ** 2).sum()
        # One that is flat never gets there, and one that falls comes from above: neither is a budget to wait for.
        rising = np.where(slope > 0, slope, np.nan)
        return np.asarray(np.where(slope > 0, np.minimum(x.mean() - means.mean(axis=0) / rising, beyond), beyond))

    def seen(log_budget: float) -> float | None:
        return round(math.exp(log_budget), 1) if log_budget < beyond else None

    at, method = seen(float(zero(gains.mean(axis=1)))), resamples.method("bootstrap_percentile")
    if resamples.too_few:
        return Crossing(at=at, low=None, high=None, method=method)
    replicates = zero(np.stack([resampled_mean(of_one, resamples.counts) for of_one in gains]))
    low, high = intervals.percentile_interval(replicates, resamples.units)
    return Crossing(at=at, low=seen(low), high=seen(high), method=method)


# ── the plot ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def plot(curve: LearningCurve) -> str:
    """The tuned model, the classifiers and their mixture over patients, tokens and minutes, as an SVG file."""
    plain, unseen = SPLITS
    rows: tuple[tuple[str, str, str], ...] = (
        ("accuracy", plain, "accuracy"),
        ("balanced accuracy", plain, "balanced_accuracy"),
        ("accuracy, unseen wording", unseen, "accuracy"),
    )
    columns: tuple[tuple[str, Axis, Callable[[CurvePoint], float]], ...] = (
        ("training patients", "patients", lambda point: point.patients),
        ("thousand training tokens", "tokens", lambda point: point.tokens / 1000),
        ("minutes of the model's training", "tokens", lambda point: point.minutes),
    )
    systems = [curve.system, *CLASSIFIERS, FUSED]
    panels = [
        [
            plots.Panel(
                xlabel,
                ylabel,
                {
                    system: [
                        (budget(point), getattr(point.splits[split].systems[system], metric))
                        for point in curve.along(axis)
                        if system in point.splits[split].systems
                    ]
                    for system in systems
                },
            )
            for xlabel, axis, budget in columns
        ]
        for ylabel, split, metric in rows
    ]
    return plots.lines("learning-curve", f"Learning curves of {curve.recipe}", panels)
