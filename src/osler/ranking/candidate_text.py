"""A candidate in words, for a language model to compare with a patient: its name, and what its patients have."""

from __future__ import annotations

from collections.abc import Mapping

from osler.patients import Patient
from osler.ranking.disease_index import DiseaseIndex

TELLING = 4  # findings that are named of a disease


def candidate_text(index: DiseaseIndex, patient: Patient, disease: str, wording: Mapping[str, str]) -> str:
    """The name of ``disease`` and its most telling findings, those first that the patient has, too.

    ``wording`` is HPO id → how a finding is called. A finding tells the more, the more of the patients have it
    and the rarer it is elsewhere (share × information). It is marked "+" where the patient has it or something below
    it, "-" where the patient is said not to have it, and not at all where nothing is said.
    """
    row = index.row[disease]
    start, end = index.annotated.indptr[row : row + 2]
    columns, shares = index.annotated.indices[start:end], index.annotated.data[start:end]
    has = {a for column in index.columns(patient.present) for a in index.above(column).tolist()}
    lacks = set(index.columns(patient.absent).tolist())
    marks = [
        "+" if column in has else "-" if not lacks.isdisjoint(index.above(column).tolist()) else ""
        for column in columns.tolist()
    ]
    telling = shares * index.information[columns]
    order = sorted(range(len(columns)), key=lambda n: (not marks[n], -telling[n], columns[n]))
    named = (f"{wording[index.terms[columns[n]]]}{' ' if marks[n] else ''}{marks[n]}" for n in order[:TELLING])
    return f"{index.names[row]}: {', '.join(named)}"
