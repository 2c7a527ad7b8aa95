#!/usr/bin/env python3
"""Compute published numbers again, and say whether they come out, or what differs first.

scripts/reproduce.py TARGET --scores        the metrics, from the published predictions: bit for bit
scripts/reproduce.py TARGET --predictions   the answers, from the published weights: the same rankings
scripts/reproduce.py TARGET --training      everything: within the tolerance that was measured over runs

TARGET is a recipe, a run directory, or USER/NAME[@v1.0.0] on the Hub. Writes reproduction.json.
Exit status: 0 reproduced, 1 a number misses, cannot be decided, or files and data are others, 2 the input is wrong.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="a recipe, a run directory, or USER/NAME[@REVISION]")
    depths = parser.add_mutually_exclusive_group(required=True)
    depths.add_argument(
        "--scores",
        dest="depth",
        action="store_const",
        const="scores",
        help="the metrics, from the published predictions",
    )
    depths.add_argument(
        "--predictions",
        dest="depth",
        action="store_const",
        const="predictions",
        help="the answers, from the published weights",
    )
    depths.add_argument(
        "--training", dest="depth", action="store_const", const="training", help="everything, from the recipe"
    )
    parser.add_argument("--output", type=Path, help="a folder (default: reproductions/<name>/<version>/<depth>)")
    parser.add_argument("--config_file", type=Path, help="train by `accelerate launch` with this configuration")
    arguments = parser.parse_args()
    if arguments.config_file is not None and arguments.depth != "training":
        raise InputError("--config_file is for --training")
    if arguments.config_file is not None and not arguments.config_file.is_file():
        raise InputError(f"--config_file {arguments.config_file}: no such file; accelerate_configs/ has some")

    from osler.reproduction import outcome, reproduction, target
    from osler.storage import check_folder

    published = target.find(arguments.target, arguments.depth)
    recipe = published.recipe
    folder = arguments.output or Path("reproductions") / recipe.name / recipe.version / arguments.depth
    check_folder(folder)
    if arguments.depth == "training":
        try:
            made = reproduction.training(published, folder, arguments.config_file)
        except subprocess.CalledProcessError as error:
            print("ended early; the same command goes on from there", file=sys.stderr)
            return 2 if error.returncode == 2 else 1
    else:
        made = (reproduction.scores if arguments.depth == "scores" else reproduction.predictions)(published)
    print(outcome.render(made))
    print(f"wrote {outcome.write(made, folder)}")
    return 0 if made.verdict == "reproduced" else 1


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
