"""What inputs and answers were like in a run's evaluation: from the run's own files and the texts of held-out cases.

Nothing new is kept: ``predictions/*.jsonl``, ``results.json`` and ``panel.json`` have all but what follows from the
texts themselves, and texts stay where the task has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from osler.data import unknown_share
from osler.errors import InputError
from osler.monitoring.bins import FEATURES
from osler.monitoring.observed import Observed
from osler.monitoring.records import Feature
from osler.recipe import Recipe, find_tasks
from osler.runs import Calibration, Prediction, Run, changed_predictions, read_predictions, tuned_name
from osler.statistics import Floats, Ints, Resamples
from osler.storage import wheels
from osler.tasks import Case, Task, encode_classified, load_task
from osler.terminology import Ontology, Recogniser, languages, present_findings, read_ontology

RESAMPLES = 2000
OF_TEXTS: tuple[Feature, ...] = ("length", "wording", "language", "findings")


@dataclass(frozen=True)
class Reference:
    """The cases of the evaluation, of ``split``; ``groups`` as :class:`osler.statistics.Resamples` takes them.

    ``not_watched``: feature → why it is not known of them, so that nothing can be compared. ``named``: label id → name.
    """

    split: str
    cases: Observed
    groups: Ints | None
    not_watched: Mapping[Feature, str]
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def watched(self) -> list[Feature]:
        """The features that are known."""
        return [feature for feature in FEATURES if feature not in self.not_watched]

    @cached_property
    def resamples(self) -> Resamples:
        """Of its publications, or cases."""
        return Resamples.draw(len(self.cases), RESAMPLES, 0, self.groups)


def read_reference(run: Run, split: str | None = None) -> Reference:
    """The cases of ``split``, or of the first that ``run`` was evaluated on and nothing was chosen by, as its model
    answered them.

    Raises :class:`InputError` where the run is not evaluated, or has other prediction files now.
    """
    recipe = run.recipe()
    if not run.results_path().is_file():
        raise InputError(
            f"{run.results_path()}: is not there, so there is nothing to compare with: run scripts/evaluate.py first"
        )
    results, system = run.read_results(), tuned_name(recipe)
    records = [one for one in results.records if one.task == recipe.task.name and system in one.systems]
    record = next((one for one in records if (one.split == split if split else one.split != "validation")), None)
    if record is None:
        raise InputError(f"{run.results_path()}: {split or 'no split but validation'} is not evaluated; evaluate one")
    if mismatch := next(changed_predictions(run, results), None):
        raise InputError(f"{run.folder}/{mismatch}: evaluate again")
    rows = read_predictions(run.prediction_path(record.task, record.split, system))
    columns, missing = _of_texts(run, recipe, rows, record.split)
    confidence, abstained = told(rows, record.systems[system].calibration)
    if np.isnan(confidence).any():
        missing["confidence"] = "the model gives no probabilities"
    if record.systems[system].calibration.abstention is None:
        missing["abstention"] = "the run has no threshold: no validation cases were evaluated"
    names = [row.group or f"case {row.case_id}" for row in rows]
    number = np.unique(names, return_inverse=True)[1]
    return Reference(
        split=record.split,
        cases=Observed(
            confidence=confidence,
            abstained=abstained,
            right=np.array([float(row.correct) for row in rows]),
            label=tuple(row.answer or None for row in rows),
            subgroups=tuple(row.subgroups for row in rows),
            **columns,
        ),
        groups=number if number.max() + 1 < len(rows) else None,
        not_watched=missing,
        named=run.read_panel().labels,
    )


def told(rows: Sequence[Prediction], fitted: Calibration) -> tuple[Floats, Floats]:
    """The calibrated probability of each first answer, NaN where there is none, and whether it was too unsure."""
    confidence = np.full(len(rows), np.nan)
    for number, row in enumerate(rows):
        if row.parsed and row.probabilities is not None:
            confidence[number] = fitted.tempered(row.probabilities)[0]
    threshold = fitted.abstention.threshold if fitted.abstention else None
    unsure = np.full(len(rows), True) if threshold is None else ~(confidence >= threshold)
    return confidence, unsure.astype(np.float64)


def _of_texts(
    run: Run, recipe: Recipe, rows: Sequence[Prediction], split: str
) -> tuple[dict[str, Any], dict[Feature, str]]:
    """What follows from the texts of ``rows``: the columns of :class:`Observed`, and which of their features are not
    known, and why."""
    columns: dict[str, Any] = {
        "tokens": np.full(len(rows), np.nan),
        "unknown_share": np.full(len(rows), np.nan),
        "language": (None,) * len(rows),
        "findings": ((),) * len(rows),
    }
    missing: dict[Feature, str] = {}
    try:
        task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
        cases = {case.case_id: case for case in task.source.split(split)}
    except InputError:
        cases = {}
    asked = [cases[row.case_id] for row in rows if row.case_id in cases]
    if len(asked) < len(rows) or any(
        row.case_sha256 not in (None, case.sha256) for row, case in zip(rows, asked, strict=True)
    ):
        return columns, dict.fromkeys(OF_TEXTS, f"the texts of {split} are not on this machine")
    try:
        columns["tokens"] = _lengths(recipe, task, asked)
    except InputError as error:
        missing["length"] = f"the tokenizer is not on this machine: {error}"
    if (texts := run.read_panel().texts) is None:
        missing["wording"] = "panel.json does not say what training texts were like"
    else:
        words = frozenset(texts.words)
        columns["unknown_share"] = np.array([unknown_share(case.text, words) for case in asked])
    columns["language"] = tuple(language_in(case.text) for case in asked)
    if (ontology := _ontology(task)) is None:
        missing["findings"] = "the task names no ontology to find them with"
    else:
        find = finder(ontology)
        columns["findings"] = tuple(find(case.text) for case in asked)
    return columns, missing


def _lengths(recipe: Recipe, task: Task, cases: Sequence[Case]) -> Floats:
    """The tokens of each prompt."""
    from osler.models import load_tokenizer  # imports torch

    tokenizer, prompt = load_tokenizer(recipe.base), task.prompt
    if recipe.head == "classifier":
        return np.array([float(len(encode_classified(prompt, tokenizer, case.text)[0])) for case in cases])
    return np.array([float(len(prompt.encode(tokenizer, case.text, case.options))) for case in cases])


def language_in(text: str) -> str | None:
    """The language of a text; None where it is too short to tell."""
    return languages.language_of(text.split())


def finder(ontology: Ontology) -> Callable[[str], tuple[str, ...]]:
    """What finds the ids of the findings that a text says its patient has, each once."""
    recogniser = Recogniser(ontology)
    return lambda text: present_findings(text, recogniser)


def _ontology(task: Task) -> Ontology | None:
    """HPO, as the task reads it."""
    if task.terminology is not None:
        return read_ontology(wheels.fetch(task.terminology.ontology))
    try:
        return task.source.knowledge(None)[0]
    except InputError:  # its cases are texts and nothing more
        return None
