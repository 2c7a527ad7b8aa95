"""Patients with like findings."""

from __future__ import annotations

import pytest
from worded import HUMMING, NIGHT, PALMS, SOLES, ontology

from osler.errors import InputError
from osler.explanation.neighbours import Neighbours, Person
from osler.patients import Patient
from osler.ranking import read_findings

PEOPLE = [
    Person(Patient("a", "OMIM:1", (PALMS, SOLES), publications=("PMID:1",)), True),
    Person(Patient("b", "OMIM:1", (PALMS, SOLES), publications=("PMID:1",)), True),
    Person(Patient("c", "OMIM:2", (NIGHT,), publications=("PMID:2",)), False),
    Person(Patient("d", "OMIM:3", ()), None),
]


def test_the_nearest_come_first_one_of_a_family_and_with_what_they_share() -> None:
    read = ontology()
    near = Neighbours.build(read, PEOPLE, {"OMIM:1": "Lamp"}).nearest(read_findings(read, [PALMS, HUMMING]))
    assert [(one.case_id, one.name, one.publications, one.trained_on) for one in near] == [
        ("c", "OMIM:2", ("PMID:2",), False),
        ("a", "Lamp", ("PMID:1",), True),
    ]
    # Humming at night is humming; glowing palms are shared as they are.
    assert [[term.id for term in one.shared] for one in near] == [[HUMMING], [PALMS]]
    assert all(0 < one.similarity <= 1 for one in near)


def test_nobody_with_a_finding_is_nobody_to_compare_with() -> None:
    with pytest.raises(InputError, match="no disease of patient has a finding"):
        Neighbours.build(ontology(), PEOPLE[3:], {})
