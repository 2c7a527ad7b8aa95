#!/usr/bin/env python3
"""Try a GPU on the shipped recipes: some steps of each on a random model of its full size, against what was planned.

    scripts/gpu_check.py                                  # every recipe that fits, one of each base; some minutes
    scripts/gpu_check.py recipes/qwen3-4b/phenopackets/qlora-v1.yaml --steps 10

Writes gpu_check.json and prints a table. Needs no weights, no data and no network.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.recipe import load_recipe
from osler.rendering import aligned
from osler.storage import write_json


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", type=Path, help="recipes (default: the first of each base that fits)")
    parser.add_argument("--steps", type=int, default=5, metavar="N", help="each time (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"), help="default: %(default)s")
    arguments = parser.parse_args()

    import torch
    from tqdm import tqdm

    from osler.training import HARDWARE, device_check, planner

    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no GPU here that torch can use; --device cpu tries the recipes named, on the CPU")
    device = torch.device(arguments.device)
    described = device_check.describe_device(device)
    print(*(f"{key}: {value}" for key, value in described.items()), sep="\n", flush=True)
    paths = arguments.recipes or firsts(Path("recipes"))
    if not paths:
        raise InputError("recipes/: no recipe of a base with a config.json; start from the root of the repository")
    room = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else HARDWARE["cpu"].memory
    checked = []
    for path in tqdm(paths, unit=" recipes", disable=None):
        recipe = load_recipe(path)
        step, _ = planner.measure(recipe, device_check.length_of(recipe))
        if planner.needed(step, HARDWARE["cpu"]) > room:
            checked.append(device_check.Checked(str(path), parameters=step.parameters, error="does not fit"))
        else:
            checked.append(device_check.check(recipe, step, device, arguments.steps))
        write_json(arguments.output, {"schema": 1, "device": described, "recipes": [asdict(one) for one in checked]})
    print(*aligned(device_check.as_table(checked)), sep="\n")
    return int(any(one.error not in (None, "does not fit") or one.resumed is False for one in checked))


def firsts(root: Path) -> list[Path]:
    """The first recipe of each base whose configuration is shipped."""
    found = (sorted(base.parent.glob("*/*.yaml"))[:1] for base in sorted(root.glob("*/config.json")))
    return [path for paths in found for path in paths]


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
