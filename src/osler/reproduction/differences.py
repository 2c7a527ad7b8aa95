"""What a published number depends on, as it was and as it is here: exchanged files, other versions, another machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from osler.recipe import Recipe, read_task
from osler.reproduction.expected import METRICS, read_expected, tolerance
from osler.runs import (
    DataReport,
    Environment,
    Manifest,
    Mismatch,
    Results,
    Run,
    TrainedContent,
    mismatches,
    tuned_name,
)
from osler.tasks import load_prompt

TITLES = {
    "base_fingerprint": "base model (fingerprint)",
    "release_sha256": "data: release (sha256; labels and splits follow from it: fetch the one that was published)",
    "rows_in": "data: rows in",
    "dropped": "data: rows dropped",
    "rows_out": "data: rows out",
    "truncated_rows": "data: rows truncated",
    "tokens_a_pass": "data: tokens a pass",
    "prompt_sha256": "prompt (sha256)",
    "chat_template_sha256": "chat template (sha256)",
    "processes": "processes that trained (each adds a batch of its own to a step)",
}
"""What decides a number, by its name in :class:`osler.runs.TrainedContent`, in the order in which it is looked at."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was. ``content`` decides a number; with another environment it may still agree."""

    what: str
    was: Any
    now: Any
    content: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {_shown(self.was)} published, {_shown(self.now)} here"


