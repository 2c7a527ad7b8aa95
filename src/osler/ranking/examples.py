"""Published patients as examples to fit the rankers' mixture on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from osler.patients import Patient
from osler.ranking.fusion import Example, candidates
from osler.ranking.rankers import Rankers
from osler.storage import stable_unit

PATIENTS_OF_A_UNIT = 2  # of one disease: a family of thirty is not thirty independent examples


def examples(rankers: Rankers, patients: Sequence[Patient], units: Mapping[str, str]) -> list[Example]:
    """One example a patient, at most two of a disease and unit, chosen by a hash of the case id.

    ``patients`` have to be new to the rankers' annotations, as those will be who are ranked later. ``units`` is case id
    → the publications that a patient shares with others. A patient whose disease is not among the candidates is an
    example of "none of these".
    """
    kept = few_of_each(sorted(patients, key=lambda patient: stable_unit(patient.case_id)), units)
    shown = tqdm(kept, desc="ranking training patients", unit=" patients", disable=None)
    return [example(rankers, patient, units[patient.case_id]) for patient in shown]


def example(rankers: Rankers, patient: Patient, publication: str) -> Example:
    """The candidates for a patient, and which of them are right."""
    found = candidates(rankers, patient)
    row = rankers.index.row
    right = [row[disease] for disease in (patient.disease, *patient.equivalent) if disease in row]
    return Example(found.features, np.isin(found.rows, right), publication)


def few_of_each(patients: Iterable[Patient], units: Mapping[str, str]) -> list[Patient]:
    """The first :data:`PATIENTS_OF_A_UNIT` of one disease and unit among ``patients``, in their order."""
    counts: Counter[tuple[str, str]] = Counter()
    kept = []
    for patient in patients:
        key = units[patient.case_id], patient.disease
        counts[key] += 1
        if counts[key] <= PATIENTS_OF_A_UNIT:
            kept.append(patient)
    return kept
