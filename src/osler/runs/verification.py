"""Whether the files of a run are those that its own records say they are.

One list of mismatches, read in three ways: evaluation refuses the run (:func:`check_trained`), publishing makes checks
of them, a reproduction shows them as differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from osler.errors import InputError, show
from osler.recipe import Recipe
from osler.runs.data_report import DataReport
from osler.runs.manifest import Manifest
from osler.runs.results import Results
from osler.runs.run import Run, merged_name, tuned_name
from osler.storage import ATTRIBUTES, model_fingerprint, sha256_file

Part = Literal["version", "recipe", "panel", "data", "weights", "scored weights", "template", "predictions", "overlap"]
MEANING: dict[Part, str] = {
    "version": "the file that was published",
    "recipe": "what was trained with",
    "panel": "the labels that were trained on",
    "data": "what was trained on",
    "weights": "what training wrote",
    "scored weights": "what was scored",
    "template": "the chat template that was trained with",
    "predictions": "what was scored",
    "overlap": "what was measured",
}
# What the Hub, huggingface_hub and git add to a version on its way; Osler reads none of it.
OF_DOWNLOAD = (".cache/huggingface/", ".git/")


@dataclass(frozen=True)
class Mismatch:
    """Something of a run that is not what one of its records says.

    Attributes:
        part: what of the run it is.
        what: the file, or the value in one, by its path inside the run.
        record: the file that says otherwise.
        was, now: as recorded and as it is; None for what is not there. Those of ``data`` and ``overlap`` are values,
            all others the sha256 of a file, or the fingerprint of a model.
    """

    part: Part
    what: str
    record: str
    was: Any
    now: Any

    def __str__(self) -> str:
        """``adapter/adapter_config.json: not what training wrote (sha256 0123…, in manifest.json 4567…)``"""
        if self.now is None:
            return f"{self.what}: is missing, and {self.record} says that it is there"
        hashes = all(isinstance(value, str) and len(value) == 64 for value in (self.was, self.now))
        was, now = (value[:12] if hashes else show(value) for value in (self.was, self.now))
        kind = "sha256 " if hashes else ""
        return f"{self.what}: not {MEANING[self.part]} ({kind}{now}, in {self.record} {was})"


def check_prompt(run: Run, manifest: Manifest, task: str, prompt_sha256: str) -> None:
    """Raise :class:`InputError` where the prompt of ``task`` is another one than the run was trained with."""
    if manifest.prompt_sha256 != prompt_sha256:
        raise InputError(f"{run.folder}: trained with another prompt than tasks/{task} has now; train again")


def check_trained(run: Run, recipe: Recipe) -> Manifest:
    """The manifest of the run's training, once it is known to be that of ``recipe`` and of the adapter there is.

    Raises :class:`InputError` where training is not finished, the recipe has changed in more than what it evaluates or
    how it is published, or the adapter is gone or another.
    """
    if not run.finished:
        raise InputError(f"{run.folder}: no manifest.json: training is not finished; run scripts/train.py again")
    if not run.adapter_path.is_dir():
        raise InputError(
            f"{run.adapter_path}: is gone: bring it back, or delete manifest.json and run scripts/train.py again"
        )
    manifest = run.read_manifest()
    for mismatch in changed_recipe(run, recipe, manifest):
        raise InputError(f"{run.folder}/{mismatch}: bring that one back, or train this one with an --output of its own")
    for mismatch in changed_weights(run, manifest):
        raise InputError(
            f"{run.folder}/{mismatch}: bring that back, or delete manifest.json and run scripts/train.py again"
        )
    return manifest


def mismatches(run: Run, recipe: Recipe) -> list[Mismatch]:
    """Everything in a run, or in a published version, that is not what its records say; weights and the chat template
    where they are there, results where the run was evaluated.

    Raises :class:`InputError` where the manifest or the data report is not there.
    """
    manifest, report = run.read_manifest(), run.read_data_report()
    differing = [
        *changed_files(run),
        *changed_recipe(run, recipe, manifest),
        *changed_panel(run, manifest),
        *changed_counts(manifest, report),
        *changed_template(run, manifest),
        *(changed_weights(run, manifest) if _weights(run.adapter_path) else ()),
    ]
    if run.results_path().is_file():
        results = run.read_results()
        differing += [
            *changed_scored_weights(run, recipe, results),
            *changed_predictions(run, results),
            *changed_overlaps(report, results),
        ]
    return differing


def changed_files(run: Run) -> Iterator[Mismatch]:
    """The files of a published version against its list of hashes, both ways."""
    if not run.sums_path.is_file():
        if run.adapter_path == run.folder:
            yield Mismatch("version", run.sums_path.name, "a published version", "the sha256 of every file", None)
        return
    # Only what was found in the folder is opened, so that no name in the list leads out of it. A link to a folder
    # counts as a file: nobody listed what is in there.
    files = (path for path in run.folder.rglob("*") if path.is_symlink() or not path.is_dir())
    there = {path.relative_to(run.folder).as_posix(): path for path in files}
    listed = {run.sums_path.name, ATTRIBUTES}
    for line in run.sums_path.read_text(encoding="utf-8", errors="replace").splitlines():
        sha256, _, name = line.partition("  ")
        listed.add(name)
        now = _sha256(there[name]) if name in there else None
        if now != sha256:
            yield Mismatch("version", name or line, run.sums_path.name, sha256, now)
    for name in sorted(there.keys() - listed):
        if not name.startswith(OF_DOWNLOAD):
            shown = name.encode(errors="backslashreplace").decode()  # not every file name is UTF-8
            yield Mismatch("version", shown, run.sums_path.name, None, _sha256(there[name]) or "a link")


def changed_recipe(run: Run, recipe: Recipe, manifest: Manifest) -> Iterator[Mismatch]:
    """The recipe, in what a run is bound to."""
    if manifest.recipe.run_sha256 != recipe.run_sha256:
        yield Mismatch(
            "recipe", recipe.path.name, run.manifest_path.name, manifest.recipe.run_sha256, recipe.run_sha256
        )
    repeated = {
        "name": (manifest.recipe.name, recipe.name),
        "version": (manifest.recipe.version, recipe.version),
        "seed": (manifest.seed, recipe.seed),
        "task.name": (manifest.task.name, recipe.task.name),
        "base.model": (manifest.base.model, recipe.base.model),
        "base.revision": (manifest.base.revision, recipe.base.revision),
    }
    for key, (was, now) in repeated.items():
        if was != now:
            yield Mismatch("recipe", f"{recipe.path.name}, {key}", run.manifest_path.name, was, now)


def changed_panel(run: Run, manifest: Manifest) -> Iterator[Mismatch]:
    """The labels, against what training wrote."""
    now = _sha256(run.panel_path) if run.panel_path.is_file() else None
    if now != manifest.panel_sha256:
        yield Mismatch("panel", run.panel_path.name, run.manifest_path.name, manifest.panel_sha256, now)


def changed_counts(manifest: Manifest, report: DataReport) -> Iterator[Mismatch]:
    """What the manifest repeats of ``data_report.json``."""
    for name, now in repeated_counts(report).items():
        if (was := getattr(manifest, name)) != now:
            yield Mismatch("data", f"data_report.json, {name}", "manifest.json", was, now)


def repeated_counts(report: DataReport) -> dict[str, Any]:
    """What a manifest repeats of a data report, by the manifest's names."""
    return {
        "prompt_sha256": report.prompt_sha256,
        "rows_in": report.rows_in,
        "dropped": report.dropped,
        "rows_out": report.rows_out,
        "truncated_rows": report.truncated,
        "tokens_a_pass": report.tokens.total,
        "release_sha256": report.provenance.get("release_sha256"),
    }


