#!/usr/bin/env python3
"""Fit the weights that diagnose.py mixes its rankers with, on published patients, and show what they are worth.

OSLER_DATA_DIR=FOLDER python scripts/fit_ranking.py [--output FILE]

The patients are those of Phenopacket Store that HPO's annotations do not count: half of their publications to fit on,
others to measure on. Patients of test publications and of external sets play no part.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from osler.errors import InputError, exit_status

if TYPE_CHECKING:
    from osler.ranking import Example

ROOT = Path(__file__).resolve().parents[1]
TASK = ROOT / "tasks" / "differential"
FUSION = ROOT / "src" / "osler" / "ranking" / "fusion.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FUSION, help="default: %(default)s")
    arguments = parser.parse_args()

    from osler.ranking import examples, fit, load_rankers  # imports scipy, as --help need not
    from osler.storage import write_model
    from osler.tasks import AllDiseases, load_task

    source = load_task(TASK).source
    assert isinstance(source, AllDiseases), "the task differential has no other source"
    training, validation = source.training_patients(), [*source.patients("validation").values()]
    if not training or not validation:
        raise InputError(
            "OSLER_DATA_DIR: holds no patients of Phenopacket Store; get them with scripts/fetch_phenopackets.py"
        )
    rankers, _ = load_rankers(TASK)
    units = {patient.case_id: source.unit(patient) or patient.case_id for patient in (*training, *validation)}
    fusion = fit(examples(rankers, training, units))
    write_model(arguments.output, fusion)
    held_out = examples(rankers, validation, units)
    print(f"fitted on {fusion.patients} patients of {fusion.publications} publications: {arguments.output}")
    print(f"{len(held_out)} others, of {len({one.publication for one in held_out})} publications:")
    print(f"{'':22} top-1  top-3  top-10")
    proposed = [[-place for place in range(len(one.right))] for one in held_out]
    weighted = [fusion.probabilities(one.features)[:-1].tolist() for one in held_out]
    print(f"{'as the rankers propose':22} {recall(held_out, proposed)}")
    print(f"{'with these weights':22} {recall(held_out, weighted)}")
    return 0


def recall(held_out: Sequence[Example], scores: Sequence[Sequence[float]]) -> str:
    """How many of the examples have a right candidate among the first 1, 3 and 10 by falling score."""
    places = []
    for one, of_one in zip(held_out, scores, strict=True):
        order = sorted(range(len(of_one)), key=lambda n: -of_one[n])
        places.append(next((place for place, n in enumerate(order, 1) if one.right[n]), len(of_one) + 1))
    return "  ".join(f"{sum(place <= k for place in places) / len(places):.3f}" for k in (1, 3, 10))


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
