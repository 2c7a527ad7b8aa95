"""Simulated patients know nothing of the published ones that test them: a patient is planted, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import GOLDEN, make_cohort

from osler.errors import InputError
from osler.patients.simulator import Simulator
from osler.recipe.sections import BaseSection, DataSection
from osler.tasks.sources.simulated import SimulatedPatients
from osler.tasks.task import load_task
from osler.terminology.hpo import Annotations, Ontology, read_annotations, read_ontology

LAMP = "OMIM:900101"
PLANTED = "PMID:915"
SINGLE = ("PMID:913", "PMID:914", "PMID:923", "PMID:924")


def annotation(hpo_id: str, publications: str, frequency: str) -> str:
    return f"{LAMP}\tLamp syndrome\t\t{hpo_id}\t{publications}\tPCS\t\t{frequency}\t\t\tP\tmade:up[2099-01-01]\n"


def cohorts() -> str:
    """tests/golden/cohort.hpoa without single patients, but for that of Quillby disease, which is in no panel."""
    lines = (GOLDEN / "cohort.hpoa").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not any(single in line for single in SINGLE)) + annotation(
        "HP:9000020", "PMID:911", "2/10"
    )


def planted(text: str) -> str:
    """``text`` with one patient more, in rows of their own and in those of others."""
    for hpo_id, before, after in (("HP:9000012", "5/5", "6/6"), ("HP:9000032", "0/5", "0/6")):
        old = annotation(hpo_id, "PMID:912", before)
        assert old in text
        text = text.replace(old, annotation(hpo_id, f"PMID:912;{PLANTED}", after))
    own = {"HP:9000020": "1/1", "HP:9000022": "1/1", "HP:9000030": "1/1", "HP:9000031": "0/1"}
    return text + "".join(annotation(hpo_id, PLANTED, frequency) for hpo_id, frequency in own.items())


def loaded(
    folder: Path, tiny: BaseSection, monkeypatch: pytest.MonkeyPatch, text: str
) -> tuple[SimulatedPatients, Ontology]:
    make_cohort(folder, tiny, text)
    monkeypatch.setenv("OSLER_CACHE", str(folder / "cache"))
    source = load_task(folder / "tasks" / "made_up", "all").source
    assert isinstance(source, SimulatedPatients)
    return source, read_ontology(GOLDEN / "mini.obo")


def without_patient(folder: Path, ontology: Ontology) -> Annotations:
    (folder / "without.hpoa").write_text(cohorts())
    return read_annotations(folder / "without.hpoa", ontology)


def test_a_planted_patient_who_is_held_out_changes_nothing_that_training_counts(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, ontology = loaded(tmp_path, tiny_base, monkeypatch, planted(cohorts()))
    known = without_patient(tmp_path, ontology)
    (case,) = source.split("test")
    assert case.case_id == f"{LAMP}/{PLANTED}"
    (patient,) = source.patients("test").values()
    assert set(patient.present) == {"HP:9000012", "HP:9000020", "HP:9000022", "HP:9000030"}
    assert set(patient.absent) == {"HP:9000031", "HP:9000032"}
    assert source.knowledge(None)[1].rows == known.rows
    drawn = source.training(DataSection(simulated_per_label=50), seed=0).rows
    nobody_planted = Simulator(ontology, known, [LAMP], frozenset()).patients(50, 0)
    assert [row.case_id for row in drawn] == [
        p.case_id for p in nobody_planted if p.case_id in {r.case_id for r in drawn}
    ]
    told = {row.case_id: row.text for row in drawn}
    again = {p.case_id: source._case(p, p.case_id, "simulated").text for p in nobody_planted}
    assert told.items() <= again.items()
    assert len(told) > 25, "the others read like a patient of the split simulated"
    report = source.provenance(None)
    assert report["held_out_publications"] == [PLANTED]
    assert report["training_publications"] == ["PMID:911", "PMID:912"]
    assert report["held_out_and_training"] == []
    assert report["annotation_rows"] == {
        "dropped": 4,
        "subtracted": 2,
        "kept": 0,
        "of_another_disease": 0,
        "findings_of_the_held_out": 0,
    }


def test_a_row_that_does_not_say_whether_the_held_out_patient_has_it_keeps_its_share(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = cohorts().replace(
        annotation("HP:9000011", "PMID:912", "4/5"), annotation("HP:9000011", f"PMID:912;{PLANTED}", "5/6")
    )
    source, _ = loaded(tmp_path, tiny_base, monkeypatch, planted(mixed))
    (patient,) = source.patients("test").values()
    assert "HP:9000011" not in (*patient.present, *patient.absent)
    rows = [row for row in source.knowledge(None)[1].rows[LAMP] if row.hpo_id == "HP:9000011"]
    assert {(*row.references, row.counts) for row in rows} == {("PMID:911", (8, 10)), ("PMID:912", (5, 6))}
    report = source.provenance(None)
    assert report["held_out_and_training"] == []
    assert report["annotation_rows"]["kept"] == 1
    assert report["annotation_rows"]["findings_of_the_held_out"] == 0


def test_real_patients_are_refused_where_every_one_is_held_out(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = loaded(tmp_path, tiny_base, monkeypatch, planted(cohorts()))
    with pytest.raises(InputError, match=r"^data\.real_repeats: every published patient of this panel is held out"):
        source.training(DataSection(simulated_per_label=1, real_repeats=1), seed=0)
