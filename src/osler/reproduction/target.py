"""What is to be reproduced: a recipe, a run directory or a version published on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osler.errors import InputError, show
from osler.recipe import Recipe, find_tasks, load_recipe, read_task
from osler.reproduction.differences import Circumstances, circumstances
from osler.reproduction.expected import Depth, Expected, expected_path, read_expected
from osler.runs import Results, Run, TrainedContent, find_run
from osler.storage import read_json


@dataclass(frozen=True)
class Target:
    """What was published, wherever it stands.

    Attributes:
        name: as it was given.
        recipe: as it is there now.
        run: the published files; None where a recipe is trained again.
        expected_file: where its expected file is, or should be.
        revision, commit: of a published version.
    """

    name: str
    recipe: Recipe
    run: Run | None
    expected_file: Path
    revision: str | None = None
    commit: str | None = None

    def results(self) -> tuple[Run, Results]:
        """The run and its ``results.json``. Raises :class:`InputError` where there is none."""
        assert self.run is not None, "find() gives every depth but training a run"
        if not self.run.results_path().is_file():
            raise InputError(
                f"{self.run.results_path()}: is not there, so no number is to be had: run scripts/evaluate.py"
            )
        results = self.run.read_results()
        if not results.records:
            raise InputError(f"{self.run.results_path()}: has no records in it: run scripts/evaluate.py again")
        return self.run, results

    def expected(self) -> Expected:
        """The expected file. Raises :class:`InputError` where there is none, or it is of another recipe."""
        path, recipe = self.expected_file, self.recipe
        if not path.is_file():
            raise InputError(
                f"{path}: is not there, so {self.name} counts as not run yet and no figure is expected; train and"
                " evaluate it, then scripts/record_expected.py RECIPE RUN…"
            )
        expected = read_expected(path)
        if expected.recipe_sha256 != recipe.sha256:
            raise InputError(
                f"{recipe.path}: changed since its results were recorded (sha256 {recipe.sha256[:12]}, in {path.name}"
                f" {show(expected.recipe_sha256[:12])}): bring that one back, or make the next version of it"
            )
        return expected

    def trained(self) -> tuple[Circumstances, TrainedContent]:
        """Under which circumstances, and of what, the published weights were made."""
        if self.run is not None:
            manifest = self.run.read_manifest()
            return circumstances(manifest), manifest.content
        expected = self.expected()
        hardware = {name: getattr(expected.hardware, name) for name in ("cpu", "cores", "gpus")}
        return Circumstances(expected.packages, hardware, expected.threads), expected.content


def other_release(recipe: Recipe) -> str | None:
    """What to say before hours are spent on another release of data than the recipe's expected file was made with;
    None where it is the same, or the task pins its data."""
    path, now = (
        expected_path(recipe.path),
        read_task(find_tasks(recipe.path) / recipe.task.name).source.release_sha256(),
    )
    was = read_expected(path).content.release_sha256 if now and path.is_file() else None
    if was in (None, now):
        return None
    return (
        f"warning: the data of {recipe.task.name} are of another release (sha256 {str(now)[:12]}…) than those of"
        f" {path.name} ({str(was)[:12]}…): labels, splits and figures are not those published"
    )


def find(name: str, depth: Depth) -> Target:
    """The target that ``name`` means.

    Raises :class:`InputError` where it is none of the three, a published version cannot be had, or the depth needs a
    run and a recipe has none in ``runs/``.
    """
    path = Path(name)
    if path.is_dir():
        run = Run(path)
        recipe = run.recipe()
        return Target(name, recipe, run, _expected_of(run, recipe))
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        recipe = load_recipe(path)
        run = Run(Path("runs") / recipe.name / recipe.version)
        if depth == "training":
            return Target(name, recipe, None, expected_path(path))
        if not run.finished:
            raise InputError(
                f"{name}: --{depth} needs a run of it, and {run.folder} is none: take --training, or name the"
                " repository it was published in"
            )
        if run.recipe().run_sha256 != recipe.run_sha256:
            raise InputError(f"{run.folder}: a run of another recipe than {name} is now; name the run directory itself")
        return Target(name, recipe, run, expected_path(path))
    found = find_run(name)
    return Target(name, found.run.recipe(), found.run, found.run.folder / "expected.json", found.revision, found.commit)


def _expected_of(run: Run, recipe: Recipe) -> Path:
    """The expected file beside a run, or else the one that was recorded of exactly this recipe."""
    beside = run.folder / "expected.json"
    if beside.is_file():
        return beside
    shipped = sorted((find_tasks(run.folder).parent / "recipes").rglob("*.expected.json"))
    return next((path for path in shipped if read_json(path).get("recipe_sha256") == recipe.sha256), beside)
