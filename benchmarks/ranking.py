#!/usr/bin/env python3
"""What the rankers of `differential` are worth without a model, from HPO ids and from text, and what they cost.

OSLER_DATA_DIR=FOLDER python benchmarks/ranking.py      about two minutes; one core

Nothing is fitted: the weights of the mixture are those that are shipped. It writes tasks/differential/rankings.json,
and the table in tasks/differential/README.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from osler.errors import InputError, exit_status
from osler.ranking import load_fusion
from osler.reproduction import rankings, readme_tables
from osler.storage import write_atomically, write_model
from osler.tasks import AllDiseases, load_task

ROOT = Path(__file__).resolve().parents[1]
SPLITS = ("validation", "phenopackets", "hpoa", "public_test", "structural_variants")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    source = load_task(ROOT / "tasks" / "differential").source
    assert isinstance(source, AllDiseases), "the task differential has no other source"
    if missing := [split for split in SPLITS if not source.whole_patients(split)]:
        raise InputError(f"OSLER_DATA_DIR: holds no patients of {missing[0]}; see tasks/differential/README.md")
    measured = rankings.measure(source, load_fusion(), SPLITS)
    write_model(rankings.rankings_path(ROOT), measured)
    for page, text in readme_tables.pages(ROOT).items():
        write_atomically(page, text)
    print(rankings.table(measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
