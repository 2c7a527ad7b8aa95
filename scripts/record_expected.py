#!/usr/bin/env python3
"""Record what a run of a recipe produced beside the recipe, and bring the tables in the READMEs up to date.

scripts/record_expected.py RECIPE RUN [RUN…]   writes RECIPE's expected file, then the tables
scripts/record_expected.py                     only the tables

The first RUN is of RECIPE as it stands. The others are of another train.seed, machine or number of threads and no other
difference; from three runs on, their spread is the tolerance that scripts/reproduce.py allows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.runs import Run
from osler.storage import write_atomically

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", type=Path, help="a recipe")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="evaluated run directories of it")
    parser.add_argument("--reproduction", nargs="+", type=Path, metavar="FILE", default=[], help="reproduction.json")
    arguments = parser.parse_args()
    from osler.reproduction import readme_tables, recording  # takes seconds, and --help needs none of it

    if arguments.recipe and not arguments.runs and not arguments.reproduction:
        raise InputError(f"{arguments.recipe}: name the run directories to record, too")
    if arguments.runs:
        print(f"wrote {recording.record([Run(run) for run in arguments.runs], arguments.recipe)}")
    for path in arguments.reproduction:
        print(f"{path}: into {recording.record_reproduction(path, arguments.recipe)}")
    for page, text in readme_tables.pages(ROOT).items():
        write_atomically(page, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
