"""The checks of the run that is to be published."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from osler.data import contamination as overlap
from osler.errors import InputError
from osler.governance import licences as licence
from osler.recipe import COMMIT, Recipe, find_tasks, read_task
from osler.runs import (
    Run,
    changed_predictions,
    changed_recipe,
    changed_scored_weights,
    changed_weights,
    tuned_name,
)
from osler.succession import deciding
from osler.tasks import load_prompt

C = TypeVar("C")


def manifest(run: Run, recipe: Recipe) -> list[str]:
    """It is whole, and of these weights."""
    try:
        changed = list(changed_weights(run, run.read_manifest()))
    except InputError as error:
        return [str(error)]
    return [f"{run.folder}/{mismatch}: bring that back, or train again" for mismatch in changed]


def git(run: Run, recipe: Recipe) -> list[str]:
    """It was trained from a commit, and from nothing but that commit."""
    trained = _read(run.read_manifest)
    if trained is None:
        return [f"{run.manifest_path}: does not say which commit was trained from; see check manifest"]
    commit, dirty = trained.environment.git_commit, trained.environment.git_dirty
    if commit is None:
        return [f"{run.manifest_path}: environment.git_commit is null: trained outside a clone of Osler; train in one"]
    if not _commit(commit):
        return [f"{run.manifest_path}: environment.git_commit: {commit!r} is no commit; train in a clone of Osler"]
    if dirty is not False:
        return [
            f"{run.manifest_path}: environment.git_dirty is {str(dirty).lower()}: trained from {commit[:12]} and"
            " changes that nobody else has; commit them, and train again"
        ]
    return []


def evaluation(run: Run, recipe: Recipe) -> list[str]:
    """``results.json`` is of these weights, and of the prediction files there are."""
    try:
        results = run.read_results()
    except InputError as error:
        return [f"{error}; {_evaluate(run)}"]
    if not results.records:
        return [f"{run.results_path()}: no split in it; {_evaluate(run)}"]
    try:
        weights = run.weights(recipe)
    except InputError as error:
        return [str(error)]
    problems = [
        f"{run.results_path()}: weights_sha256 has no {system}: nobody can tell which were scored"
        for system in weights
        if system not in (results.weights_sha256 or {})
    ]
    trained = _read(run.read_manifest)
    asked = {"task_version": recipe.task.version, "prompt_sha256": trained and trained.prompt_sha256}
    for record in results.records:
        if tuned_name(recipe) not in record.systems:
            problems.append(f"{run.results_path()}: {record.split} was not answered by {tuned_name(recipe)}")
        for key, value in asked.items():
            if (scored := getattr(record, key)) != value:
                problems.append(
                    f"{run.results_path()}: {key} of {record.split} is {scored}, and was {value} in training"
                )
    changed = [*changed_scored_weights(run, recipe, results), *changed_predictions(run, results)]
    problems += [f"{run.folder}/{mismatch}" for mismatch in changed]
    return [f"{problem}; {_evaluate(run)}" for problem in problems] or _computed_again(run, recipe)


def _computed_again(run: Run, recipe: Recipe) -> list[str]:
    """Whether the numbers are those of the prediction files: the bytes of ``results.json`` come out again."""
    from osler.reproduction import reproduction, target

    try:
        made = reproduction.scores(target.Target(str(run.folder), recipe, run, run.folder / "expected.json"))
    except InputError as error:
        return [str(error)]
    if made.verdict == "reproduced":
        return []
    missed = [f"{figure.system}, {figure.split}, {figure.metric}" for figure in made.figures if not figure.inside]
    return [f"{run.results_path()}: not what its prediction files give: {made.decisive or missed[0]}; {_evaluate(run)}"]


def splits(run: Run, recipe: Recipe) -> list[str]:
    """Every split that the recipe evaluates has its numbers."""
    results = _read(run.read_results)
    there = {record.split for record in results.records} if results else set()
    return [
        f"{run.results_path()}: {split}, which the recipe evaluates, is not in it: get its data (see"
        f" tasks/{recipe.task.name}/README.md) and {_evaluate(run)}"
        for split in recipe.evaluation.splits
        if split not in there
    ]


def same_recipe(run: Run, recipe: Recipe) -> list[str]:
    """Recipe and prompt are those that were trained with."""
    trained = _read(run.read_manifest)
    if trained is None:
        return [f"{run.manifest_path}: does not say which recipe was trained; see check manifest"]
    problems = [
        f"{run.folder}/{mismatch}: bring that one back, or train this one"
        for mismatch in changed_recipe(run, recipe, trained)
    ]
    task = find_tasks(recipe.path) / recipe.task.name
    asked = load_prompt(task).sha256
    if asked != trained.prompt_sha256:
        problems.append(
            f"{task / read_task(task).prompt}: not the prompt that was trained with (sha256 {asked[:12]}, in"
            f" manifest.json {trained.prompt_sha256[:12]}): bring that one back, or train again"
        )
    return problems


def pins(run: Run, recipe: Recipe) -> list[str]:
    """Others can get the same base model and the same data."""
    problems = []
    if Path(recipe.base.model).expanduser().is_dir():
        problems.append(
            f"{recipe.path}: base.model: {recipe.base.model} is a folder of this machine; name the Hub id and revision"
            " it was copied from, and train again"
        )
    elif not _commit(recipe.base.revision):
        problems.append(f"{recipe.path}: base.revision: {recipe.base.revision} pins nothing; expected {COMMIT[1]}")
    task, report = find_tasks(recipe.path) / recipe.task.name, _read(run.read_data_report)
    learnt = report.provenance.get("revision") if report else None
    hub = read_task(task).source.hub  # that its revision is a commit, and everything else a hash, its type says
    revision = hub.revision if hub else None
    if learnt not in (None, revision):
        problems.append(f"{task / 'task.yaml'}: source.revision: {revision} is not what was trained on, {learnt}")
    return problems


def decision(run: Run, recipe: Recipe) -> list[str]:
    """A successor takes its champion's place by a decision that a person signed."""
    if not deciding.is_successor(run):
        return []
    try:
        deciding.signed(run)
    except InputError as error:
        return [str(error)]
    return []


