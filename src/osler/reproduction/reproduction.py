"""A published number computed again, at three depths; what comes of it is a :class:`Reproduction`.

* ``scores``: the metrics, from the published predictions. Needs neither a model nor the data.
* ``predictions``: the answers, from the published weights, and the metrics from these.
* ``training``: everything, from the recipe; its figures are to be inside the tolerance of the expected file.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.errors import InputError
from osler.evaluation import fusion, results
from osler.recipe import FUSED, Recipe, find_tasks
from osler.reproduction import differences, rescoring
from osler.reproduction.differences import Difference
from osler.reproduction.expected import METRICS, Expected
from osler.reproduction.outcome import Figure, Reproduction
from osler.reproduction.rescoring import Agreement
from osler.reproduction.target import Target
from osler.runs import (
    Prediction,
    Record,
    Results,
    Run,
    describe_environment,
    merged_name,
    read_predictions,
    repeated_counts,
    tuned_name,
    write_predictions,
)
from osler.storage import checkout, end_with_parent, fingerprint, read_json, sha256_file

if TYPE_CHECKING:  # osler.tasks.task imports transformers
    from osler.tasks import Task

# Models among the other systems: on another machine the last bits of their probabilities differ, and an answer may.
MODELS = ("base_model", "base_model_with_labels", "encoder", FUSED)
SCRIPTS = checkout.ROOT / "scripts"


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def scores(target: Target) -> Reproduction:
    """Compute the metrics of the published predictions again: ``results.json`` has to come out bit for bit.

    So has every answer of ``fused``, from those of its parts. Every file that the manifest, the results or the expected
    file hold a hash of is compared with it first. Raises :class:`InputError` where there are no results.
    """
    run, published = target.results()
    differing = differences.changed_files(run, target.recipe)
    if target.expected_file.is_file():
        differing += differences.contradictions(target.expected_file, target.recipe, published)
    figures: list[Figure] = []
    answers: list[Agreement] = []
    if not differing:
        with tempfile.TemporaryDirectory() as folder:
            again, files = Path(folder) / "results.json", list(run.scored_predictions(published))
            fused = _fuse(target.recipe, published, files)
            answers = _fused_answers(run, published, fused)
            got = _score(run, target.recipe, published, files, again, fused)
            figures = _figures(published, got)
            if again.read_bytes() != run.results_path().read_bytes():
                where = run.results_path().name
                first = differences.first_in_json(read_json(run.results_path()), read_json(again), where)
                layout = Difference(
                    f"{where}, spacing, order or nulls", sha256_file(run.results_path()), sha256_file(again)
                )
                differing.append(first or layout)
    environment = describe_environment()  # taken last: by now it is known whether there is a GPU
    other = differences.other_circumstances(target.trained()[0], environment)
    return Reproduction(target, "scores", other + differing, figures, answers, environment)


def _fuse(recipe: Recipe, published: Results, files: Sequence[Path]) -> fusion.Fused | None:
    """The answers of ``fused`` computed again from those of its parts in ``files``; None where there are none."""
    if published.fused is None:
        return None
    fused = fusion.fuse_files(files, tuned_name(recipe))
    if fused is None:
        raise InputError("results.json has the system fused, and the prediction files not what it is made of")
    return fused


def _fused_answers(run: Run, published: Results, fused: fusion.Fused | None) -> list[Agreement]:
    """The published answers of ``fused`` beside those that its parts make."""
    again = fused.answers if fused else {}
    published_rows = {
        record.split: _by_case(run.prediction_path(record.task, record.split, FUSED))
        for record in published.records
        if record.split in again
    }
    return [
        rescoring.compare(rows, sorted(again[split], key=lambda row: row.case_id))
        for split, rows in published_rows.items()
    ]


def _score(
    run: Run, recipe: Recipe, published: Results, files: Sequence[Path], output: Path, fused: fusion.Fused | None
) -> Results:
    """The results of ``files``, made as the published ones were."""
    first = published.records[0]
    return results.score(
        files,
        output,
        published.resamples,
        published.seed,
        compared=tuned_name(recipe),
        task_version=first.task_version,
        prompt_sha256=first.prompt_sha256,
        contamination=run.read_data_report().contamination,
        weights_sha256=published.weights_sha256,
        dtype=recipe.base.dtype,
        fused=None if fused is None else fused.fusion,
    )


def _figures(published: Results, got: Results, systems: Collection[str] | None = None) -> list[Figure]:
    """The published metrics of all systems, or of ``systems``, which have to come out the same."""
    here = {record.split: record for record in got.records}
    figures = []
    for record in published.records:
        for system in record.systems if systems is None else systems:
            metrics = record.systems[system].metrics
            for name in (name for name in METRICS if name in metrics):
                now = _value(here.get(record.split), system, name)
                figures.append(Figure(record.split, system, name, metrics[name].value, 0.0, now))
    return figures


def _value(record: Record | None, system: str, metric: str) -> float | None:
    """A metric's value in a record of results; None where there is none."""
    if record is None or system not in record.systems:
        return None
    metrics = record.systems[system].metrics
    return metrics[metric].value if metric in metrics else None


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def predictions(target: Target) -> Reproduction:
    """Have the published weights answer all cases again: the adapter's and, where it was scored, the merged model's.

    The mixture ``fused`` is computed again from these answers and the published ones of its other parts. Before that
    come the checks of :func:`scores`, and whether base, template, prompt and data are those of the
    publication. A split whose data is not on this machine stays undecided. Raises :class:`InputError` where there are
    no results, or base or data cannot be had.
    """
    before = scores(target)
    if before.decisive:
        return Reproduction(target, "predictions", before.differences)
    run, published = target.results()
    recipe = target.recipe
    import torch

    from osler.evaluation import prediction
    from osler.tasks import load_task

    models = prediction.run_models(run, recipe)
    chosen = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    environment, (circumstances, content) = describe_environment(), target.trained()
    differing = [
        *differences.other_circumstances(circumstances, environment, torch.get_num_threads()),
        *differences.other_content(content, _pinned(recipe, chosen)),
    ]
    if any(difference.content for difference in differing):
        return Reproduction(target, "predictions", differing)
    records = [record for record in published.records if chosen.source.split(record.split)]
    for record in records:
        differing += _other_cases(
            chosen, record.split, run.prediction_path(chosen.name, record.split, tuned_name(recipe))
        )
    if any(difference.content for difference in differing):
        return Reproduction(target, "predictions", differing)
    systems = [name for name in (tuned_name(recipe), merged_name(recipe)) if name in published.records[0].systems]

    with tempfile.TemporaryDirectory() as folder:
        again = Run(Path(folder))
        splits = [record.split for record in records]
        prediction.Predictor(again, recipe, chosen, models).predict(splits, systems)
        now = {
            run.prediction_path(chosen.name, record.split, system): again.prediction_path(
                chosen.name, record.split, system
            )
            for record in records
            for system in systems
        }
        answers = [rescoring.compare(*map(_by_case, pair)) for pair in now.items()]
        here = published.model_copy(update={"records": tuple(records)})
        fused = _fuse(recipe, published, [now.get(path, path) for path in run.scored_predictions(published)])
        if fused is not None:
            answers += _fused_answers(run, here, fused)
            systems.append(FUSED)
            for record in records:
                path = again.prediction_path(chosen.name, record.split, FUSED)
                write_predictions(path, fused.answers[record.split])
                now[run.prediction_path(chosen.name, record.split, FUSED)] = path
        files = [now.get(path, path) for path in run.scored_predictions(here)]
        got = _score(run, recipe, published, files, again.results_path(), fused) if files else here
    return Reproduction(target, "predictions", differing, _figures(published, got, systems), answers)


