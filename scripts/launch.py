#!/usr/bin/env python3
"""Write what starts a recipe on a cluster or a service, without sending anything.

    scripts/launch.py recipes/qwen3-8b/phenopackets/qlora-v1.yaml --on slurm --gpus 8 > job.sbatch && sbatch job.sbatch
    scripts/launch.py recipes/qwen3-8b/phenopackets/qlora-v1.yaml --on kubernetes | kubectl apply -f -

A job that is ended before its training is writes a checkpoint, and goes on from it when it runs again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.launching import PLACES, Job, written
from osler.recipe import load_recipe


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="a YAML file under recipes/, seen from the root of the checkout")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as train.learning_rate=1e-4")
    parser.add_argument("--on", choices=PLACES, required=True, help="where")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="of each machine (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="machines (default: %(default)s)")
    parser.add_argument("--hours", type=int, default=12, metavar="N", help="until it is ended (default: %(default)s)")
    parser.add_argument("--config", type=Path, help="of accelerate_configs/; by default the one for so many GPUs")
    parser.add_argument("--output", type=Path, help="the run folder (default: runs/<name>/<version>)")
    arguments = parser.parse_intermixed_args()
    for name in ("gpus", "nodes", "hours"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} {getattr(arguments, name)}: expected at least 1")
    if arguments.recipe.is_absolute():
        raise InputError(f"{arguments.recipe}: name the recipe from the root of the checkout, where the job starts")
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    if recipe.overridden and arguments.output is None:
        raise InputError("an overridden recipe is another recipe: give its run a folder of its own with --output")
    fitting = "multi_node" if arguments.nodes > 1 else "ddp" if arguments.gpus > 1 else "single_gpu"
    config = arguments.config or Path("accelerate_configs") / f"{fitting}.yaml"
    if not config.is_file():
        raise InputError(f"--config {config}: no such file; accelerate_configs/ has some")
    output = arguments.output or Path("runs") / recipe.name / recipe.version
    sizes = {name: getattr(arguments, name) for name in ("nodes", "gpus", "hours")}
    print(written(Job(recipe, tuple(arguments.overrides), str(output), str(config), **sizes), arguments.on), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
