"""Names mean the same only where a terminology says so, and a disease is above another only where it files it there."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import GOLDEN

from osler.terminology.diseases import Concept, Terminology, annotated_diseases, icd10cm, icd10cm_codes, phenotypes
from osler.terminology.normal_form import canonical


def same(terminology: Terminology, *names: str) -> bool:
    return len({frozenset(terminology.synonyms(canonical(name))) for name in names}) == 1


def above(terminology: Terminology, general: str, case: str) -> bool:
    return canonical(general) in terminology.more_general(canonical(case))


def test_entries_that_share_a_name_are_one_disease() -> None:
    terminology = Terminology(
        [
            Concept("A1", ("Lantern disease",), ("Glow sickness",)),
            Concept("B1", ("Shine syndrome",)),
            Concept("C1", ("Lantern disease", "Shine syndrome"), ("Night glare",)),
        ],
        {},
    )
    assert same(terminology, "Lantern disease", "Shine syndrome", "Glow sickness", "Night glare")
    assert terminology.synonyms("nothing of the kind") == set()


def test_a_shared_synonym_joins_nothing_and_means_neither() -> None:
    terminology = Terminology(
        [Concept("A1", ("Lantern disease",), ("The glow",)), Concept("A2", ("Drone disease",), ("The glow",))], {}
    )
    assert terminology.synonyms(canonical("the glow")) == set()


def test_a_synonym_that_is_another_diseases_name_means_that_one() -> None:
    terminology = Terminology(
        [Concept("A1", ("Lantern disease",), ("Drone disease",)), Concept("A2", ("Drone disease",))], {}
    )
    assert not same(terminology, "Lantern disease", "Drone disease")


def test_a_disease_is_under_its_parents_and_theirs() -> None:
    terminology = Terminology(
        [
            Concept("A", ("Luminous diseases",)),
            Concept("A1", ("Lantern disease",), ("Glow sickness",), parents=("A",)),
            Concept("A1.1", ("Red lantern disease",), narrower=("Crimson glow",), parents=("A1",)),
        ],
        {},
    )
    for case in ("Red lantern disease", "Crimson glow"):
        for general in ("Luminous diseases", "Lantern disease", "Glow sickness"):
            assert above(terminology, general, case)
    assert above(terminology, "Red lantern disease", "Crimson glow")
    assert not above(terminology, "Red lantern disease", "Lantern disease")
    assert not above(terminology, "Lantern disease", "Glow sickness")


def test_a_circle_of_parents_ends() -> None:
    terminology = Terminology([Concept("A", ("Day",), parents=("B",)), Concept("B", ("Night",), parents=("A",))], {})
    assert terminology.more_general(canonical("Day")) == {canonical("Night")}


def test_what_is_filed_under_a_single_disease_is_no_case_of_it() -> None:
    names = [Concept("OMIM:1", ("Lantern disease",), single=True)]
    filed = [Concept("A1", ("Lantern disease",), narrower=("Lantern-like disease",))]
    assert above(Terminology(filed, {}), "Lantern disease", "Lantern-like disease")
    assert not above(Terminology([*names, *filed], {}), "Lantern disease", "Lantern-like disease")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Glow syndrome 6 (nocturnal type)", {"Glow syndrome 6"}),
        ("Glow syndrome (nocturnal type)", set()),
        ("Congenital glow 10B, mild variant", {"Congenital glow 10B"}),
        ("Glow, congenital, type 2B, dominant", {"Glow, congenital, type 2B"}),
        ("Glow 9 with or without sparks", {"Glow 9"}),
        ("Glowing complex V (lamp) deficiency, type 4", {"Glowing complex V deficiency, type 4"}),
        ("46,XY glow reversal", set()),
    ],
)
def test_the_short_forms_of_a_name_keep_its_number(tmp_path: Path, name: str, short: set[str]) -> None:
    row = ["OMIM:1", name, "", "HP:9000010", "PMID:1", "PCS", "", "1/1", "", "", "P", "made:up"]
    (tmp_path / "phenotype.hpoa").write_text("\t".join(row) + "\n")
    (concept,) = annotated_diseases(tmp_path / "phenotype.hpoa")
    assert (concept.names, set(concept.synonyms)) == ((name,), short)


@pytest.fixture(scope="module")
def icd() -> Terminology:
    return Terminology(icd10cm(), {})


@pytest.mark.parametrize(
    "names",
    [
        ("Varicella", "Chickenpox"),  # [chickenpox]
        ("Crohn's disease", "Regional enteritis"),
        ("Essential hypertension", "Essential (primary) hypertension"),
        ("Toxic epidermal necrolysis", "Lyell's syndrome"),  # [Lyell]
        ("Asthma", "Unspecified asthma"),
    ],
)
def test_icd_brackets_are_synonyms_and_parentheses_may_be_left_out(icd: Terminology, names: tuple[str, ...]) -> None:
    assert same(icd, *names)
    assert icd.synonyms(canonical(names[0]))


@pytest.mark.parametrize(
    ("general", "case"),
    [
        ("Diabetes mellitus", "Type 2 diabetes mellitus"),
        ("Hypothyroidism", "Congenital hypothyroidism without goiter"),  # under "Other hypothyroidism"
        ("Viral hepatitis", "Acute hepatitis B"),
        ("Hereditary motor and sensory neuropathy", "Roussy-Levy syndrome"),  # an inclusion term
        ("Asthma", "Exercise induced bronchospasm"),
    ],
)
def test_icd_files_the_special_under_the_general(icd: Terminology, general: str, case: str) -> None:
    assert above(icd, general, case)
    assert not above(icd, case, general)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Type 2 diabetes mellitus", "Diabetes mellitus"),  # "diabetes NOS" is filed under type 2
        ("Achondroplasia", "Hypochondroplasia"),  # an inclusion term
        ("Duchenne muscular dystrophy", "Becker muscular dystrophy"),  # one code
        ("Roussy-Levy syndrome", "Charcot-Marie-Tooth disease"),  # one code
    ],
)
def test_icd_inclusion_terms_are_no_synonyms(icd: Terminology, one: str, other: str) -> None:
    assert canonical(other) not in icd.synonyms(canonical(one))


def test_findings_bring_their_exact_synonyms_only() -> None:
    from osler.terminology.hpo import read_ontology

    terms = {concept.id: concept for concept in phenotypes(read_ontology(GOLDEN / "mini.obo"))}
    assert "HP:0000001" not in terms
    assert set(terms["HP:9000011"].synonyms) == {"Palmar luminescence", 'Hands like "lamps"'}


def test_a_name_has_the_code_that_is_called_the_same() -> None:
    codes = icd10cm_codes(["migraine", "Hypertension", "chicken pox", "arthritis of somebody", "diabetes"])
    assert codes == {"migraine": "G43", "Hypertension": "I10", "chicken pox": "B01"}
