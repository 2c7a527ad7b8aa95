"""Why a disease is on the list: how each finding of the patient and of the disease is matched."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse

from osler.patients import Patient
from osler.ranking.disease_index import Columns, DiseaseIndex

EXPECTED = 0.5  # P(finding | disease) from which a finding that is not there is missed


@dataclass(frozen=True)
class Match:
    """A finding of the patient, the term of the disease that it is matched with, and the share of the disease's
    patients who have that."""

    finding: str
    term: str
    share: float


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against one disease, by HPO id; the most informative findings first.

    Attributes:
        matched: present findings that the disease is annotated with, itself or by something more specific.
        matched_more_generally: present findings of which the disease has something above, below the organ system.
        unexplained: present findings of which the disease has neither.
        expected_but_absent: terms that at least half of the disease's patients have, and that this patient has not.
        contradicted: present findings that nobody with the disease had who was looked at.
    """

    matched: tuple[Match, ...]
    matched_more_generally: tuple[Match, ...]
    unexplained: tuple[str, ...]
    expected_but_absent: tuple[Match, ...]
    contradicted: tuple[str, ...]


def evidence(index: DiseaseIndex, patient: Patient, disease: str) -> Evidence:
    """Raises ``KeyError`` where the index does not have the disease, or a finding is no phenotypic abnormality."""
    row = index.row[disease]
    share = _row(index.implied, row)
    excluded, annotated = _row(index.excluded, row), _row(index.annotated, row)
    matched, general, unexplained, contradicted = [], [], [], []
    for column in _by_information(index, index.columns(patient.present)):
        finding = index.terms[column]
        above = [a for a in _by_information(index, index.above(column)) if a in share]
        if not excluded.keys().isdisjoint(index.above(column).tolist()):
            contradicted.append(finding)
        elif column in share:
            matched.append(Match(finding, finding, share[column]))
        elif above and not index.is_organ_system(above[0]):
            general.append(Match(finding, index.terms[above[0]], share[above[0]]))
        else:
            unexplained.append(finding)
    absent = set(index.columns(patient.absent).tolist())
    missed = [
        Match(index.terms[next(a for a in index.above(column) if a in absent)], index.terms[column], p)
        for column, p in annotated.items()
        if p >= EXPECTED and not absent.isdisjoint(index.above(column).tolist())
    ]
    missed.sort(key=lambda match: -index.information[index.column[match.term]])
    return Evidence(tuple(matched), tuple(general), tuple(unexplained), tuple(missed), tuple(contradicted))


def _row(matrix: sparse.csr_array, row: int) -> dict[int, float]:
    start, end = matrix.indptr[row : row + 2]
    return dict(zip(matrix.indices[start:end].tolist(), matrix.data[start:end].tolist(), strict=True))


def _by_information(index: DiseaseIndex, columns: Columns) -> list[int]:
    return sorted(columns.tolist(), key=lambda column: (-index.information[column], -len(index.above(column)), column))
