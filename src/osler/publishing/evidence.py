"""What is known of a finished run, read from its files: what its model card and the card's CHAI export are made of.

Needs no network, no model and no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

from osler.errors import InputError
from osler.evaluation import LEVEL, SYSTEMS, VALIDATION, Confusions, count_confusions
from osler.monitoring import Monitoring
from osler.recipe import Recipe, TaskFile, find_tasks, read_task
from osler.rendering import cell, difference, p_value
from osler.reproduction import RecordedRun, read_expected
from osler.runs import (
    DataReport,
    Exports,
    Faithfulness,
    Manifest,
    Record,
    Results,
    Robustness,
    Run,
    System,
    merged_name,
    read_predictions,
    tuned_name,
)
from osler.storage import read_model, sha256_file
from osler.succession import Decision, deciding
from osler.tasks import load_prompt

SIMULATED = "simulated"


@dataclass(frozen=True)
class Evidence:
    """The files of a run.

    Attributes:
        recipe: as resolved for the run.
        task, user_turn: the content of the task's ``task.yaml``, and its user turn with marks where a case goes.
        manifest, data_report, results: the files of these names.
        robustness: split → ``robustness.json``, of those that were measured.
        faithfulness: ``explanation.json``; None where it was not measured.
        in_use: ``monitoring.json``, a report on the model in use; None where none was kept with the run.
        exports: ``exports.json``; None where nothing was exported.
        decision: ``decision.json`` of a successor; None where it is none.
        confused: what the tuned model takes for what on the headline split; None where its predictions are not there.
        runs: those of this recipe that its expected file records, where the version has one; this is one more, or one
            of them.
    """

    recipe: Recipe
    task: TaskFile
    user_turn: str
    manifest: Manifest
    data_report: DataReport
    results: Results
    robustness: Mapping[str, Robustness]
    faithfulness: Faithfulness | None
    in_use: Monitoring | None
    exports: Exports | None
    decision: Decision | None
    confused: Confusions | None
    runs: Sequence[RecordedRun] = ()

    @property
    def spread(self) -> str | None:
        """How the accuracy on the headline split varies from run to run; None where there are no others."""
        values = [run.values[self.headline.split]["accuracy"] for run in self.runs]
        if len(values) < 2:
            return None
        seeds = len({run.seed for run in self.runs})
        return (
            f"Over {len(values)} recorded runs of this recipe ({seeds} seed{'s' if seeds > 1 else ''}) its accuracy on"
            f" {self.headline.split} is {mean(values):.3f} on average, from {min(values):.3f} to {max(values):.3f}."
        )

    @property
    def tuned(self) -> str:
        """The name of the adapter's answers in the results."""
        return tuned_name(self.recipe)

    @property
    def merged(self) -> str | None:
        """The name of the merged model's, where it was evaluated."""
        name = merged_name(self.recipe)
        return name if name in self.headline.systems else None

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of ``results.json``."""
        return self.results.records

    @property
    def headline(self) -> Record:
        """The record the card opens with."""
        return headline_of(self.results)

    @property
    def system(self) -> System:
        """What the tuned model scored on the headline split."""
        return self.headline.systems[self.tuned]

    @property
    def base_id(self) -> str | None:
        """The base model's id on the Hub; None where it is a local folder."""
        base = self.recipe.base
        named = base.revision is not None and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", base.model, re.ASCII)
        return base.model if named else None

    @property
    def datasets(self) -> list[str]:
        """The datasets on the Hub that were trained on."""
        mixture = self.data_report.mixture
        own = [self.task.source.hub.dataset] if self.task.source.hub else []
        mixed = [task.provenance.get("dataset") for task in (mixture.tasks if mixture else {}).values()]
        return list(dict.fromkeys(str(dataset) for dataset in (*own, *mixed) if dataset))

    def exported(self) -> list[list[str]]:
        """A row an export and split."""
        return [
            [
                name,
                row.split,
                cell(row.accuracy),
                difference(row.compared),
                cell(row.same_first),
                f"{row.log_p.mean:.2g} ({row.log_p.max:.2g})",
                f"{artefact.size_bytes / 1e6:,.0f} MB",
            ]
            for name, artefact in (self.exports.artefacts if self.exports else {}).items()
            for row in artefact.splits
        ]

    def faithful(self) -> list[list[str]]:
        """A row an order of the parts of a text."""
        rows = []
        for name, of in (self.faithfulness.methods if self.faithfulness else {}).items():
            tests = (
                {row.curve: row for row in self.faithfulness.comparisons if row.a == name} if self.faithfulness else {}
            )
            told = [p_value(tests[curve].p_adjusted) if curve in tests else "" for curve in ("deletion", "insertion")]
            rows.append([name.replace("_", " "), cell(of.deletion), told[0], cell(of.insertion), told[1]])
        return rows

    def gate(self) -> list[list[str]]:
        """A row a check of the decision on a successor."""
        checks = self.decision.checks if self.decision else ()
        return [[check.name, "yes" if check.passed else "no", check.found] for check in checks]

    def revision(self, split: str) -> str:
        """What pins the cases of a split: the commit of a dataset on the Hub, or the hashes of files."""
        return self.task.source.pin(split)

    def description(self, split: str) -> str:
        """What the task says a split is."""
        return self.task.splits.get(split, "no description")

    def simulated(self, record: Record) -> bool:
        """Whether the cases of a record's split were simulated, of a task that simulates."""
        return self.task.source.trains_on == "findings" and SIMULATED in self.description(record.split)

    def named(self, label: str) -> str:
        """A label with its name, where that is another."""
        name = self.data_report.labels.get(label, label) or "(no answer)"
        return name if name == label or not label else f"{name} ({label})"

    def called(self, system: str) -> str:
        """What a system is, with its name in the files; the name alone where Osler did not make it."""
        return f"{SYSTEMS[system].title} ({system})" if system in SYSTEMS else system

    @property
    def published(self) -> Sequence[Record]:
        """The records of splits that nothing was chosen on, or all where there is no such."""
        return [record for record in self.records if record.split != VALIDATION] or self.records

    def compared(self, record: Record) -> dict[str, list[str]]:
        """The baselines of a split: those it ``beats``, is ``behind``, and where the difference is ``open``.

        A difference counts from an adjusted p value below :data:`osler.evaluation.LEVEL`.
        """
        baselines: dict[str, list[str]] = {"behind": [], "open": [], "beats": []}
        for row in record.against(self.tuned).values():
            shown = row.p_adjusted < LEVEL
            baselines["open" if not shown else "beats" if row.difference > 0 else "behind"].append(row.b)
        return baselines

    @property
    def best_other(self) -> str | None:
        """The most accurate baseline on the headline split."""
        systems = self.headline.systems
        names = self.headline.against(self.tuned)
        return max(names, key=lambda name: float(systems[name].metrics["accuracy"].value), default=None)

    def energy(self, about: Mapping[str, Any]) -> tuple[float | None, str]:
        """The energy of training in kWh, and how it is known: the time × the power its author states."""
        minutes = f"{self.manifest.train_seconds / 60:.1f} minutes"
        if (watts := about.get("power_watts")) is not None:
            computed = watts * self.manifest.train_seconds / 3.6e6
            return computed, (
                f"{computed:.3g} kWh: {minutes} of training × {watts:g} W, the power its author states;"
                " **computed, not measured**"
            )
        return None, f"**not measured**, and nobody has stated the machine's power; training took {minutes}"


