"""What is known of a case beside its text: the subgroups that an evaluation is broken down by."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import GOLDEN, make_cohort

from osler.recipe.sections import BaseSection, DataSection
from osler.tasks.sources.patient_source import annotated_patients, organ_system
from osler.tasks.task import load_task
from osler.terminology.hpo import Ontology, read_annotations, read_ontology

LAMP, HUM = "OMIM:900101", "OMIM:900102"
SKIN, PALMS, HUMMING, HUMMING_PALMS = "HP:9000010", "HP:9000011", "HP:9000020", "HP:9000022"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


@pytest.mark.parametrize(
    ("findings", "system"),
    [
        ({SKIN: 0.5, PALMS: 0.5, HUMMING: 0.9}, "glowing skin"),  # two of three, though the third is the commonest
        ({SKIN: 0.2, PALMS: 0.2, HUMMING: 0.9}, "humming"),  # what few patients have says little
        ({HUMMING_PALMS: 1.0, HUMMING: 0.1}, "humming"),  # humming palms are in both branches, half in each
        ({HUMMING_PALMS: 1.0}, "glowing skin"),  # a tie: the first id
        ({"HP:0000118": 1.0, HUMMING: 0.1}, "humming"),  # an abnormality of no kind in particular
    ],
)
def test_the_family_of_a_disease_is_the_branch_most_of_its_findings_are_in(
    ontology: Ontology, findings: dict[str, float], system: str
) -> None:
    assert organ_system(findings, ontology) == system


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Abnormality of the nervous system", "nervous"),
        ("Abnormality of head or neck", "head or neck"),
        ("Abnormality of blood and blood-forming tissues", "blood and blood-forming tissues"),
        ("Abnormal cellular phenotype", "cellular phenotype"),
        ("Growth abnormality", "growth"),
        ("Constitutional symptom", "constitutional symptom"),
    ],
)
def test_a_family_has_a_short_name(tmp_path: Path, name: str, short: str) -> None:
    path = tmp_path / "renamed.obo"
    path.write_text((GOLDEN / "mini.obo").read_text().replace("name: Humming\n", f"name: {name}\n"))
    assert organ_system({HUMMING: 1.0}, read_ontology(path)) == short


def test_patients_of_one_publication_count_once(ontology: Ontology) -> None:
    rows = read_annotations(GOLDEN / "cohort.hpoa", ontology).rows
    assert annotated_patients(rows[LAMP]) == 10 + 5 + 1 + 1 + 11  # of five sets of publications
    assert annotated_patients(row for row in rows[LAMP] if row.references == {"PMID:912"}) == 5


def test_a_case_has_the_subgroups_of_its_disease_from_what_training_may_know(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_cohort(tmp_path, tiny_base)
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    source = load_task(tmp_path / "tasks" / "made_up", "all").source
    rows = [*source.split("test"), *source.training(DataSection(simulated_per_label=2), 0).rows]
    assert {(row.label, row.subgroups["organ_system"]) for row in rows} == {
        (LAMP, "glowing skin"),
        (HUM, "humming"),
    }
    # 16 patients each without those held out, 28 and 17 with them.
    assert {row.subgroups["annotated_patients"] for row in rows} == {"10-49"}
    assert all(row.subgroups["findings"] == "1-5" for row in source.split("test"))
