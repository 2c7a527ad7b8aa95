"""Patients with like findings: published ones with their PMIDs, and rows of the training data. Never a text of them.

Each patient is taken as a disease that is annotated with the patient's findings, so that the rankers and the evidence
of :mod:`osler.ranking` compare patients as they compare diseases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from osler.explanation.contracts import SimilarPatient
from osler.patients import Patient
from osler.ranking import DiseaseIndex, Findings, Rankers, evidence, terms
from osler.terminology import Annotation, Annotations, Ontology

NEAREST = 5
SHOWN = 12  # shared findings of one patient


@dataclass(frozen=True)
class Person:
    """A patient, and whether the model learnt from it; None if that is not known."""

    patient: Patient
    trained_on: bool | None


@dataclass(frozen=True)
class Neighbours:
    """Patients that can be compared with a text's findings."""

    ontology: Ontology
    people: Sequence[Person]
    rankers: Rankers
    names: Mapping[str, str]

    @classmethod
    def build(cls, ontology: Ontology, people: Sequence[Person], names: Mapping[str, str]) -> Neighbours:
        """``names`` is label → name. Raises :class:`osler.errors.InputError` where nobody has a finding."""
        rows = {
            _row(number): tuple(
                Annotation(_row(number), hpo_id, frozenset(), "P", False, (1, 1), None, None)
                for hpo_id in person.patient.present
            )
            for number, person in enumerate(people)
            if person.patient.present
        }
        annotations = Annotations("patients", {name: name for name in rows}, rows)
        return cls(ontology, people, Rankers(DiseaseIndex.build(ontology, annotations, ("patient",))), names)

    def nearest(self, found: Findings, most: int = NEAREST) -> tuple[SimilarPatient, ...]:
        """The ``most`` similar patients, those with nothing in common left out; of one publication and diagnosis one.

        By simGIC: the information that the findings of both share, closed upwards, over that of the findings of either.
        Pesquita et al. 2008, doi:10.1186/1471-2105-9-S5-S4. What is informative is what few of these patients have.
        """
        asked = Patient("asked", "", found.present, found.absent)
        similarity = self.rankers.score(asked).of("sim_gic")
        index, near, seen = self.rankers.index, list[SimilarPatient](), set[tuple[str, ...]]()
        for row in np.argsort(-similarity, kind="stable"):
            person = self.people[_number(index.diseases[row])]
            family = (person.patient.disease, *(person.patient.publications or (person.patient.case_id,)))
            if len(near) == most or similarity[row] <= 0:
                break
            shared = [match.finding for match in evidence(index, asked, index.diseases[row]).matched]
            if family in seen or not shared:
                continue
            seen.add(family)
            near.append(self._told(person, float(similarity[row]), shared[:SHOWN]))
        return tuple(near)

    def _told(self, person: Person, similarity: float, shared: Sequence[str]) -> SimilarPatient:
        patient = person.patient
        return SimilarPatient(
            case_id=patient.case_id,
            label=patient.disease,
            name=self.names.get(patient.disease, patient.disease),
            publications=patient.publications,
            similarity=round(min(1.0, similarity), 4),
            shared=terms(self.ontology, shared),
            trained_on=person.trained_on,
        )


def _row(number: int) -> str:
    return f"patient:{number:08d}"


def _number(row: str) -> int:
    return int(row.partition(":")[2])