def _evaluate(run: Run) -> str:
    return f"run scripts/evaluate.py {run.folder}{'' if run.recipe().lora is None else ' --merged'}"


def _commit(revision: str | None) -> bool:
    return revision is not None and re.fullmatch(COMMIT[0], revision) is not None


def parity(run: Run, recipe: Recipe) -> list[str]:
    """The merged model answers as the adapter does."""
    if recipe.lora is None:
        return []
    results = _read(run.read_results)
    if results is None or not run.merged_path.is_dir():
        return [f"{run.merged_path}: no merged model: {_evaluate(run)}"]
    problems = []
    for record in results.records:
        where, measured = f"{run.results_path()}: {record.split}", record.parity
        if measured is None:
            problems.append(f"{where}: the merged model was not compared with the adapter; {_evaluate(run)}")
        elif not measured.holds:
            moved = measured.max_probability_difference
            problems.append(
                f"{where}: the merged model is another: {measured.same_ranking} of {measured.n} rankings are the"
                f" same{'' if moved is None else f', probabilities differ by up to {moved:.2g}'}; allowed are"
                f" {measured.bound:g}; move {run.merged_path} away, and {_evaluate(run)}"
            )
    return problems


def contamination(run: Run, recipe: Recipe) -> list[str]:
    """No held-out case stands in the training data, unless the recipe says why.

    What training refuses is refused here: the same case beyond doubt. Near-duplicates and n-grams stand in the card.
    """
    results = _read(run.read_results)
    if results is None:
        return [f"{run.results_path()}: does not say how the held-out cases overlap with training; {_evaluate(run)}"]
    problems = []
    for record in results.records:
        where, measured = f"{run.results_path()}: {record.split}", record.contamination
        if measured is None:
            problems.append(f"{where}: overlap with the training data was not measured; {_evaluate(run)}")
            continue
        for name in overlap.REFUSED:
            shared = getattr(measured, name)
            if shared and shared.cases and not measured.allowed:
                problems.append(
                    f"{where}: {shared.cases:,} of {record.n:,} cases are in the training data ({name}, such as"
                    f" {shared.worst[0][0]}): take them out and train again, or give the recipe an"
                    f" allow_overlap: {{{record.split}: REASON}}, and {_evaluate(run)}"
                )
    return problems


def licences(run: Run, recipe: Recipe) -> list[str]:
    """The licence of the model is one that those of its base and of its data permit."""
    folder = Path(recipe.base.model).expanduser()
    if folder.is_dir():
        card = f"begin {folder / 'README.md'} with the lines `---`, `license: NAME` (such as apache-2.0) and `---`"
    else:
        card = f"`hf download {recipe.base.model} README.md --revision {recipe.base.revision}` gets its card"
    base = {f"base.model {recipe.base.model}": (licence.base_licence(recipe.base.model, recipe.base.revision), card)}
    return licence.conflicts(recipe, {**base, **licence.task_licences(recipe)})


def _read(read: Callable[[], C]) -> C | None:
    """None where the check ``manifest`` or ``evaluation`` says what is wrong with the file."""
    try:
        return read()
    except InputError:
        return None
