#!/usr/bin/env python3
"""Score a run on its held-out splits, or prediction files without a model: results.json, and report.html beside it.

scripts/evaluate.py RUN [--benchmark TASK] [--split S]… [--limit N]
scripts/evaluate.py --predictions FILE… --output results.json

`accelerate launch scripts/evaluate.py RUN` shares the cases out over several GPUs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from osler import recipe as recipes
from osler import report, results, tables
from osler.errors import InputError, exit_status
from osler.manifest import read_json
from osler.run import Run, tuned_name
from osler.schema import read_yaml


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a run directory, such as runs/<name>/<version>")
    parser.add_argument("--benchmark", metavar="TASK", help="a benchmark of tasks/ to answer instead")
    parser.add_argument("--split", action="append", help="only this split (may be repeated; default: the recipe's)")
    parser.add_argument("--limit", type=int, help="only the first N cases of each split; no results.json of the run")
    parser.add_argument("--predictions", nargs="+", type=Path, metavar="FILE", help="score files instead of a run")
    parser.add_argument("--output", type=Path, help="where --predictions writes its results")
    arguments = parser.parse_args()
    if (arguments.run is None) == (arguments.predictions is None):
        raise InputError("name either a run directory or --predictions FILE…")
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: at least 1")
    if arguments.predictions:
        if arguments.output is None:
            raise InputError("--predictions needs --output results.json")
        report.path_beside(arguments.output)  # refuses a name that both would have, before anything is written
        scored = results.score(arguments.predictions, arguments.output)
        report.write(arguments.output, scored, arguments.predictions)
        print(tables.render_table(scored))
        return 0
    run = Run(arguments.run)
    scored = evaluate(run, arguments.benchmark, arguments.split, arguments.limit)
    if scored:
        print(tables.render_table(scored))
    return 0


def evaluate(run: Run, benchmark: str | None, splits: list[str] | None, limit: int | None) -> dict | None:
    """Predictions for every system, then results from the prediction files alone, by the main process."""
    recipe = run.recipe()
    if not run.finished:
        raise InputError(f"{run.folder}: no manifest.json: training is not finished; run scripts/train.py again")
    tasks = recipes.find_tasks(run.folder)
    known: Sequence[str] = recipe.evaluation.splits
    if benchmark:
        known = benchmark_splits(tasks / benchmark)
    for split in splits or []:
        if split not in known:
            raise InputError(f"--split {split}: {benchmark or 'the recipe'} evaluates {', '.join(known)}")
    from accelerate import PartialState  # imports torch, as do the next

    from osler import model, prediction, task

    chosen = task.load(tasks / benchmark) if benchmark else task.load(tasks / recipe.task.name, recipe.task.panel)
    manifest = read_json(run.manifest)
    if not benchmark and manifest["prompt_sha256"] != chosen.prompt.sha256:
        raise InputError(f"{run.folder}: trained with another prompt than tasks/{chosen.name} has now; train again")
    state = PartialState(cpu=recipe.train.get("use_cpu", False))  # the first one made decides for all that follow
    device_map = None if state.device.type == "cpu" else {"": state.device}
    files = prediction.run(
        run,
        recipe,
        chosen,
        splits or known,
        limit,
        tuned=lambda: model.load_tuned(recipe.base, run.adapter, device_map),
        base=lambda: model.load_base(recipe.base, device_map),
        tokenizer=model.load_tokenizer(recipe.base),
    )
    if not state.is_main_process:
        return None
    if not files:
        raise InputError(f"{chosen.name}: none of its data is on this machine; see tasks/{chosen.name}/README.md")
    stem = f"results-{benchmark}" if benchmark else "results"
    partial = splits is not None or limit is not None
    output = run.folder / f"{stem}{'-partial' if partial else ''}.json"
    scored = results.score(
        files,
        output,
        recipe.evaluation.resamples,
        compared=tuned_name(recipe),
        task_version=chosen.version,
        prompt_sha256=chosen.prompt.sha256,
    )
    report.write(output, scored, files, report.texts_of(chosen.source, splits or known), chosen.labels)
    return scored


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
