#!/usr/bin/env python3
"""Score a run on its held-out splits, or prediction files without a model.

scripts/evaluate.py RUN [--split S]… [--limit N]
scripts/evaluate.py --predictions FILE… --output results.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler import recipe as recipes
from osler import results, tables
from osler.errors import InputError, exit_status
from osler.manifest import read_json
from osler.run import Run, tuned_name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a run directory, such as runs/<name>/<version>")
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
        scored = results.score(arguments.predictions, arguments.output)
        print(tables.render_table(scored))
        return 0
    run = Run(arguments.run)
    scored = evaluate(run, arguments.split, arguments.limit)
    print(tables.render_table(scored))
    return 0


def evaluate(run: Run, splits: list[str] | None, limit: int | None) -> dict:
    """Predictions for every system, then ``results.json`` from the prediction files alone."""
    recipe = run.recipe()
    if not run.finished:
        raise InputError(f"{run.folder}: no manifest.json: training is not finished; run scripts/train.py again")
    known = recipe.evaluation.splits
    for split in splits or []:
        if split not in known:
            raise InputError(f"--split {split}: the recipe evaluates {', '.join(known)}")
    from osler import model, prediction, task  # imports torch

    chosen = task.load(recipes.find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    manifest = read_json(run.manifest)
    if manifest["prompt_sha256"] != chosen.prompt.sha256:
        raise InputError(f"{run.folder}: trained with another prompt than tasks/{chosen.name} has now; train again")
    files = prediction.run(
        run,
        recipe,
        chosen,
        splits or known,
        limit,
        tuned=lambda: model.load_tuned(recipe.base, run.adapter),
        base=lambda: model.load_base(recipe.base),
        tokenizer=model.load_tokenizer(recipe.base),
    )
    partial = splits is not None or limit is not None
    return results.score(
        files,
        run.folder / "results-partial.json" if partial else run.results,
        recipe.evaluation.resamples,
        compared=tuned_name(recipe),
        task_version=chosen.version,
        prompt_sha256=chosen.prompt.sha256,
    )


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