def changed_weights(run: Run, manifest: Manifest) -> Iterator[Mismatch]:
    """The adapter with its configuration and tokenizer, against what training wrote."""
    if (now := model_fingerprint(run.adapter_path)) != manifest.adapter_sha256:
        yield Mismatch("weights", _named(run, run.adapter_path), run.manifest_path.name, manifest.adapter_sha256, now)


def changed_template(run: Run, manifest: Manifest) -> Iterator[Mismatch]:
    """The chat template beside the adapter."""
    template = run.adapter_path / "chat_template.jinja"
    if template.is_file() and (now := sha256_file(template)) != manifest.chat_template_sha256:
        name = template.relative_to(run.folder).as_posix()
        yield Mismatch("template", name, run.manifest_path.name, manifest.chat_template_sha256, now)


def changed_scored_weights(run: Run, recipe: Recipe, results: Results) -> Iterator[Mismatch]:
    """Adapter and merged model, against what was scored."""
    scored = results.weights_sha256 or {}
    for folder, system in ((run.adapter_path, tuned_name(recipe)), (run.merged_path, merged_name(recipe))):
        if _weights(folder) and system in scored and (now := model_fingerprint(folder)) != scored[system]:
            yield Mismatch("scored weights", _named(run, folder), run.results_path().name, scored[system], now)


def changed_predictions(run: Run, results: Results) -> Iterator[Mismatch]:
    """The prediction files that were scored."""
    for path, sha256 in run.scored_predictions(results).items():
        if (now := _sha256(path)) != sha256:
            yield Mismatch("predictions", path.relative_to(run.folder).as_posix(), run.results_path().name, sha256, now)


def changed_overlaps(report: DataReport, results: Results) -> Iterator[Mismatch]:
    """What held-out cases and training rows have in common, which stands in two files."""
    for record in results.records:
        now, measured = report.contamination.splits.get(record.split), record.contamination
        if now and measured and any(getattr(measured, name) != value for name, value in now):
            what = f"data_report.json, contamination of {record.split}"
            was = {name: value for name, value in measured.model_dump(mode="json").items() if name in dict(now)}
            yield Mismatch("overlap", what, "results.json", was, now.model_dump(mode="json"))


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _named(run: Run, folder: Path) -> str:
    """The model in ``folder`` and what its fingerprint is of; a published adapter lies in the run's folder itself."""
    name = "adapter" if folder == run.folder else folder.name
    return f"{name} (weights, configuration, tokenizer or chat template)"


def _sha256(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None
