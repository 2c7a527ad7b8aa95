"""A finished run, scored on its held-out splits, on a benchmark or on perturbed cases: answers, results, report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from osler.data import contamination
from osler.errors import InputError
from osler.evaluation import fusion, report, results, robustness, summary
from osler.recipe import Recipe, find_tasks, read_task, trackers_of
from osler.runs import Contamination, Manifest, Results, Run, check_prompt, check_trained, merged_name, tuned_name
from osler.storage import read_json
from osler.tracking import tracked, without_ids

if TYPE_CHECKING:
    from osler.tasks import Task


def evaluate(
    run: Run,
    benchmark: str | None = None,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
    perturb: bool = False,
    merge: bool = False,
) -> str | None:
    """Predictions for every system; then, from the files alone and by the main process, results and their table.

    Args:
        benchmark: the task to answer instead of the recipe's own.
        splits: only these; None for all.
        limit: only so many cases of each split, the first.
        perturb: instead, perturbed copies of the first split's cases.
        merge: with the merged model, which is made where there is none; one that is there always takes part.

    Returns the table; None in all processes but the main one. Raises :class:`InputError` where the run is not finished
    or not evaluable, or none of the data is on this machine.
    """
    recipe = run.recipe()
    manifest = check_trained(run, recipe)
    if recipe.stage == "pretrain":
        raise InputError(
            f"{run.folder}: pre-trained, it answers nothing; fine-tune {run.adapter_path}, evaluate that run"
        )
    if merge and recipe.lora is None:
        raise InputError(
            f"{run.folder}: without lora:, {run.adapter_path} is a whole model already: leave out --merged"
        )
    if benchmark and recipe.head is not None:
        raise InputError(
            f"--benchmark {benchmark}: {run.folder} is a classifier of its own labels, and has no others; a model of a"
            " recipe without head: answers questions"
        )
    weights = run.weights(recipe)
    tasks = find_tasks(run.folder)
    known = _benchmark_splits(tasks / benchmark) if benchmark else recipe.evaluation.splits
    for split in splits or []:
        if split not in known:
            raise InputError(f"--split {split}: {benchmark or 'the recipe'} evaluates {', '.join(known)}")
    asked = list(splits or known)
    overlap = None if benchmark else run.read_data_report().contamination
    from accelerate import PartialState  # imports torch, as do the next

    from osler.evaluation import prediction
    from osler.models import merge_run
    from osler.tasks import load_task

    task = load_task(tasks / benchmark) if benchmark else load_task(tasks / recipe.task.name, recipe.task.panel)
    if not benchmark:
        check_prompt(run, manifest, task.name, task.prompt.sha256)
    for split, measured in overlap.splits.items() if overlap else ():
        here = len(task.source.split(split)) if split in asked else 0
        if here and measured.n != here:
            raise InputError(
                f"{run.folder}: {split} has {here:,} cases now, and had {measured.n:,} when training looked for them in"
                " its rows; bring those back, or train again"
            )
    if not benchmark:
        _check_release(run, manifest, read_task(tasks / recipe.task.name).source.release_sha256())
    predictor = prediction.Predictor(run, recipe, task, prediction.run_models(run, recipe), limit)
    is_main_process = PartialState().is_main_process
    with run.locked("evaluating") if is_main_process else nullcontext():
        if merge and merged_name(recipe) not in weights:
            merge_run(run, recipe)
            weights = run.weights(recipe)
        if perturb:
            perturbations = robustness.planned_perturbations(task.source.perturbations)
            files = predictor.predict(asked[:1], robustness.systems(recipe), perturbations)
        else:
            merged = merged_name(recipe) in weights and not benchmark
            files = predictor.predict(asked, prediction.evaluated_systems(recipe, task, merged))
        fused = None
        if is_main_process and files and recipe.evaluation.fused and not (perturb or benchmark):
            fused, mixed = fusion.write(run, recipe, files, limit)
            files += mixed
    if not is_main_process:
        return None
    if not files:
        raise InputError(f"{task.name}: none of its data is on this machine; see tasks/{task.name}/README.md")
    if perturb:
        return _robustness(run, recipe, task, asked[0], limit)
    if benchmark:
        overlap = _benchmark_overlap(recipe, load_task(tasks / recipe.task.name, recipe.task.panel), task, asked, limit)
    output = run.results_path(benchmark, splits, limit)
    scored = results.score(
        files,
        output,
        recipe.evaluation.resamples,
        compared=tuned_name(recipe),
        task_version=task.version,
        prompt_sha256=task.prompt.sha256,
        contamination=overlap,
        weights_sha256=weights,
        dtype=recipe.base.dtype,
        fused=fused,
        limit=limit,
    )
    texts = report.case_texts(task.source, asked)
    report.write(output, scored, files, texts, task.labels, task.splits, task.source.genes)
    if limit is None and splits is None:
        _track(run, recipe, task, output, scored, files)
    return summary.render_table(scored)


def _check_release(run: Run, manifest: Manifest, here: str | None) -> None:
    """Raise :class:`InputError` where the release of the data is another one than was trained on: who is held out
    follows from it, and baselines would learn from others."""
    if manifest.release_sha256 != here:
        trained, found = (f"sha256 {sha256[:12]}" if sha256 else "none" for sha256 in (manifest.release_sha256, here))
        raise InputError(
            f"{run.folder}: trained on another release of its data ({trained}) than OSLER_DATA_DIR has ({found}); bring"
            " that one back, or train again"
        )


def _robustness(run: Run, recipe: Recipe, task: Task, split: str, limit: int | None) -> str:
    """Score the answers to perturbed cases; the report of the run, if there is one, shows them, too."""
    measured = robustness.score(run, recipe, task.source.perturbations, split, limit)
    if limit is None and run.results_path().is_file():
        write_report(run, recipe, task)
    return summary.render_robustness(measured)


def write_report(run: Run, recipe: Recipe, task: Task) -> None:
    """The report of a run's results, which are there, again: with what was measured since."""
    scored = run.read_results()
    files = list(run.scored_predictions(scored))
    texts = report.case_texts(task.source, recipe.evaluation.splits)
    report.write(run.results_path(), scored, files, texts, task.labels, task.splits, task.source.genes)
    _track(run, recipe, task, run.results_path(), scored, files)


