"""What a GA4GH phenopacket (schema 2) says of the diagnosis: which diseases, and whether they are confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from phenopackets import OntologyClass, Phenopacket


class Diagnosis(NamedTuple):
    """The terms of the diagnosed diseases, each once, and how sure they are; no terms if nothing was diagnosed."""

    terms: tuple[OntologyClass, ...]
    status: Literal["confirmed", "suspected", "unsolved"]


def find_diagnosis(packet: Phenopacket) -> Diagnosis:
    """The diagnosis of a phenopacket.

    SOLVED interpretations have it. While one is IN_PROGRESS its disease is a suspicion, and UNSOLVED ones have found
    none; in both cases what ``diseases`` lists may be anything else that the patient has. Without any of these,
    ``diseases`` has the diagnosis, apart from excluded ones, and only then interpretations that do not say whether they
    are SOLVED, as a suspicion.
    """
    from phenopackets import Interpretation

    statuses = {interpretation.progress_status for interpretation in packet.interpretations}

    def interpreted(*wanted: int) -> tuple[OntologyClass, ...]:
        return _distinct(i.diagnosis.disease for i in packet.interpretations if i.progress_status in wanted)

    if solved := interpreted(Interpretation.SOLVED):
        return Diagnosis(solved, "confirmed")
    if Interpretation.IN_PROGRESS in statuses:
        return Diagnosis(interpreted(Interpretation.IN_PROGRESS), "suspected")
    if Interpretation.UNSOLVED in statuses:
        return Diagnosis((), "unsolved")
    if listed := _distinct(disease.term for disease in packet.diseases if not disease.excluded):
        return Diagnosis(listed, "confirmed")
    return Diagnosis(interpreted(*statuses), "suspected")


def _distinct(terms: Iterable[OntologyClass]) -> tuple[OntologyClass, ...]:
    return tuple({term.id: term for term in terms if term.id}.values())
