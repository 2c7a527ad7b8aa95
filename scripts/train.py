#!/usr/bin/env python3
"""Train a recipe: accelerate launch --config_file accelerate_configs/cpu.yaml scripts/train.py RECIPE [KEY=VALUE…]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.recipe import load_recipe
from osler.runs import Run, check_installed, check_trained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="a YAML file under recipes/")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as train.learning_rate=1e-4")
    parser.add_argument("--output", type=Path, help="the run directory (default: runs/<name>/<version>)")
    parser.add_argument("--plan", action="store_true", help="show what would be trained, and stop")
    parser.add_argument("--show-text", action="store_true", help="quote a training row in the plan")
    arguments = parser.parse_intermixed_args()  # overrides may follow options

    if arguments.show_text and not arguments.plan:
        raise InputError("--show-text is for --plan; training prints no text")
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    if recipe.overridden and arguments.output is None and not arguments.plan:
        raise InputError("an overridden recipe is another recipe: give its run a folder of its own with --output")
    run = Run(arguments.output or Path("runs") / recipe.name / recipe.version)
    if not arguments.plan:
        run.check(recipe)
        if run.finished:
            from osler.data import contamination

            check_trained(run, recipe)
            overlap = run.read_data_report().contamination
            contamination.check(overlap, recipe.evaluation.splits, recipe.allow_overlap or {}, str(recipe.path))
            run.open(recipe)  # what is evaluated, and how it is published, may have changed
            print(f"{run.folder}: trained already; scripts/evaluate.py {run.folder} scores it")
            return 0
    check_installed(recipe)
    from osler.reproduction import target

    if warning := target.other_release(recipe):
        print(warning, file=sys.stderr)
    from osler.training import show_plan, train

    if arguments.plan:
        show_plan(recipe, arguments.show_text)
    else:
        train(recipe, run)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
