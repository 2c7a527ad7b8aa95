"""What a published number depends on, as it was and as it is here: exchanged files, other versions, another machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from osler.recipe import Recipe, read_task
from osler.reproduction import expected as recorded
from osler.reproduction.expected import METRICS
from osler.runs import Run, merged_name, tuned_name
from osler.storage import fingerprint, read_record, sha256_file
from osler.tasks import load_prompt

# What a manifest says that decides a number, in the order in which it is looked at.
CONTENT = {
    "base.fingerprint": "base model (fingerprint)",
    "rows_in": "data: rows in",
    "dropped": "data: rows dropped",
    "rows_out": "data: rows out",
    "truncated_rows": "data: rows truncated",
    "tokens_a_pass": "data: tokens a pass",
    "prompt_sha256": "prompt (sha256)",
    "chat_template_sha256": "chat template (sha256)",
}

# What the Hub, huggingface_hub and git add to a version on its way; Osler reads none of it.
ATTRIBUTES = ".gitattributes"
OF_DOWNLOAD = (".cache/huggingface/", ".git/")


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


def _of_pairs(pairs: Iterable[tuple[str, Any, Any]], content: bool = True) -> list[Difference]:
    """Those of (what, was, now) that differ. What was not written down, in files from before it was, is believed."""
    return [Difference(what, was, now, content) for what, was, now in pairs if was is not None and was != now]


def of_manifests(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """How ``now``, a manifest or what is known of one so far, differs from the manifest ``was``: versions, hardware,
    base, data, template, weights, in this order. Other weights are no fault where another environment made them."""
    before, after = was["environment"], now["environment"]
    packages = [(f"package {name}", of, after["packages"].get(name)) for name, of in before["packages"].items()]
    hardware = [(key, before.get(key), after[key]) for key in ("python", "cpu", "cores", "gpus")]
    of_run = [(key, was.get(key), now[key]) for key in ("threads",) if key in now]
    content = [(title, _at(was, key), _at(now, key)) for key, title in CONTENT.items() if _at(now, key) is not None]
    weights = [("adapter weights", was.get("adapter_sha256"), now["adapter_sha256"])] if "adapter_sha256" in now else []
    return [
        *_of_pairs([*packages, *hardware, *of_run], content=False),
        *_of_pairs(content),
        *_of_pairs(weights, content=False),
    ]


def _at(record: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key; None where there is none."""
    value: Any = record
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def counts(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest repeats of ``data_report.json``."""
    same = {key: report[key] for key in ("prompt_sha256", "rows_in", "dropped", "rows_out")}
    return {**same, "truncated_rows": report["truncated"], "tokens_a_pass": report["tokens"]["total"]}


def of_files(run: Run, recipe: Recipe) -> list[Difference]:
    """The files of a run, or of a published version, that are not what its own manifest and results say of them.

    Weights and the chat template are looked at where they are there, results where the run was evaluated. Raises
    :class:`~osler.errors.InputError` where the manifest or the data report is not there.
    """
    manifest = read_record(run.manifest, "recipe.sha256", "prompt_sha256")
    report = read_record(run.data_report, "truncated", "tokens.total", "labels", "contamination.splits")
    results = read_record(run.results, "records") if run.results.is_file() else {"records": []}
    own = counts(report)
    return _of_pairs(
        [
            *_sums(run),
            (f"{recipe.path} (sha256 in manifest.json)", manifest["recipe"].get("run_sha256"), recipe.run_sha256),
            *((f"data_report.json, {key} (in manifest.json)", manifest.get(key), own[key]) for key in own),
            *_tasks(run.folder / "tasks", recipe, manifest, report),
            *_weights(run, recipe, manifest, results),
            *_predictions(run, results),
            *_overlaps(report, results),
        ]
    )


def _sums(run: Run) -> Iterator[tuple[str, str, str | None]]:
    """The files of a published version against its list of hashes, both ways."""
    if not run.sums.is_file():
        if run.adapter == run.folder:
            yield run.sums.name, "the sha256 of every file", None
        return
    # Only what was found in the folder is opened, so that no name in the list leads out of it. A link to a folder
    # counts as a file: nobody listed what is in there.
    found = (path for path in run.folder.rglob("*") if path.is_symlink() or not path.is_dir())
    there = {path.relative_to(run.folder).as_posix(): path for path in found}
    listed = {run.sums.name, ATTRIBUTES}
    for line in run.sums.read_text(encoding="utf-8", errors="replace").splitlines():
        sha256, _, name = line.partition("  ")
        listed.add(name)
        now = _sha256(there[name]) if name in there else None
        yield f"{name or line} (sha256 in {run.sums.name})", sha256, now
    for name in sorted(there.keys() - listed):
        if not name.startswith(OF_DOWNLOAD):
            shown = name.encode(errors="backslashreplace").decode()  # not every file name is UTF-8
            yield shown, "nothing", f"a file that {run.sums.name} does not list"


def _sha256(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _tasks(
    tasks: Path, recipe: Recipe, manifest: Mapping[str, Any], report: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """The task files of a published version; a run directory has none, and those of the checkout may have moved on."""
    if not tasks.is_dir():
        return
    mixed = (report.get("mixture") or {}).get("tasks", {})
    prompts = {name: of["prompt_sha256"] for name, of in mixed.items()} | {recipe.task.name: manifest["prompt_sha256"]}
    for name, sha256 in prompts.items():
        where = f"tasks/{name}/{read_task(tasks / name).prompt} and system: in task.yaml (sha256 in manifest.json)"
        yield where, sha256, load_prompt(tasks / name).sha256
    task, where = read_task(tasks / recipe.task.name), f"tasks/{recipe.task.name}/task.yaml"
    if task.labels is not None:
        yield f"{where}, labels (in data_report.json)", sorted(report["labels"]), sorted(task.labels)
    if task.source.hub:
        was = report.get("provenance", {}).get("revision")
        yield f"{where}, revision of the data (in data_report.json)", was, task.source.hub.revision


def _weights(
    run: Run, recipe: Recipe, manifest: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    scored = results.get("weights_sha256") or {}
    for folder, system in ((run.adapter, tuned_name(recipe)), (run.merged, merged_name(recipe))):
        files = sorted(folder.glob("*.safetensors"))
        if files:
            name, now = ", ".join(str(path.relative_to(run.folder)) for path in files), fingerprint(folder)
            yield f"{name} (sha256 in results.json)", scored.get(system), now
            if folder == run.adapter:
                yield f"{name} (sha256 in manifest.json)", manifest.get("adapter_sha256"), now
    template = run.adapter / "chat_template.jinja"
    if template.is_file():
        was = manifest.get("chat_template_sha256")
        yield f"{template.relative_to(run.folder)} (sha256 in manifest.json)", was, sha256_file(template)


def _predictions(run: Run, results: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for path, sha256 in run.scored_answers(results).items():
        yield f"{path.relative_to(run.folder)} (sha256 in results.json)", sha256, _sha256(path)


def _overlaps(report: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for record in results["records"]:
        now = report["contamination"]["splits"].get(record["split"])
        if now and record.get("contamination"):
            was = {key: record["contamination"].get(key) for key in now}
            yield f"data_report.json, contamination of {record['split']} (in results.json)", was, now


def of_expected(path: Path, recipe: Recipe, results: Mapping[str, Any] | None = None) -> list[Difference]:
    """Where the expected file at ``path`` is not that of ``recipe``, contradicts itself, or gives other figures than
    ``results`` for the very same predictions.

    Raises :class:`InputError` where it is no whole expected file: :func:`check`.
    """
    expected, tuned = read_record(path, "recipe_sha256", "tolerance", "seeds", "splits"), tuned_name(recipe)
    recorded.check(expected, path)
    pairs: list[tuple[str, Any, Any]] = [
        (f"{recipe.path} (sha256 in {path.name})", expected["recipe_sha256"], recipe.sha256)
    ]
    runs, splits = recorded.values_of_runs(expected), expected["splits"]
    for split in dict.fromkeys([*runs[0], *splits]):
        metrics = splits.get(split, {"systems": {}})["systems"].get(tuned, {})
        first = {name: metrics[name]["value"] for name in METRICS if name in metrics}
        pairs.append((f"{path.name}, {split}, {tuned}, the first run", runs[0].get(split, {}), first))
    if "runs" in expected and runs[0].keys() <= splits.keys():
        cases = {split: of["n"] for split, of in splits.items()}
        pairs.append((f"{path.name}, tolerance", expected["tolerance"], recorded.tolerance(runs, cases)))
    records = {record["split"]: record for record in results["records"]} if results else {}
    for split, of in splits.items():
        record = records.get(split)
        if record is None or record["predictions_sha256"][tuned] != of["predictions_sha256"]:
            continue  # the published run is another than the first that was recorded
        pairs.append((f"{path.name}, {split}, cases", of["n"], record["n"]))
        for system, metrics in of["systems"].items():
            now = record["systems"].get(system, {"metrics": {}})["metrics"]
            for name in (name for name in METRICS if name in metrics):
                pairs.append(
                    (
                        f"{path.name}, {split}, {system}, {name}",
                        metrics[name]["value"],
                        now.get(name, {}).get("value"),
                    )
                )
    return _of_pairs(pairs)


def first_of_json(was: Any, now: Any, where: str) -> Difference | None:
    """The first place in which two pieces of JSON differ; None where they are equal."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [*was, *(key for key in now if key not in was)]
        items: Iterable[tuple[Any, Any, Any]] = ((key, was.get(key), now.get(key)) for key in keys)
    elif isinstance(was, list) and isinstance(now, list):
        items = ((place, before, after) for place, (before, after) in enumerate(zip_longest(was, now)))
    else:
        return None if was == now else Difference(where, was, now)
    return next((found for key, *of in items if (found := first_of_json(of[0], of[1], f"{where}, {key}"))), None)
