"""Who counts as a published patient, which diseases make a panel, and who can test what was learnt."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from osler.patients.patient import Patient
from osler.patients.published import (
    disease_panel,
    publication_disjoint,
    published_patients,
    small_publications,
    training_rows,
)
from osler.terminology.hpo import Annotation, Annotations

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
    chosen = disease_panel(annotations([*FOUR, *findings(range(10), "1/3", COHORT)]), min_patients=1)
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
    assert disease_panel(annotations([*NINE, *also]), min_patients=1) == {}


def test_all_counted_rows_of_a_publication_with_a_cohort_count() -> None:
    # Of a publication of three or more, some findings were looked at in two only.
    assert DISEASE in disease_panel(annotations([*NINE, row(20, "1/2", COHORT)]), min_patients=1)


def test_rows_that_count_several_publications_of_others_count() -> None:
    assert DISEASE in disease_panel(annotations([*NINE, row(20, "2/3", f"{COHORT};PMID:903")]), min_patients=1)


def test_the_small_panel_asks_for_two_patients_and_the_large_one_for_one() -> None:
    learnt = [*findings(range(10), "1/3", COHORT), *findings(range(10), "2/5", COHORT, OTHER)]
    patients = [*FOUR, *findings(range(4), "1/1", "PMID:903"), *findings(range(4), "1/1", CASE, OTHER)]
    release = annotations([*learnt[::-1], *patients])
    assert list(disease_panel(release, min_patients=1)) == [DISEASE, OTHER], "in the order of their ids"
    assert list(disease_panel(release, min_patients=2)) == [DISEASE]


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
    assert publication_disjoint([new, used, one_of_two, elsewhere], release) == [new, elsewhere]


def test_a_patient_of_a_disease_without_annotations_tests_nothing() -> None:
    assert publication_disjoint([stored("PMID:999", disease=OTHER)], annotations(FOUR)) == []


def test_a_patient_whose_publication_was_counted_together_with_others_is_not_clean() -> None:
    assert publication_disjoint([stored(CASE)], annotations(findings(range(4), "4/4", f"{COHORT};{CASE}"))) == []