def _track(run: Run, recipe: Recipe, task: Task, output: Path, scored: Results, files: Sequence[Path]) -> None:
    """Hand results and report, both without single cases, to the trackers that training reported to."""
    if not trackers_of(recipe):
        return
    page = report.page(output, scored, files, None, task.labels, task.splits, task.source.genes, browsed=0)
    texts = {
        output.name: json.dumps(without_ids(read_json(output)), indent=1, ensure_ascii=False),
        report.report_path(output).name: page,
        f"{output.stem}.txt": summary.render_table(scored),
    }
    tuned, figures = tuned_name(recipe), {}
    for record in scored.records:
        for name, metric in record.systems[tuned].metrics.items() if tuned in record.systems else ():
            figures[f"{record.task}/{record.split}/{name}"] = metric.value
    with tracked(recipe, run, anew=False) as tracking:
        tracking.log(output.stem, texts, figures)


def _benchmark_splits(folder: Path) -> Sequence[str]:
    """The splits of the benchmark in ``folder``. Raises :class:`InputError` where there is none."""
    if not (folder / "task.yaml").is_file():
        raise InputError(
            f"--benchmark {folder.name}: no such task in {folder.parent}; copy tasks/{folder.name} of Osler there"
        )
    task = read_task(folder)
    if task.source.trains_on is not None:
        raise InputError(f"--benchmark {folder.name}: a task to train on; benchmarks have `kind: benchmark`")
    return list(task.splits)


def _benchmark_overlap(
    recipe: Recipe, own: Task, benchmark: Task, splits: Sequence[str], limit: int | None
) -> Contamination:
    """How the first ``limit`` cases of a benchmark overlap with what the recipe's ``own`` task taught."""
    from osler.data import load_components

    training_cases = [case for component in load_components(recipe, own) for case in component.rows]
    return contamination.measure(training_cases, {split: benchmark.source.split(split)[:limit] for split in splits})