def _pinned(recipe: Recipe, task: Task) -> dict[str, Any]:
    """What a manifest says of the base, its chat template, the prompt and a release of data that the task does not pin,
    as they are on this machine; no release where it is not here."""
    from osler.models import base_folder, load_tokenizer
    from osler.tasks import chat_template_sha256

    release = task.source.provenance(recipe.data).get("release_sha256")
    return {
        **({"release_sha256": release} if release else {}),
        "base_fingerprint": fingerprint(base_folder(recipe.base)),
        "prompt_sha256": task.prompt.sha256,
        "chat_template_sha256": chat_template_sha256(load_tokenizer(recipe.base)),
    }


def _by_case(path: Path) -> list[Prediction]:
    return sorted(read_predictions(path), key=lambda row: row.case_id)


def _other_cases(task: Task, split: str, published: Path) -> list[Difference]:
    """The first case of ``split`` that has another label here, or is not there."""
    was = {row.case_id: row.label for row in read_predictions(published)}
    now = {row.case_id: row.label for row in task.source.split(split)}
    other = [case for case in {**was, **now} if was.get(case) != now.get(case)]
    return [Difference(f"data: {split}, label of {case}", was.get(case), now.get(case)) for case in other[:1]]


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def training(target: Target, folder: Path, config_file: Path | None = None) -> Reproduction:
    """Train the recipe again in ``folder``, evaluate that run and compare it with the expected file.

    That is ``scripts/train.py``, by ``accelerate launch`` where there is a ``config_file``, then
    ``scripts/evaluate.py``. Killed, they go on where they were. Before the first of them, base, template, prompt and
    training data are compared with those of the publication: where they differ, nothing is trained.

    Raises:
        InputError: there is no expected file ("not run yet"), it is of another recipe, or ``folder`` is the run itself,
            the one that was recorded or something else altogether.
        subprocess.CalledProcessError: a script failed; it has said why.
    """
    expected, (circumstances, content) = target.expected(), target.trained()
    recipe, run = target.recipe, Run(folder)
    if target.run is not None and folder.resolve() == target.run.folder.resolve():
        raise InputError(f"{folder}: is the run that is to be reproduced; name another folder with --output")
    if run.finished and sha256_file(run.manifest_path) in _known_manifests(target, expected):  # or a copy of it
        raise InputError(
            f"{folder}: is the run that was recorded, which says nothing new; name another folder with --output"
        )
    run.check(recipe)
    results = target.run.read_results() if target.run is not None and target.run.results_path().is_file() else None
    differing = [] if target.run is None else differences.changed_files(target.run, recipe)
    differing += differences.contradictions(target.expected_file, recipe, results)
    if not differing and not run.finished:
        differing = [
            *differences.other_circumstances(circumstances, describe_environment()),
            *differences.other_content(content, _before_training(recipe)),
        ]
    if any(difference.content for difference in differing):
        return Reproduction(target, "training", differing)
    for command in _commands(target, run, expected, config_file):
        print(f"$ {shlex.join(['python', *command[1:]])}", flush=True)
        _call(command)
    made = run.read_manifest()
    figures, others = _trained_figures(
        recipe, expected, {record.split: record for record in run.read_results().records}
    )
    differing = [
        *differences.other_circumstances(circumstances, made.environment, made.threads),
        *differences.other_content(content, vars(made.content)),
        *(differences.other_weights(target.run.read_manifest(), made) if target.run else ()),
        *others,
    ]
    return Reproduction(target, "training", differing, figures, environment=made.environment)


