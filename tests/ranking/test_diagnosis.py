"""Findings or a note in, a differential with its evidence out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project import GOLDEN, script

from osler.errors import InputError
from osler.patients import Patient
from osler.ranking import (
    DiseaseIndex,
    Fusion,
    Rankers,
    candidate_text,
    diagnose,
    find_in_text,
    load_fusion,
    read_findings,
)
from osler.ranking.diagnosis import READ
from osler.terminology import Ontology, read_annotations, read_ontology

LAMP, HUM = "OMIM:900101", "OMIM:900102"
PALMS, SOLES, HUMMING = "HP:9000011", "HP:9000012", "HP:9000020"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


@pytest.fixture(scope="module")
def rankers(ontology: Ontology) -> Rankers:
    return Rankers(DiseaseIndex.build(ontology, read_annotations(GOLDEN / "cohort.hpoa", ontology)))


def test_findings_are_told_by_current_ids_and_what_is_none_is_named(ontology: Ontology) -> None:
    found = read_findings(ontology, ["HP:9000911", "HP:0000005", "HP:1", PALMS], [SOLES])
    assert (found.present, found.absent) == ((PALMS,), (SOLES,))
    assert found.notes == (
        "HP:9000911: obsolete, taken as Glowing palms (HP:9000011)",
        "How it runs in families (HP:0000005): no phenotypic abnormality, left out",
        '"HP:1": not in HPO 2099-01-31, left out',
    )


def test_what_contradicts_itself_is_named_and_both_are_left_out(ontology: Ontology) -> None:
    found = read_findings(ontology, [PALMS, HUMMING], ["HP:9000010"])
    assert (found.present, found.absent) == ((HUMMING,), ())
    assert found.notes == (
        "Glowing palms (HP:9000011), which implies Glowing skin (HP:9000010): present and absent, left out",
    )


def test_without_a_finding_nothing_is_ranked(ontology: Ontology) -> None:
    with pytest.raises(InputError, match=r'no present finding to rank by \("HP:1": not in HPO'):
        read_findings(ontology, ["HP:1"])
    with pytest.raises(InputError, match="no present finding to rank by; name some"):
        find_in_text("The patient is well.", ontology)
    with pytest.raises(InputError, match=r"Humming \(.*\): absent\)"):
        find_in_text("No humming.", ontology)
    with pytest.raises(InputError, match=r'\("square footprints": said of a relative, left out\)'):
        find_in_text("Her mother has square footprints.", ontology)


def test_a_note_is_read_and_what_is_of_relatives_is_said(ontology: Ontology) -> None:
    found = find_in_text("Glowing palms, no humming. Her mother has square footprints.", ontology)
    assert (found.present, found.absent) == ((PALMS,), (HUMMING,))
    assert found.notes == ('"square footprints": said of a relative, left out', READ)


def test_a_differential_has_probabilities_that_add_up_and_evidence(rankers: Rankers, ontology: Ontology) -> None:
    found = diagnose(rankers, load_fusion(), ontology, read_findings(ontology, [PALMS, SOLES], [HUMMING]), top=3)
    assert found.candidates[0].disease == LAMP
    assert sum(one.probability for one in found.candidates) + found.none_of_these == pytest.approx(1, abs=1e-4)
    assert {match.finding.name for match in found.candidates[0].matched} == {"Glowing palms", "Glowing soles"}
    assert json.loads(found.model_dump_json(by_alias=True))["schema"] == 1


def test_the_weights_that_are_shipped_hold_together() -> None:
    fusion = load_fusion()
    assert isinstance(fusion, Fusion)
    assert fusion.patients >= fusion.publications >= 100


def test_a_candidate_in_words_begins_with_what_the_patient_has(rankers: Rankers, ontology: Ontology) -> None:
    names = {hpo_id: term.name.lower() for hpo_id, term in ontology.terms.items()}
    text = candidate_text(rankers.index, Patient("p", "", (PALMS,), (SOLES,)), LAMP, names)
    assert text.startswith("Lamp syndrome: ")
    marked = text.removeprefix("Lamp syndrome: ").split(", ")
    assert set(marked[:3]) == {"glowing palms +", "glowing skin +", "glowing soles -"}
    assert not any(part[-1] in "+-" for part in marked[3:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one of FILE, --text and --hpo"),
        (("--text", "ataxia", "--hpo", "HP:0001251"), "name one of FILE, --text and --hpo"),
        (("--text", "ataxia", "--absent", "HP:0001251"), "--absent: goes with --hpo"),
        (("--text", "ataxia", "--top", "0"), "--top 0: expected 1 to 50"),
        (("nowhere.txt",), "nowhere.txt"),
        (("nowhere", "--hpo", "HP:0001251"), "nowhere: no run directory"),
        (("--hpo", "HP:0001251", "--diseases", "OMIN"), "--diseases OMIN: expected some of OMIM, ORPHA, DECIPHER"),
    ],
)
def test_wrong_arguments_end_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = script(tmp_path, "diagnose", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.slow
def test_the_script_ranks_all_of_omim(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("Ectopia lentis, arachnodactyly and aortic root aneurysm. No scoliosis. His father has migraine.")
    done = script(tmp_path, "diagnose", note, "--json")
    if "cannot be" in done.stderr:
        pytest.skip("HPO's files are not here and cannot be fetched")
    assert done.returncode == 0, done.stderr
    assert '"migraine": said of a relative, left out' in done.stderr
    content = json.loads(done.stdout)
    assert len(content["candidates"]) == 5
    assert [term["name"] for term in content["absent"]] == ["Scoliosis"]
    told = script(tmp_path, "diagnose", note, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert content["candidates"][0]["name"] in page
    assert "http" not in page, "it asks nobody"
    assert content["candidates"][0]["name"] in told.stdout
    assert "none of the 50 that come first among 8,351 diseases" in told.stdout
