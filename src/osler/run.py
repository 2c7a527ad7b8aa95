"""The run directory, the contract between stages: ``runs/<name>/<version>/``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osler import recipe as recipes
from osler.errors import InputError
from osler.manifest import read_json, write_atomically, write_json
from osler.perturbation import Perturbation
from osler.recipe import Recipe

COMPLETE = "complete.json"  # written last into a checkpoint: without it, the checkpoint was cut off while being saved


@dataclass(frozen=True)
class Run:
    """One training of one recipe, and everything that was made of it."""

    folder: Path

    @property
    def adapter(self) -> Path:
        """What training produced: the adapter, or the whole model where the recipe has no ``lora:``."""
        return self.folder / "adapter"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def data_report(self) -> Path:
        return self.folder / "data_report.json"

    @property
    def train_log(self) -> Path:
        return self.folder / "train_log.jsonl"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    def answers(
        self, task: str, split: str, system: str, limit: int | None = None, perturbation: Perturbation | None = None
    ) -> Path:
        """The prediction file of a system for a split, its first ``limit`` cases, or perturbed copies of them."""
        folder = self.predictions if perturbation is None else self.folder / "predictions-perturbed"
        if limit is not None:
            folder = folder.with_name(f"{folder.name}-first-{limit}")
        if perturbation is not None:
            folder /= f"{perturbation.name}-{perturbation.strength:g}"
        return folder / f"{task}-{split}-{system}.jsonl"

    @property
    def encoder(self) -> Path:
        """The baseline that is trained: a fine-tuned encoder, if the recipe compares with one."""
        return self.folder / "encoder"

    @property
    def results(self) -> Path:
        return self.scored()

    def scored(self, benchmark: str | None = None, partial: bool = False) -> Path:
        """``results.json``, or its like for a benchmark, or for a part of the splits or cases only."""
        return self.folder / f"results{f'-{benchmark}' if benchmark else ''}{'-partial' if partial else ''}.json"

    def robustness(self, recipe: Recipe, split: str, partial: bool = False) -> Path:
        """``robustness.json`` for the first split that ``recipe`` evaluates; the others' files name theirs."""
        named = "" if split == recipe.evaluation.splits[0] else f"-{split}"
        return self.folder / f"robustness{named}{'-partial' if partial else ''}.json"

    def recipe(self) -> Recipe:
        """The resolved recipe the run was made with. Raises :class:`InputError` where the folder is no run."""
        path = self.folder / "recipe.yaml"
        if not path.is_file():
            raise InputError(f"{self.folder}: no recipe.yaml in it; a run directory is what scripts/train.py writes")
        return recipes.load(path)

    @property
    def finished(self) -> bool:
        """Whether training came to its end: the manifest is written last."""
        return self.manifest.is_file()

    def open(self, recipe: Recipe) -> None:
        """Make the directory, or take it up again, with the recipe's evaluation as it is now.

        Raises :class:`InputError` as :meth:`check` does.
        """
        self.check(recipe)
        write_atomically(self.folder / "recipe.yaml", recipe.to_yaml())

    def check(self, recipe: Recipe) -> None:
        """Raise :class:`InputError` where the directory belongs to another recipe or to something else altogether."""
        path = self.folder / "recipe.yaml"
        if path.is_file():
            if (found := recipes.load(path).run_sha256) != recipe.run_sha256:
                raise InputError(
                    f"{self.folder}: holds a run of another recipe (sha256 {found[:12]}, this one is"
                    f" {recipe.run_sha256[:12]}); name another folder with --output, or move that one away"
                )
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise InputError(f"{self.folder}: is not empty and holds no recipe.yaml; name another folder with --output")

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was saved to its end; what a kill or a full disk left half-saved is deleted."""
        whole = []
        for path in self.checkpoints.glob("checkpoint-*"):
            if _is_whole(path):
                whole.append(path)
            else:
                shutil.rmtree(path)
        return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def tuned_name(recipe: Recipe) -> str:
    """How the tuned model is called in predictions and results."""
    return f"{recipe.name}@{recipe.version}"


def mark_complete(checkpoint: Path) -> None:
    """Record that ``checkpoint`` is whole: the sizes of all its files, written last and atomically."""
    sizes: dict[str, Any] = {p.name: p.stat().st_size for p in sorted(checkpoint.iterdir()) if p.is_file()}
    write_json(checkpoint / COMPLETE, sizes)


def _is_whole(checkpoint: Path) -> bool:
    marker = checkpoint / COMPLETE
    if not marker.is_file():
        return False
    files = read_json(marker).items()
    return all((checkpoint / name).is_file() and (checkpoint / name).stat().st_size == size for name, size in files)
