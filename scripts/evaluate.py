#!/usr/bin/env python3
"""Score a run on its held-out splits, or prediction files without a model: results.json, and report.html beside it.

scripts/evaluate.py RUN [--benchmark TASK] [--split S]… [--limit N]
scripts/evaluate.py RUN --merged [--split S]…
scripts/evaluate.py RUN --robustness [--split S] [--limit N]
scripts/evaluate.py --predictions FILE… --output results.json

`accelerate launch scripts/evaluate.py RUN` shares the cases out over several GPUs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from osler import contamination, report, results, robustness, tables
from osler import recipe as recipes
from osler.errors import InputError, exit_status
from osler.manifest import read_record
from osler.run import Run, merged_name, tuned_name
from osler.schema import read_yaml


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a run directory, such as runs/<name>/<version>")
    parser.add_argument("--benchmark", metavar="TASK", help="a benchmark of tasks/ to answer instead")
    parser.add_argument("--merged", action="store_true", help="also merge the adapter into its base, and score that")
    parser.add_argument("--robustness", action="store_true", help="instead, perturb the cases of its first split")
    parser.add_argument("--split", action="append", help="only this split (may be repeated; default: the recipe's)")
    parser.add_argument("--limit", type=int, help="only the first N cases of each split; no results.json of the run")
    parser.add_argument("--predictions", nargs="+", type=Path, metavar="FILE", help="score files instead of a run")
    parser.add_argument("--output", type=Path, help="where --predictions writes its results")
    arguments = parser.parse_args()
    if (arguments.run is None) == (arguments.predictions is None):
        raise InputError("name either a run directory or --predictions FILE…")
    if arguments.run and arguments.output:
        raise InputError("--output is for --predictions; the results of a run are written into it")
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: at least 1")
    if arguments.predictions:
        if arguments.output is None:
            raise InputError("--predictions needs --output results.json")
        for option in ("benchmark", "merged", "robustness", "split", "limit"):
            if getattr(arguments, option):
                raise InputError(f"--{option} is for a run; --predictions scores all that is in its files")
        report.check_output(arguments.output, arguments.predictions)
        scored = results.score(arguments.predictions, arguments.output)
        report.write(arguments.output, scored, arguments.predictions)
        print(tables.render_table(scored))
        return 0
    if arguments.robustness and (arguments.benchmark or len(arguments.split or []) > 1):
        raise InputError("--robustness is of one split of the recipe's own task")
    if arguments.merged and (arguments.benchmark or arguments.robustness or arguments.limit):
        raise InputError("--merged is of the recipe's own splits: start it by itself, or with --split")
    splits = list(dict.fromkeys(arguments.split)) if arguments.split else None
    run = Run(arguments.run)
    table = evaluate(run, arguments.benchmark, splits, arguments.limit, arguments.robustness, arguments.merged)
    if table:
        print(table)
    return 0


def evaluate(
    run: Run, benchmark: str | None, splits: list[str] | None, limit: int | None, perturb: bool, merge: bool
) -> str | None:
    """Predictions for every system; then, from the files alone and by the main process, results and their table."""
    recipe = run.recipe()
    manifest = run.trained(recipe)
    if recipe.stage == "pretrain":
        raise InputError(f"{run.folder}: pre-trained, it answers nothing; fine-tune {run.adapter}, evaluate that run")
    if merge and recipe.lora is None:
        raise InputError(f"{run.folder}: without lora:, {run.adapter} is a whole model already: leave out --merged")
    weights = run.weights(recipe)
    tasks = recipes.find_tasks(run.folder)
    known: Sequence[str] = recipe.evaluation.splits
    if benchmark:
        known = benchmark_splits(tasks / benchmark)
    for split in splits or []:
        if split not in known:
            raise InputError(f"--split {split}: {benchmark or 'the recipe'} evaluates {', '.join(known)}")
    if not benchmark:
        overlap = read_record(run.data_report, "contamination.splits", "contamination.settings")["contamination"]
    from accelerate import PartialState  # imports torch, as do the next

    from osler import merging, mixture, model, prediction, task

    chosen = task.load(tasks / benchmark) if benchmark else task.load(tasks / recipe.task.name, recipe.task.panel)
    if not benchmark and manifest["prompt_sha256"] != chosen.prompt.sha256:
        raise InputError(f"{run.folder}: trained with another prompt than tasks/{chosen.name} has now; train again")
    state = PartialState(cpu=recipe.train.get("use_cpu", False))  # the first one made decides for all that follow
    device_map = None if state.device.type == "cpu" else {"": state.device}
    asked = list(splits or known)
    with run.evaluating() if state.is_main_process else nullcontext():
        if merge and merged_name(recipe) not in weights:
            merging.merge_run(run, recipe)
            weights = run.weights(recipe)
        with_merged = merged_name(recipe) in weights and not benchmark
        files = prediction.run(
            run,
            recipe,
            chosen,
            asked[:1] if perturb else asked,
            limit,
            tuned=lambda: model.load_tuned(recipe.base, run.adapter, device_map),
            base=lambda: model.load_base(recipe.base, device_map),
            tokenizer=model.load_tokenizer(recipe.base),
            systems=robustness.systems(recipe) if perturb else None,
            perturbations=robustness.planned(chosen.source.perturbations) if perturb else (),
            merged=(lambda: merging.load(recipe.base, run.merged, device_map)) if with_merged else None,
        )
    if not state.is_main_process:
        return None
    if not files:
        raise InputError(f"{chosen.name}: none of its data is on this machine; see tasks/{chosen.name}/README.md")
    if perturb:
        measured = robustness.score(run, recipe, chosen.source.perturbations, asked[0], limit)
        if limit is None and run.results.is_file():  # the report shows robustness, too
            scored = read_record(run.results, "records")
            files = [run.answers(r["task"], r["split"], system) for r in scored["records"] for system in r["systems"]]
            report.write(run.results, scored, files, report.texts_of(chosen.source, known), chosen.labels)
        return tables.render_robustness(measured)
    if benchmark:
        own = task.load(tasks / recipe.task.name, recipe.task.panel)
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


def benchmark_splits(folder: Path) -> list[str]:
    """The splits of the benchmark in ``folder``. Raises :class:`InputError` where there is none."""
    if not (folder / "task.yaml").is_file():
        raise InputError(f"--benchmark {folder.name}: no such task in {folder.parent}")
    content = read_yaml(folder / "task.yaml")
    if content["source"]["kind"] != "benchmark":
        raise InputError(f"--benchmark {folder.name}: a task to train on; benchmarks have `kind: benchmark`")
    return list(content["splits"])


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
