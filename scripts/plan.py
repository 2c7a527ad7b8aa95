#!/usr/bin/env python3
"""Say what a recipe needs and where it fits, without its weights and without a GPU; needs the base's config.json only.

    scripts/plan.py recipes/qwen3-4b/phenopackets/qlora-v1.yaml
    scripts/plan.py recipes/qwen3-4b/phenopackets/qlora-v1.yaml --hardware l4 train.max_length=2048

Exit status: 0 it fits (or no --hardware is named), 1 it does not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import exit_status
from osler.recipe import load_recipe
from osler.runs import check_installed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="a YAML file under recipes/")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as train.max_length=2048")
    names = ("rtx4090", "a10g", "l4", "a100-40", "a100-80", "h100", "h200", "cpu")  # osler.training imports torch
    parser.add_argument("--hardware", choices=names, help="say what would make it fit there")
    arguments = parser.parse_intermixed_args()
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    check_installed(recipe)

    from osler.training import HARDWARE, planner  # imports torch

    step, length = planner.measure(recipe)
    print(planner.describe(step, length, recipe))
    if arguments.hardware is None:
        return 0
    device = HARDWARE[arguments.hardware]
    fits = planner.needed(step, device) <= device.memory
    said = "it fits" if fits else planner.advice(arguments.recipe, arguments.overrides, device)
    print(f"\n{arguments.hardware}: {said}")
    return 0 if fits else 1


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
