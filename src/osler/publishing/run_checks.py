"""The checks of the run that is to be published."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from osler.data import contamination as overlap
from osler.errors import InputError
from osler.publishing import folder
from osler.recipe import COMMIT, Recipe, find_tasks, read_task
from osler.recipe import licences as licence
from osler.runs import Run, tuned_name
from osler.storage import fingerprint, read_record, sha256_file
from osler.tasks import load_prompt


def manifest(run: Run, recipe: Recipe) -> list[str]:
    """There is one, of a finished training, and of these weights."""
    if not run.finished:
        return [f"{run.manifest}: is missing: training is not finished; run scripts/train.py again"]
    try:
        content = read_record(run.manifest, "recipe.sha256", "prompt_sha256", "environment.git_commit", "base")
        now = fingerprint(run.adapter)
    except InputError as error:
        return [str(error)]
    was = content.get("adapter_sha256")
    if was is None:
        return [
            f"{run.manifest}: adapter_sha256 is missing (an earlier Osler wrote it): nobody can tell whether training"
            f" made the weights in {run.adapter}; train again"
        ]
    if was != now:
        return [
            f"{run.adapter}: not the weights that training wrote (sha256 {now[:12]}, in manifest.json {was[:12]}):"
            " bring those back, or train again"
        ]
    return []


def git(run: Run, recipe: Recipe) -> list[str]:
    """It was trained from a commit, and from nothing but that commit."""
    trained = _read(run.manifest, "environment.git_commit")
    if trained is None:
        return [f"{run.manifest}: does not say which commit was trained from; see check manifest"]
    environment = trained["environment"]
    commit, dirty = environment["git_commit"], environment.get("git_dirty")
    if commit is None:
        return [f"{run.manifest}: environment.git_commit is null: trained outside a clone of Osler; train in one"]
    if not _commit(commit):
        return [f"{run.manifest}: environment.git_commit: {commit!r} is no commit; train in a clone of Osler"]
    if dirty is not False:
        return [
            f"{run.manifest}: environment.git_dirty is {str(dirty).lower()}: trained from {commit[:12]} and changes"
            " that nobody else has; commit them, and train again"
        ]
    return []


def evaluation(run: Run, recipe: Recipe) -> list[str]:
    """``results.json`` is of these weights, and of the prediction files there are."""
    try:
        results = read_record(run.results, "records")
    except InputError as error:
        return [f"{error}; {_evaluate(run)}"]
    if not results["records"]:
        return [f"{run.results}: no split in it; {_evaluate(run)}"]
    try:
        weights = run.weights(recipe)
    except InputError as error:
        return [str(error)]
    found, evaluated = [], results.get("weights_sha256") or {}
    for system, now in weights.items():
        was = evaluated.get(system)
        if was is None:
            found.append(
                f"{run.results}: weights_sha256 has no {system}: nobody can tell which were scored; {_evaluate(run)}"
            )
        elif was != now:
            found.append(
                f"{run.results}: of other weights of {system} (sha256 {was[:12]}) than there are now ({now[:12]});"
                f" {_evaluate(run)}"
            )
    for record in results["records"]:
        if tuned_name(recipe) not in record["systems"]:
            found.append(f"{run.results}: {record['split']} was not answered by {tuned_name(recipe)}; {_evaluate(run)}")
        asked = {"task_version": recipe.task.version, "prompt_sha256": (_read(run.manifest) or {}).get("prompt_sha256")}
        for key, value in asked.items():
            if record.get(key) != value:
                found.append(
                    f"{run.results}: {key} of {record['split']} is {record.get(key)}, and was {value} in training;"
                    f" {_evaluate(run)}"
                )
    for path, sha256 in run.scored_answers(results).items():
        if not path.is_file():
            found.append(f"{path}: is missing, and results.json was made from it; {_evaluate(run)}")
        elif (now := sha256_file(path)) != sha256:
            found.append(
                f"{path}: not what results.json was made from (sha256 {now[:12]}, there {sha256[:12]});"
                f" {_evaluate(run)}"
            )
    return found or _computed_again(run, recipe)


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
    return [f"{run.results}: not what its prediction files give: {made.decisive or missed[0]}; {_evaluate(run)}"]


def splits(run: Run, recipe: Recipe) -> list[str]:
    """Every split that the recipe evaluates has its numbers."""
    results = _read(run.results, "records")
    there = {record["split"] for record in results["records"]} if results else set()
    return [
        f"{run.results}: {split}, which the recipe evaluates, is not in it: get its data (see tasks/{recipe.task.name}/"
        f"README.md) and {_evaluate(run)}"
        for split in recipe.evaluation.splits
        if split not in there
    ]


def same_recipe(run: Run, recipe: Recipe) -> list[str]:
    """Recipe and prompt are those that were trained with."""
    trained = _read(run.manifest, "recipe.sha256", "prompt_sha256")
    if trained is None:
        return [f"{run.manifest}: does not say which recipe was trained; see check manifest"]
    found = []
    was, now = trained["recipe"].get("run_sha256"), recipe.run_sha256
    if was is None and trained["recipe"]["sha256"] != recipe.sha256:
        found.append(
            f"{run.manifest}: recipe.run_sha256 is missing (an earlier Osler wrote it), and {recipe.path} has changed"
            " since, if perhaps only in what it evaluates; train again"
        )
    elif was not in (None, now):
        found.append(
            f"{recipe.path}: not what was trained with (sha256 {now[:12]}, in manifest.json {was[:12]}): bring that one"
            " back, or train this one"
        )
    task = find_tasks(recipe.path) / recipe.task.name
    asked = load_prompt(task).sha256
    if asked != trained["prompt_sha256"]:
        found.append(
            f"{task / read_task(task).prompt}: not the prompt that was trained with (sha256 {asked[:12]}, in"
            f" manifest.json {trained['prompt_sha256'][:12]}): bring that one back, or train again"
        )
    return found


def pins(run: Run, recipe: Recipe) -> list[str]:
    """Others can get the same base model and the same data."""
    found = []
    if Path(recipe.base.model).expanduser().is_dir():
        found.append(
            f"{recipe.path}: base.model: {recipe.base.model} is a folder of this machine; name the Hub id and revision"
            " it was copied from, and train again"
        )
    elif not _commit(recipe.base.revision):
        found.append(f"{recipe.path}: base.revision: {recipe.base.revision} pins nothing; expected {COMMIT[1]}")
    task = find_tasks(recipe.path) / recipe.task.name
    learnt = (_read(run.data_report) or {}).get("provenance", {}).get("revision")
    hub = read_task(task).source.hub  # that its revision is a commit, and everything else a hash, its type says
    revision = hub.revision if hub else None
    if learnt not in (None, revision):
        found.append(f"{task / 'task.yaml'}: source.revision: {revision} is not what was trained on, {learnt}")
    return found


def _evaluate(run: Run) -> str:
    return f"run scripts/evaluate.py {run.folder} --merged"


def _commit(revision: str | None) -> bool:
    return revision is not None and re.fullmatch(COMMIT[0], revision) is not None


def parity(run: Run, recipe: Recipe) -> list[str]:
    """The merged model answers as the adapter does."""
    if recipe.lora is None:
        return []
    results = _read(run.results, "records")
    if results is None or not run.merged.is_dir():
        return [f"{run.merged}: no merged model: {_evaluate(run)}"]
    found = []
    for record in results["records"]:
        measured, where = record.get("parity"), f"{run.results}: {record['split']}"
        if measured is None:
            found.append(f"{where}: the merged model was not compared with the adapter; {_evaluate(run)}")
        elif not measured["holds"]:
            moved = measured["max_probability_difference"]
            found.append(
                f"{where}: the merged model is another: {measured['same_ranking']} of {measured['n']} rankings are the"
                f" same{'' if moved is None else f', probabilities differ by up to {moved:.2g}'}; allowed are"
                f" {measured['bound']:g}; move {run.merged} away, and {_evaluate(run)}"
            )
    return found


def contamination(run: Run, recipe: Recipe) -> list[str]:
    """No held-out case stands in the training data, unless the recipe says why.

    What training refuses is refused here: the same case beyond doubt. Near-duplicates and n-grams stand in the card.
    """
    results = _read(run.results, "records")
    if results is None:
        return [f"{run.results}: does not say how the held-out cases overlap with training; {_evaluate(run)}"]
    found = []
    for record in results["records"]:
        where, measured = f"{run.results}: {record['split']}", record.get("contamination")
        if measured is None:
            found.append(f"{where}: overlap with the training data was not measured; {_evaluate(run)}")
            continue
        for name in overlap.REFUSED:
            cases = measured[name]["cases"] if measured[name] else 0
            if cases and not measured.get("allowed"):
                found.append(
                    f"{where}: {cases:,} of {record['n']:,} cases are in the training data ({name}, such as"
                    f" {measured[name]['worst'][0][0]}): take them out and train again, or give the recipe an"
                    f" allow_overlap: {{{record['split']}: REASON}}, and {_evaluate(run)}"
                )
    return found


def licences(run: Run, recipe: Recipe) -> list[str]:
    """The licence of the model is one that those of its base and of its data permit."""
    ours, where = recipe.publish.license, f"{recipe.path}: publish.license: {recipe.publish.license}"
    if ours not in licence.KNOWN or ours in licence.DATA_ONLY:
        known = sorted(licence.KNOWN - licence.DATA_ONLY)
        close = difflib.get_close_matches(ours, known, n=1)
        return [f"{where} is not a licence known here{f'; did you mean {close[0]}?' if close else ''}; {_terms()}"]
    sources = {
        f"base.model {recipe.base.model}": (
            licence.base_licence(recipe.base.model, recipe.base.revision),
            f"`hf download {recipe.base.model} README.md --revision {recipe.base.revision}` gets its card",
        )
    }
    for name in folder.task_names(recipe):
        task = find_tasks(recipe.path) / name
        sources[str(task / "task.yaml")] = (read_task(task).license, "write it into that file as `license:`")
    found = []
    for source, (of_source, way_out) in sources.items():
        if of_source is None:
            found.append(f"{source}: its licence is not known; {way_out}")
        elif of_source not in licence.KNOWN:
            found.append(f"{source}: what its licence {of_source} asks of a model is not known here; {_terms()}")
        elif not licence.permits(of_source, ours):
            found.append(f"{where} is not what {source} permits, which is {of_source}; {_terms()}")
    return found


def _terms() -> str:
    return "read its terms, then choose another publish.license or say --allow licence=REASON"


def _read(path: Path, *keys: str) -> dict[str, Any] | None:
    """None where the check ``manifest`` or ``evaluation`` says what is wrong with the file."""
    try:
        return read_record(path, *keys)
    except InputError:
        return None
