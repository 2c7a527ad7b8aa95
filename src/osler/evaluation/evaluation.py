"""A finished run, scored on its held-out splits, on a benchmark or on perturbed cases: answers, results, report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from osler.data import contamination
from osler.errors import InputError
from osler.evaluation import report, results, robustness
from osler.recipe import Recipe, find_tasks, read_task
from osler.rendering import tables
from osler.runs import Run, merged_name, tuned_name
from osler.storage import read_record

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
    manifest = run.trained(recipe)
    if recipe.stage == "pretrain":
        raise InputError(f"{run.folder}: pre-trained, it answers nothing; fine-tune {run.adapter}, evaluate that run")
    if merge and recipe.lora is None:
        raise InputError(f"{run.folder}: without lora:, {run.adapter} is a whole model already: leave out --merged")
    weights = run.weights(recipe)
    tasks = find_tasks(run.folder)
    known: Sequence[str] = recipe.evaluation.splits
    if benchmark:
        known = _benchmark_splits(tasks / benchmark)
    for split in splits or []:
        if split not in known:
            raise InputError(f"--split {split}: {benchmark or 'the recipe'} evaluates {', '.join(known)}")
    if not benchmark:
        overlap = read_record(run.data_report, "contamination.splits", "contamination.settings")["contamination"]
    from accelerate import PartialState  # imports torch, as do the next

    from osler.data import mixture
    from osler.evaluation import prediction
    from osler.models import load_base, load_merged, load_tokenizer, load_tuned, merge_run
    from osler.tasks import load_task

    chosen = load_task(tasks / benchmark) if benchmark else load_task(tasks / recipe.task.name, recipe.task.panel)
    if not benchmark and manifest["prompt_sha256"] != chosen.prompt.sha256:
        raise InputError(f"{run.folder}: trained with another prompt than tasks/{chosen.name} has now; train again")
    state = PartialState(cpu=recipe.train.get("use_cpu", False))  # the first one made decides for all that follow
    device_map = None if state.device.type == "cpu" else {"": state.device}
    asked = list(splits or known)
    with run.evaluating() if state.is_main_process else nullcontext():
        if merge and merged_name(recipe) not in weights:
            merge_run(run, recipe)
            weights = run.weights(recipe)
        with_merged = merged_name(recipe) in weights and not benchmark
        files = prediction.run(
            run,
            recipe,
            chosen,
            asked[:1] if perturb else asked,
            limit,
            tuned=lambda: load_tuned(recipe.base, run.adapter, device_map),
            base=lambda: load_base(recipe.base, device_map),
            tokenizer=load_tokenizer(recipe.base),
            systems=robustness.systems(recipe) if perturb else None,
            perturbations=robustness.planned(chosen.source.perturbations) if perturb else (),
            merged=(lambda: load_merged(recipe.base, run.merged, device_map)) if with_merged else None,
        )
    if not state.is_main_process:
        return None
    if not files:
        raise InputError(f"{chosen.name}: none of its data is on this machine; see tasks/{chosen.name}/README.md")
    if perturb:
        return _robustness(run, recipe, chosen, asked[0], limit)
    if benchmark:
        own = load_task(tasks / recipe.task.name, recipe.task.panel)
        learnt = [row for part in mixture.parts(recipe, own) for row in part.rows]
        overlap = contamination.contamination(learnt, {split: chosen.source.split(split) for split in asked})
    output = run.scored(benchmark, splits, limit)
    scored = results.score(
        files,
        output,
        recipe.evaluation.resamples,
        compared=tuned_name(recipe),
        task_version=chosen.version,
        prompt_sha256=chosen.prompt.sha256,
        contamination=overlap,
        weights_sha256=weights,
        dtype=recipe.base.dtype,
    )
    report.write(output, scored, files, report.texts_of(chosen.source, asked), chosen.labels)
    return tables.render_table(scored)


def _robustness(run: Run, recipe: Recipe, chosen: Task, split: str, limit: int | None) -> str:
    """Score the answers to perturbed cases; the report of the run, if there is one, shows them, too."""
    measured = robustness.score(run, recipe, chosen.source.perturbations, split, limit)
    if limit is None and run.results.is_file():
        scored = read_record(run.results, "records")
        files = list(run.scored_answers(scored))
        texts = report.texts_of(chosen.source, recipe.evaluation.splits)
        report.write(run.results, scored, files, texts, chosen.labels)
    return tables.render_robustness(measured)


def _benchmark_splits(folder: Path) -> list[str]:
    """The splits of the benchmark in ``folder``. Raises :class:`InputError` where there is none."""
    if not (folder / "task.yaml").is_file():
        raise InputError(f"--benchmark {folder.name}: no such task in {folder.parent}")
    task = read_task(folder)
    if task.source.trains_on is not None:
        raise InputError(f"--benchmark {folder.name}: a task to train on; benchmarks have `kind: benchmark`")
    return list(task.splits)
