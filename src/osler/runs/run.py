"""The run directory, the contract between stages: ``runs/<name>/<version>/``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from osler.errors import InputError, show
from osler.recipe import Recipe, load_recipe
from osler.runs.data_report import DataReport
from osler.runs.manifest import Ancestor, Manifest
from osler.runs.panel import Panel
from osler.runs.results import Results
from osler.storage import (
    FileContract,
    check_folder,
    model_fingerprint,
    read_model,
    read_record,
    write_atomically,
)

F = TypeVar("F", bound=FileContract)

ADAPTER = "adapter_model.safetensors"
MERGED = "-merged"  # what the name of a merged model adds to that of the model with its adapter
MERGED_FROM = "merged_from.json"  # in a merged model: the fingerprints of the adapter and of its own files
LOCK = ".lock"
# What is made of a training once it is finished, in its run directory.
DERIVED = (
    "predictions*",
    "results*.json",
    "report*.html",
    "robustness*.json",
    "explanation*.json",
    "encoder",
    "merged",
    "exports*",
)


@dataclass(frozen=True)
class Run:
    """One training of one recipe, and everything that was made of it."""

    folder: Path

    @property
    def adapter_path(self) -> Path:
        """What training produced: the adapter, or the whole model where the recipe has no ``lora:``.

        In a published version it stands at the root, where PEFT and transformers look for it.
        """
        return self.folder if any(self.folder.glob("*.safetensors")) else self.folder / "adapter"

    @property
    def merged_path(self) -> Path:
        """The model that the adapter merged into its base makes, once somebody asked for it."""
        return self.folder / "merged"

    @property
    def sums_path(self) -> Path:
        """The sha256 of every file of a published version, as ``sha256sum -c`` reads it; a run directory has none."""
        return self.folder / "SHA256SUMS"

    @property
    def checkpoints_path(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def manifest_path(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def data_report_path(self) -> Path:
        return self.folder / "data_report.json"

    @property
    def panel_path(self) -> Path:
        return self.folder / "panel.json"

    @property
    def train_log_path(self) -> Path:
        return self.folder / "train_log.jsonl"

    @property
    def predictions_path(self) -> Path:
        return self.folder / "predictions"

    def prediction_path(
        self, task: str, split: str, system: str, limit: int | None = None, perturbation: str | None = None
    ) -> Path:
        """The prediction file of a system for a split, or for its first ``limit`` cases.

        ``perturbation`` names the folder of the answers to perturbed copies (:attr:`Perturbation.folder`).
        """
        folder = self.predictions_path if perturbation is None else self.folder / "predictions-perturbed"
        folder = folder.with_name(f"{folder.name}{_first(limit)}")
        if perturbation is not None:
            folder /= perturbation
        return folder / f"{task}-{split}-{system}.jsonl"

    def scored_predictions(self, results: Results) -> dict[Path, str]:
        """The prediction files that the content of a ``results.json`` was made from, and their sha256 in it.

        Raises :class:`InputError` where a name in it would lead out of the folder of predictions.
        """
        for record in results.records:
            for name in (record.task, record.split, *record.predictions_sha256):
                if "/" in name or "\0" in name:
                    raise InputError(f"{self.results_path()}: {show(name)} is not allowed as part of a file's name")
        return {
            self.prediction_path(record.task, record.split, system): sha256
            for record in results.records
            for system, sha256 in record.predictions_sha256.items()
        }

    @property
    def encoder_path(self) -> Path:
        """The baseline that is trained: a fine-tuned encoder, if the recipe compares with one."""
        return self.folder / "encoder"

    def results_path(
        self, benchmark: str | None = None, splits: Sequence[str] | None = None, limit: int | None = None
    ) -> Path:
        """``results.json``, or its like for a benchmark; where it is of some ``splits`` only, or of their first
        ``limit`` cases, the name says which: ``results-partial-test-first-3.json``."""
        part = f"{''.join(f'-{split}' for split in splits or ())}{_first(limit)}"
        return self.folder / f"results{f'-{benchmark}' if benchmark else ''}{'-partial' if part else ''}{part}.json"

    @property
    def exports_path(self) -> Path:
        """What was made for other software, a folder a form; ``exports.json`` beside it says how it answers."""
        return self.folder / "exports"

    def exported_prediction_path(self, task: str, split: str, system: str, limit: int | None = None) -> Path:
        """The prediction file of an export for a split, or for its first ``limit`` cases."""
        return self.exports_path / "predictions" / f"{task}-{split}-{system}{_first(limit)}.jsonl"

    def exports_file(self, limit: int | None = None) -> Path:
        """``exports.json``; where only the first ``limit`` cases of each split were answered, the name says so."""
        return self.folder / f"exports{_first(limit)}.json"

    def robustness_path(self, recipe: Recipe, split: str, limit: int | None = None) -> Path:
        """``robustness.json`` for the first split that ``recipe`` evaluates; the others' files name theirs, and those
        of its first ``limit`` cases the limit."""
        named = "" if split == recipe.evaluation.splits[0] else f"-{split}"
        return self.folder / f"robustness{named}{_first(limit)}.json"

    @property
    def monitoring_path(self) -> Path:
        """``monitoring.json``: what was seen of the model in use, where somebody keeps it with the run."""
        return self.folder / "monitoring.json"

    def explanation_path(self, split: str, limit: int | None = None) -> Path:
        """``explanation.json`` for the split ``validation``; the others' files name theirs, and those of its first
        ``limit`` cases the limit."""
        return self.folder / f"explanation{'' if split == 'validation' else f'-{split}'}{_first(limit)}.json"

    def recipe(self) -> Recipe:
        """The resolved recipe the run was made with. Raises :class:`InputError` where the folder is no run."""
        path = self.folder / "recipe.yaml"
        if not path.is_file():
            raise InputError(f"{self.folder}: no recipe.yaml in it; a run directory is what scripts/train.py writes")
        return load_recipe(path)

    @property
    def finished(self) -> bool:
        """Whether training came to its end: the manifest is written last."""
        return self.manifest_path.is_file()

    def read_manifest(self) -> Manifest:
        """``manifest.json``. Raises :class:`InputError` as :func:`osler.storage.read_model`."""
        return _read(self.manifest_path, Manifest)

    def read_data_report(self) -> DataReport:
        """``data_report.json``. Raises :class:`InputError` as :func:`osler.storage.read_model`."""
        return _read(self.data_report_path, DataReport)

    def read_results(self) -> Results:
        """``results.json``. Raises :class:`InputError` as :func:`osler.storage.read_model`."""
        return _read(self.results_path(), Results)

    def read_panel(self) -> Panel:
        """``panel.json``. Raises :class:`InputError` as :func:`osler.storage.read_model`."""
        return _read(self.panel_path, Panel)

    def ancestor(self) -> Ancestor:
        """How the manifests of runs that build on this one name it."""
        manifest = self.read_manifest()
        of = manifest.recipe
        return Ancestor(
            name=of.name, version=of.version, run_sha256=of.run_sha256, adapter_sha256=manifest.adapter_sha256
        )

    def weights(self, recipe: Recipe) -> dict[str, str]:
        """System → fingerprint of its model, of the tuned one and, where it is there, of the merged one.

        Raises :class:`InputError` where the merged model is not of the adapter there is, or its weights are not those
        that merging wrote.
        """
        fingerprints = {tuned_name(recipe): model_fingerprint(self.adapter_path)}
        if not self.merged_path.is_dir():
            return fingerprints
        fingerprints[merged_name(recipe)] = model_fingerprint(self.merged_path)
        path = self.merged_path / MERGED_FROM
        was = read_record(path, "adapter_sha256", "weights_sha256")
        for key, now in zip(("adapter_sha256", "weights_sha256"), fingerprints.values(), strict=True):
            if was[key] != now:
                raise InputError(
                    f"{path}: {key} is {was[key][:12]}, of what is there {now[:12]}: it is not what was merged of"
                    f" this adapter; move {self.merged_path} away, and scripts/evaluate.py RUN --merged makes it anew"
                )
        return fingerprints

    def delete_predictions(self, system: str) -> None:
        """Delete what ``system`` answered, in whole files and in parts of one: it is about to be another model."""
        for path in self.folder.glob(f"predictions*/*-{system}.jsonl*"):
            path.unlink()

    @contextmanager
    def locked(self, doing: str) -> Iterator[None]:
        """Keep every other process out that trains or evaluates: it would write, or delete, the same files.

        ``doing`` says to those what this one does: "training" or "evaluating". Raises :class:`InputError` where one is
        at it. The lock is the kernel's and ends with the process that holds it, whichever way that ends.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LOCK
        try:
            lock = FileLock(path, blocking=False).acquire()
        except Timeout:
            holder = path.read_text(encoding="utf-8", errors="replace") or "another process is at work on"
            raise InputError(
                f"{self.folder}: {holder} it; wait until it is done, or end it, and start again: nothing is done twice"
            ) from None
        with lock:
            path.write_text(f"process {os.getpid()} on {os.uname().nodename} is {doing}", encoding="utf-8")
            yield

    def set_aside(self) -> Path | None:
        """Move what was made of an earlier training into a folder ``earlier-<n>`` and return that; None for nothing."""
        made = sorted(path for pattern in DERIVED for path in self.folder.glob(pattern))
        if not made:
            return None
        names = (self.folder / f"earlier-{number}" for number in count(1))
        folder = next(path for path in names if not path.exists())
        folder.mkdir()
        for path in made:
            path.rename(folder / path.name)
        return folder

    def open(self, recipe: Recipe) -> None:
        """Make the directory, or take it up again, with the recipe's evaluation as it is now.

        Raises :class:`InputError` as :meth:`check` does.
        """
        self.check(recipe)
        write_atomically(self.folder / "recipe.yaml", recipe.to_yaml())

    def check(self, recipe: Recipe) -> None:
        """Raise :class:`InputError` where the directory belongs to another recipe or to something else altogether, or
        cannot be written into."""
        check_folder(self.folder)
        path = self.folder / "recipe.yaml"
        if path.is_file():
            if (there := load_recipe(path).run_sha256) != recipe.run_sha256:
                raise InputError(
                    f"{self.folder}: holds a run of another recipe (sha256 {there[:12]}, this one is"
                    f" {recipe.run_sha256[:12]}); name another folder with --output, or move that one away"
                )
        elif self.folder.is_dir() and any(there.name != LOCK for there in self.folder.iterdir()):
            raise InputError(f"{self.folder}: is not empty and holds no recipe.yaml; name another folder with --output")


def _read(path: Path, kind: type[F]) -> F:
    """As :func:`osler.storage.read_model`; what is wrong in a file that is there comes with the way out."""
    try:
        return read_model(path, kind)
    except InputError as error:
        way_out = "; make the file anew, or bring back the whole one" if path.is_file() else ""
        raise InputError(f"{error}{way_out}") from None


def _first(limit: int | None) -> str:
    return "" if limit is None else f"-first-{limit}"


def tuned_name(recipe: Recipe) -> str:
    """How the tuned model is called in predictions and results."""
    return f"{recipe.name}@{recipe.version}"


def merged_name(recipe: Recipe) -> str:
    """How the model with the adapter merged into it is called."""
    return f"{tuned_name(recipe)}{MERGED}"