def _shown(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return f"{value[:12]}…"
    return "nothing" if value is None else str(value)


def _differing(pairs: Iterable[tuple[str, Any, Any]], content: bool = True) -> list[Difference]:
    """Those of (what, was, now) that differ."""
    return [Difference(what, was, now, content) for what, was, now in pairs if was != now]


@dataclass(frozen=True)
class Circumstances:
    """Under which a published run was trained: versions and machine. ``hardware`` by the names of an environment."""

    packages: Mapping[str, str | None]
    hardware: Mapping[str, Any]
    threads: int


def circumstances(manifest: Manifest) -> Circumstances:
    """Those of a run."""
    environment = manifest.environment
    hardware = {name: getattr(environment, name) for name in ("python", "cpu", "cores", "gpus")}
    return Circumstances(environment.packages, hardware, manifest.threads)


def other_circumstances(was: Circumstances, now: Environment, threads: int | None = None) -> list[Difference]:
    """Other versions and another machine; ``threads`` where it is known how many there are now."""
    packages = [(f"package {name}", version, now.packages.get(name)) for name, version in was.packages.items()]
    hardware = [(name, value, getattr(now, name)) for name, value in was.hardware.items()]
    used = [] if threads is None else [("threads", was.threads, threads)]
    pairs = [*packages, *hardware, *used]
    return _differing((pair for pair in pairs if pair[1] is not None), content=False)


def other_content(was: TrainedContent, now: Mapping[str, Any]) -> list[Difference]:
    """What of base, data, prompt and template is not as in ``was``; ``now`` has those that are known."""
    return _differing((title, getattr(was, name), now[name]) for name, title in TITLES.items() if name in now)


def other_weights(was: Manifest, now: Manifest) -> list[Difference]:
    """Other weights, which are no fault where another environment made them."""
    return _differing([("adapter weights", was.adapter_sha256, now.adapter_sha256)], content=False)


def changed_files(run: Run, recipe: Recipe) -> list[Difference]:
    """The files of a run, or of a published version, that are not what its own records say of them.

    Raises :class:`~osler.errors.InputError` where the manifest or the data report is not there.
    """
    manifest, report = run.read_manifest(), run.read_data_report()
    tasks = _differing(_tasks(run.folder / "tasks", recipe, manifest, report))
    return [*map(_difference, mismatches(run, recipe)), *tasks]


def _difference(mismatch: Mismatch) -> Difference:
    if mismatch.what == "SHA256SUMS":
        return Difference(mismatch.what, mismatch.was, mismatch.now)
    if mismatch.part == "version" and mismatch.was is None:
        return Difference(mismatch.what, "nothing", f"a file that {mismatch.record} does not list")
    kind = "in" if mismatch.part in ("data", "overlap") else "sha256 in"
    return Difference(f"{mismatch.what} ({kind} {mismatch.record})", mismatch.was, mismatch.now)


def _tasks(tasks: Path, recipe: Recipe, manifest: Manifest, report: DataReport) -> Iterator[tuple[str, Any, Any]]:
    """The task files of a published version; a run directory has none, and those of the checkout may have moved on."""
    if not tasks.is_dir():
        return
    mixed = report.mixture.tasks if report.mixture else {}
    prompts = {name: task.prompt_sha256 for name, task in mixed.items()} | {recipe.task.name: manifest.prompt_sha256}
    for name, sha256 in prompts.items():
        where = f"tasks/{name}/{read_task(tasks / name).prompt} and system: in task.yaml (sha256 in manifest.json)"
        yield where, sha256, load_prompt(tasks / name).sha256
    task, where = read_task(tasks / recipe.task.name), f"tasks/{recipe.task.name}/task.yaml"
    if task.labels is not None:
        yield f"{where}, labels (in data_report.json)", sorted(report.labels), sorted(task.labels)
    if task.source.hub:
        was = report.provenance.get("revision")
        yield f"{where}, revision of the data (in data_report.json)", was, task.source.hub.revision


def contradictions(path: Path, recipe: Recipe, results: Results | None = None) -> list[Difference]:
    """Where the expected file at ``path`` is not that of ``recipe``, contradicts itself, or gives other figures than
    ``results`` for the very same predictions.

    Raises :class:`~osler.errors.InputError` where it is no whole expected file: :func:`read_expected`.
    """
    expected, tuned = read_expected(path), tuned_name(recipe)
    pairs: list[tuple[str, Any, Any]] = [
        (f"{recipe.path} (sha256 in {path.name})", expected.recipe_sha256, recipe.sha256)
    ]
    runs, splits = [run.values for run in expected.runs], expected.splits
    for split in dict.fromkeys([*runs[0], *splits]):
        metrics = splits[split].systems.get(tuned, {}) if split in splits else {}
        first = {name: metrics[name].value for name in METRICS if name in metrics}
        pairs.append((f"{path.name}, {split}, {tuned}, the first run", runs[0].get(split, {}), first))
    if runs[0].keys() <= splits.keys():
        cases = {split: of_split.n for split, of_split in splits.items()}
        pairs.append((f"{path.name}, tolerance", expected.tolerance, tolerance(runs, cases)))
    records = {record.split: record for record in results.records} if results else {}
    for split, of_split in splits.items():
        record = records.get(split)
        if record is None or record.predictions_sha256[tuned] != of_split.predictions_sha256:
            continue  # the published run is another than the first that was recorded
        pairs.append((f"{path.name}, {split}, cases", of_split.n, record.n))
        for system, metrics in of_split.systems.items():
            now = record.systems[system].metrics if system in record.systems else {}
            for name in (name for name in METRICS if name in metrics):
                value = now[name].value if name in now else None
                pairs.append((f"{path.name}, {split}, {system}, {name}", metrics[name].value, value))
    return _differing(pairs)


def first_in_json(was: Any, now: Any, where: str) -> Difference | None:
    """The first place in which two pieces of JSON differ; None where they are equal."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [*was, *(key for key in now if key not in was)]
        items: Iterable[tuple[Any, Any, Any]] = ((key, was.get(key), now.get(key)) for key in keys)
    elif isinstance(was, list) and isinstance(now, list):
        items = ((place, before, after) for place, (before, after) in enumerate(zip_longest(was, now)))
    else:
        return None if was == now else Difference(where, was, now)
    return next((found for key, *pair in items if (found := first_in_json(pair[0], pair[1], f"{where}, {key}"))), None)