def read_evidence(run: Run) -> Evidence:
    """Read a run directory or a published version.

    Raises :class:`InputError` where a file is missing or lacks what is needed, the model was not evaluated, its
    predictions are others than those scored, or the task's prompt is another than the one trained with.
    """
    recipe = run.recipe()
    tuned = tuned_name(recipe)
    manifest, data_report, results = run.read_manifest(), run.read_data_report(), run.read_results()
    if not results.records:
        raise InputError(f"{run.results_path()}: no split in it: run scripts/evaluate.py again")
    for record in results.records:
        if tuned not in record.systems:
            raise InputError(
                f"{run.results_path()}: no results of {tuned} on {record.split}: run scripts/evaluate.py again"
            )
    folder = find_tasks(recipe.path) / recipe.task.name
    task, prompt = read_task(folder), load_prompt(folder)
    if prompt.sha256 != manifest.prompt_sha256:
        raise InputError(f"{folder / task.prompt}: not the prompt that was trained with; bring that one back")
    measured = {record.split: run.robustness_path(recipe, record.split) for record in results.records}
    return Evidence(
        recipe=recipe,
        task=task,
        user_turn=prompt.user_turn,
        manifest=manifest,
        data_report=data_report,
        results=results,
        robustness={split: _robustness(path, tuned) for split, path in measured.items() if path.is_file()},
        faithfulness=_of_this_model(run.explanation_path(VALIDATION), Faithfulness, manifest),
        in_use=_in_use(run, manifest),
        exports=_of_this_model(run.exports_file(), Exports, manifest),
        decision=_decision(run, manifest),
        confused=_confused(run, recipe, headline_of(results)),
        runs=_recorded(run, recipe),
    )


def _decision(run: Run, manifest: Manifest) -> Decision | None:
    path = run.folder / deciding.DECISION
    if not path.is_file():
        return None
    found = read_model(path, Decision)
    if found.challenger.weights_sha256 != manifest.adapter_sha256:
        raise InputError(f"{path}: not of the model of manifest.json; move it away, or decide again")
    return found


def _in_use(run: Run, manifest: Manifest) -> Monitoring | None:
    if not run.monitoring_path.is_file():
        return None
    report = read_model(run.monitoring_path, Monitoring)
    if (report.model, report.version) != (manifest.recipe.name, manifest.recipe.version):
        raise InputError(f"{run.monitoring_path}: of {report.model}@{report.version}; move it away")
    return report


Measured = TypeVar("Measured", Exports, Faithfulness)


def _of_this_model(path: Path, kind: type[Measured], manifest: Manifest) -> Measured | None:
    if not path.is_file():
        return None
    measured = read_model(path, kind)
    if measured.weights_sha256 != manifest.adapter_sha256:
        raise InputError(f"{path}: not of the model of manifest.json; move it away, or make it again")
    return measured


def _robustness(path: Path, tuned: str) -> Robustness:
    measured = read_model(path, Robustness)
    if tuned not in measured.records:
        raise InputError(f"{path}: no answers of {tuned} in it; measure it again")
    return measured


def _recorded(run: Run, recipe: Recipe) -> Sequence[RecordedRun]:
    path = run.folder / "expected.json"
    if not path.is_file() or (expected := read_expected(path)).recipe_sha256 != recipe.sha256:
        return ()
    return expected.runs


def headline_of(results: Results) -> Record:
    """The record of the split ``test`` where there is one, else of the first that nothing was chosen on."""
    records = {record.split: record for record in results.records}
    split = next((s for s in ("test", *records) if s in records and s != VALIDATION), VALIDATION)
    return records[split]


def _confused(run: Run, recipe: Recipe, record: Record) -> Confusions | None:
    path = run.prediction_path(record.task, record.split, tuned_name(recipe))
    if not path.is_file():
        return None
    if sha256_file(path) != record.predictions_sha256[tuned_name(recipe)]:
        raise InputError(
            f"{path}: not the predictions that {run.results_path().name} scores; run scripts/evaluate.py again"
        )
    return count_confusions(read_predictions(path))