def _known_manifests(target: Target, expected: Expected) -> set[str | None]:
    """The sha256 of the manifests of the published run and of the recorded one."""
    return {expected.manifest_sha256, *([sha256_file(target.run.manifest_path)] if target.run else [])}


def _before_training(recipe: Recipe) -> dict[str, Any]:
    """What the manifest of a training here would say of base, template, prompt and data."""
    from osler.data import build_training_data
    from osler.models import load_images, load_tokenizer
    from osler.tasks import load_task

    chosen = load_task(find_tasks(recipe.path) / recipe.task.name, recipe.task.panel)
    tokenizer = load_tokenizer(recipe.base)
    images = load_images(recipe.base, tokenizer) if chosen.has_images else None
    built = build_training_data(recipe, chosen, tokenizer, images)
    return {**_pinned(recipe, chosen), **repeated_counts(built.report)}


def _commands(target: Target, run: Run, expected: Expected, config_file: Path | None) -> list[list[str]]:
    """How to train and evaluate in ``run``, into which recipe and tasks of a published version are copied."""
    recipe, path = target.recipe, target.recipe.path
    if target.run is not None and (target.run.folder / "tasks").is_dir():
        run.open(recipe)
        shutil.copytree(target.run.folder / "tasks", run.folder / "tasks", dirs_exist_ok=True)
        path = run.folder / "recipe.yaml"
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(config_file)] if config_file else []
    merged = any(merged_name(recipe) in split.systems for split in expected.splits.values())
    return [
        [sys.executable, *launch, str(SCRIPTS / "train.py"), str(path), "--output", str(run.folder)],
        [sys.executable, str(SCRIPTS / "evaluate.py"), str(run.folder), *(["--merged"] if merged else [])],
    ]


def _call(command: Sequence[str]) -> None:
    """Run a script, which ends when we are killed: the next reproduction must not meet it in the same folder."""
    subprocess.run(command, check=True, preexec_fn=partial(end_with_parent, signal.SIGTERM))


def _trained_figures(
    recipe: Recipe, expected: Expected, got: Mapping[str, Record]
) -> tuple[list[Figure], list[Difference]]:
    """The figures that decide; and, where they differ, numbers of cases, and accuracies of other models, whose spread
    nobody has measured."""
    figures, others = [], []
    tuned = (tuned_name(recipe), merged_name(recipe))  # two forms of one model: they share figures and tolerance
    for split in (split for split in recipe.evaluation.splits if split in expected.splits):
        spread, cases = (expected.tolerance or {}).get(split, {}), expected.splits[split].n
        if split in got and got[split].n != cases:
            others.append(Difference(f"{split}, cases", cases, got[split].n))
        for system, metrics in expected.splits[split].systems.items():
            for name in (name for name in METRICS if name in metrics):
                was, now = metrics[name].value, _value(got.get(split), system, name)
                if system in tuned:
                    mean = expected.mean_over_runs(split, name)
                    figures.append(Figure(split, system, name, mean, spread.get(name), now))
                elif system not in MODELS:
                    figures.append(Figure(split, system, name, was, 0.0, now))
                elif name == "accuracy" and was != now:
                    others.append(Difference(f"{system}, {split}, accuracy", was, now, content=False))
    return figures, others
