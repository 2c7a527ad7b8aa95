"""Who counts as a published patient, which diseases make a panel, and who is a clean test of what was learnt."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from project import GOLDEN

from osler.errors import InputError
from osler.patients.patient import Patient, years
from osler.patients.published import clean, panel, phenopackets, published_patients, small_publications, training_rows
from osler.terminology.hpo import Annotation, Annotations, Ontology, read_ontology

DISEASE, OTHER = "OMIM:900001", "OMIM:900002"
CASE = "PMID:901"
COHORT = "PMID:902"


def row(
    finding: int | str,
    frequency: str = "",
    publication: str = CASE,
    *,
    disease: str = DISEASE,
    negated: bool = False,
    sex: str | None = None,
    aspect: str = "P",
) -> Annotation:
    """An annotation of a made-up finding: ``1/1``, ``30%`` or no frequency, one publication or several (``a;b``)."""
    counts = (int(frequency.split("/")[0]), int(frequency.split("/")[1])) if "/" in frequency else None
    share = float(frequency[:-1]) / 100 if frequency.endswith("%") else None
    hpo_id = finding if isinstance(finding, str) else f"HP:{9_000_000 + finding}"
    return Annotation(disease, hpo_id, frozenset(publication.split(";")), aspect, negated, counts, share, sex)


def annotations(rows: Iterable[Annotation]) -> Annotations:
    grouped: dict[str, list[Annotation]] = {}
    for annotation in rows:
        grouped.setdefault(annotation.disease, []).append(annotation)
    return Annotations(
        "2099-02-28", dict.fromkeys(grouped, "Made-up disease"), {d: tuple(r) for d, r in grouped.items()}
    )


def findings(
    numbers: Iterable[int], frequency: str, publication: str = CASE, disease: str = DISEASE
) -> list[Annotation]:
    return [row(n, frequency, publication, disease=disease) for n in numbers]


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"HP:{9_000_000 + n}" for n in numbers)


FOUR = findings(range(4), "1/1")


# ── single-patient publications ──────────────────────────────────────────────────────────────────────────────────────


def test_a_publication_that_found_everything_in_one_of_one_is_one_patient() -> None:
    assert published_patients(annotations(FOUR)) == {
        DISEASE: {CASE: Patient(f"{DISEASE}/{CASE}", DISEASE, ids(0, 1, 2, 3), publications=(CASE,))}
    }


@pytest.mark.parametrize(
    "also",
    [
        pytest.param(row(4, "1/2"), id="two patients"),
        pytest.param(row(4, "2/2"), id="two patients, both with it"),
        pytest.param(row(4, "0/3"), id="three patients, none with it"),
        pytest.param(row(4, "50%"), id="a percentage"),
        pytest.param(row(4, "0%"), id="a class of frequency"),
    ],
)
def test_one_frequency_of_more_patients_and_it_is_a_cohort(also: Annotation) -> None:
    assert published_patients(annotations([*FOUR, also])) == {}


def test_a_patient_needs_four_findings_that_are_present() -> None:
    three = [*FOUR[:3], row(4, "0/1"), row(5, "1/1", negated=True), row(6)]
    assert published_patients(annotations(three)) == {}


def test_a_finding_without_frequency_says_nothing_about_the_patient() -> None:
    (patient,) = published_patients(annotations([*FOUR, row(4), row(5, negated=True)]))[DISEASE].values()
    assert patient.present == ids(0, 1, 2, 3)
    assert patient.absent == ()


def test_none_of_one_and_not_are_findings_looked_for_and_absent() -> None:
    rows = [*FOUR, row(8, "0/1"), row(4, "1/1", negated=True), row(0, "0/1")]
    (patient,) = published_patients(annotations(rows))[DISEASE].values()
    assert patient.absent == ids(4, 8), "what is both 1/1 and 0/1 is present"
    assert set(patient.present) == set(ids(0, 1, 2, 3))


def test_sex_and_onset_are_taken_over_where_they_are_clear() -> None:
    onset = row("HP:0003577", "1/1", aspect="C")
    (patient,) = published_patients(annotations([*FOUR, row(4, "1/1", sex="female"), onset]))[DISEASE].values()
    assert (patient.sex, patient.onset) == ("female", "HP:0003577")
    second = row("HP:0003623", "1/1", aspect="C")
    (patient,) = published_patients(annotations([*FOUR, onset, second]))[DISEASE].values()
    assert (patient.sex, patient.onset) == (None, None)


def test_an_onset_seen_in_several_does_not_make_the_findings_of_one_a_cohort() -> None:
    (patient,) = published_patients(annotations([*FOUR, row("HP:0003577", "2/3", aspect="C")]))[DISEASE].values()
    assert patient.onset is None


@pytest.mark.parametrize("reference", [DISEASE, "ORPHA:900", "ISBN-13:978"])
def test_only_publications_in_pubmed_count(reference: str) -> None:
    assert published_patients(annotations(findings(range(4), "1/1", reference))) == {}


def test_rows_that_count_several_publications_together_are_about_no_single_patient() -> None:
    joint = findings(range(4, 8), "1/1", f"{CASE};{COHORT}")
    assert published_patients(annotations(joint)) == {}
    assert small_publications(annotations(joint), [DISEASE], set()) == []
    whole = annotations([*FOUR, *joint, row(8, "2/3", f"{CASE};{COHORT}")])
    (patient,) = published_patients(whole)[DISEASE].values()
    assert (patient.present, patient.publications) == (ids(0, 1, 2, 3), (CASE,))


def test_one_publication_about_two_diseases_is_a_patient_of_each() -> None:
    found = published_patients(annotations([*FOUR, *findings(range(4, 8), "1/1", CASE, OTHER)]))
    assert {disease: list(group) for disease, group in found.items()} == {DISEASE: [CASE], OTHER: [CASE]}
    assert found[OTHER][CASE].present == ids(4, 5, 6, 7)


# ── panels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_disease_enters_the_panel_with_ten_counted_rows_from_others_than_its_patients() -> None:
    chosen = panel(annotations([*FOUR, *findings(range(10), "1/3", COHORT)]), min_patients=1)
    assert {disease: set(group) for disease, group in chosen.items()} == {DISEASE: {CASE}}


NINE = [*FOUR, *findings(range(9), "1/3", COHORT)]


@pytest.mark.parametrize(
    "also",
    [
        pytest.param([], id="nine"),
        pytest.param(findings(range(9, 30), "2/2", "PMID:903"), id="and a publication of two patients"),
        pytest.param(findings(range(9, 30), "1/1", "PMID:903"), id="and another single patient"),
        pytest.param(findings(range(9, 30), "1/3", DISEASE), id="and rows without a publication"),
        pytest.param(findings(range(9, 30), "1/3", f"{COHORT};{CASE}"), id="and rows that count a patient of its test"),
        pytest.param(findings(range(9, 30), "", COHORT), id="and rows without a frequency"),
        pytest.param(findings(range(9, 30), "30%", COHORT), id="and percentages"),
        pytest.param(findings(range(9, 30), "1/3", COHORT, OTHER), id="and another disease's"),
        pytest.param([row("HP:0003577", "1/3", COHORT, aspect="C")], id="and an onset"),
    ],
)
def test_a_disease_with_less_to_learn_from_does_not_enter_the_panel(also: list[Annotation]) -> None:
    assert panel(annotations([*NINE, *also]), min_patients=1) == {}


def test_all_counted_rows_of_a_publication_with_a_cohort_count() -> None:
    # Of a publication of three or more, some findings were looked at in two only.
    assert DISEASE in panel(annotations([*NINE, row(20, "1/2", COHORT)]), min_patients=1)


def test_rows_that_count_several_publications_of_others_count() -> None:
    assert DISEASE in panel(annotations([*NINE, row(20, "2/3", f"{COHORT};PMID:903")]), min_patients=1)


def test_the_small_panel_asks_for_two_patients_and_the_large_one_for_one() -> None:
    learnt = [*findings(range(10), "1/3", COHORT), *findings(range(10), "2/5", COHORT, OTHER)]
    patients = [*FOUR, *findings(range(4), "1/1", "PMID:903"), *findings(range(4), "1/1", CASE, OTHER)]
    release = annotations([*learnt[::-1], *patients])
    assert list(panel(release, min_patients=1)) == [DISEASE, OTHER], "in the order of their ids"
    assert list(panel(release, min_patients=2)) == [DISEASE]


# ── what is left for training ────────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_held_out_publications_are_not_learnt_from() -> None:
    release = annotations([*FOUR, *findings(range(3), "1/3", COHORT), row(9, "1/9", DISEASE)])
    left = training_rows(release, DISEASE, {CASE})
    assert {r.references for r in left} == {frozenset({COHORT}), frozenset({DISEASE})}
    assert len(left) == 4


def test_rows_that_count_a_held_out_patient_among_others_are_not_learnt_from() -> None:
    release = annotations([*FOUR, *findings(range(4), "4/4", f"{COHORT};{CASE}")])
    assert training_rows(release, DISEASE, {CASE}) == []


def test_publications_of_one_or_two_are_a_patient_each() -> None:
    pair = [
        row(0, "2/2"),
        row(1, "1/1"),
        row(2, "2/2"),
        row(3, "2/2"),
        row(4, "1/2"),
        row(5, "0/2"),
        row(6),
        row(7, "40%"),
    ]
    pair.append(row(8, "2/2", negated=True))
    (patient,) = small_publications(annotations(pair), [DISEASE], held_out=set())
    assert patient.present == ids(0, 1, 2, 3), "what both have, or the one who was looked at"
    assert patient.absent == ids(5, 8), "what neither has; what one has and the other has not is neither"
    assert patient.publications == (CASE,)


@pytest.mark.parametrize(
    ("rows", "held_out"),
    [
        pytest.param(FOUR, {CASE}, id="held out"),
        pytest.param(FOUR[:3], set(), id="three findings"),
        pytest.param([*FOUR, row(4, "0/3")], set(), id="three patients"),
        pytest.param(findings(range(4), "1/1", DISEASE), set(), id="no publication"),
        pytest.param(findings(range(4), "", CASE), set(), id="no frequencies"),
    ],
)
def test_other_publications_are_no_training_patients(rows: list[Annotation], held_out: set[str]) -> None:
    assert small_publications(annotations(rows), [DISEASE], held_out) == []


def test_small_publications_of_other_diseases_are_left_alone() -> None:
    release = annotations([*FOUR, *findings(range(4), "1/1", COHORT, OTHER)])
    assert [p.disease for p in small_publications(release, [OTHER], set())] == [OTHER]


# ── clean patients ───────────────────────────────────────────────────────────────────────────────────────────────────


def stored(*publications: str, disease: str = DISEASE) -> Patient:
    return Patient("stored", disease, ids(0), publications=publications)


def test_a_patient_is_clean_when_their_disease_was_not_annotated_from_their_publication() -> None:
    release = annotations([*FOUR, *findings(range(4), "1/3", COHORT, OTHER)])
    new, used, one_of_two, elsewhere = stored("PMID:999"), stored(CASE), stored("PMID:999", CASE), stored(COHORT)
    assert clean([new, used, one_of_two, elsewhere], release) == [new, elsewhere]


def test_a_patient_of_a_disease_without_annotations_tests_nothing() -> None:
    assert clean([stored("PMID:999", disease=OTHER)], annotations(FOUR)) == []


def test_a_patient_whose_publication_was_counted_together_with_others_is_not_clean() -> None:
    assert clean([stored(CASE)], annotations(findings(range(4), "4/4", f"{COHORT};{CASE}"))) == []


# ── phenopackets ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


def individual(**changes: Any) -> dict[str, Any]:
    return {
        "case_id": "PMID_901_Ada",
        "cohort": "LAMP1X",
        "references": [CASE],
        "disease_id": DISEASE,
        "sex": "female",
        "age": "P5Y6M",
        "observed": [["HP:9000010", "Glowing skin"]],
        "excluded": [],
        **changes,
    }


def store(tmp_path: Path, *individuals: Any) -> Path:
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(case) + "\n" for case in individuals).encode()))
    return path


def test_a_phenopacket_is_read_as_it_is(tmp_path: Path, ontology: Ontology) -> None:
    path = store(tmp_path, individual(excluded=[["HP:9000030", "Quillby sign"]]))
    assert phenopackets(path, ontology) == [
        Patient(
            case_id=f"{DISEASE}/LAMP1X/PMID_901_Ada",
            disease=DISEASE,
            present=("HP:9000010",),
            absent=("HP:9000030",),
            sex="female",
            age=5.5,
            publications=(CASE,),
        )
    ]


def test_findings_are_those_of_the_ontology_under_their_current_ids_each_once(
    tmp_path: Path, ontology: Ontology
) -> None:
    unknown, obsolete, onset, any_sign = "HP:9999999", "HP:9000098", "HP:0003577", "HP:0000118"
    observed = ["HP:9000911", unknown, "HP:9000011", obsolete, onset, any_sign, "HP:9000020"]
    excluded = [unknown, "HP:9000012", "HP:9000020", "HP:9000912"]
    case = individual(observed=[[i, ""] for i in observed], excluded=[[i, ""] for i in excluded])
    (patient,) = phenopackets(store(tmp_path, case), ontology)
    assert patient.present == ("HP:9000011", "HP:9000020")
    assert patient.absent == ("HP:9000012",), "what is observed is not excluded"


@pytest.mark.parametrize(
    ("sex", "expected"), [("male", "male"), ("female", "female"), ("unknown", None), ("other", None), (None, None)]
)
def test_a_sex_that_is_not_known_stays_unknown(
    tmp_path: Path, ontology: Ontology, sex: str | None, expected: str | None
) -> None:
    assert phenopackets(store(tmp_path, individual(sex=sex)), ontology)[0].sex == expected


def test_individuals_without_a_known_finding_are_left_out(tmp_path: Path, ontology: Ontology) -> None:
    nothing, unknown = individual(observed=[]), individual(observed=[["HP:9999999", "Newer than this release"]])
    only_excluded = individual(observed=[], excluded=[["HP:9000010", "Glowing skin"]])
    assert phenopackets(store(tmp_path, nothing, unknown, only_excluded), ontology) == []


WITHOUT_SEX = {key: value for key, value in individual().items() if key != "sex"}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(WITHOUT_SEX, id="no sex"),
        pytest.param(["a", "list"], id="a list"),
        pytest.param(individual(observed=["HP:9000010"]), id="findings without labels"),
        pytest.param(individual(age=5), id="an age that is a number"),
    ],
)
def test_a_line_that_is_no_phenopacket_is_named(tmp_path: Path, ontology: Ontology, bad: Any) -> None:
    path = store(tmp_path, individual(), bad)
    with pytest.raises(InputError, match=rf"^{path}:2: "):
        phenopackets(path, ontology)


def test_a_line_that_is_no_json_is_named(tmp_path: Path, ontology: Ontology) -> None:
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"case_id": "PMID_901_Ada",\n'))
    with pytest.raises(InputError, match=rf"^{path}:1: "):
        phenopackets(path, ontology)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-12], gzip.decompress], ids=["cut off", "not compressed"])
def test_a_store_that_was_not_downloaded_to_its_end_is_named(tmp_path: Path, ontology: Ontology, damage: Any) -> None:
    path = store(tmp_path, *[individual(case_id=f"PMID_901_{n}") for n in range(200)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=str(path)):
        phenopackets(path, ontology)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("P5Y", 5),
        ("P5Y8M", 5 + 8 / 12),
        ("P7M", 7 / 12),
        ("P3W", 3 / 52),
        ("P1Y2M3D", 1 + 2 / 12 + 3 / 365),
        ("P0D", 0),
        ("P2DT6H", 2 / 365),
        ("PT6H", None),
        ("P", None),
        ("", None),
        (None, None),
        ("Congenital onset", None),
        ("5 years", None),
    ],
)
def test_ages_are_in_years(duration: str | None, expected: float | None) -> None:
    assert years(duration) == (None if expected is None else pytest.approx(expected))
