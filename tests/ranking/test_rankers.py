"""Every disease scored at once: the same as the formulas, written plainly, give for one disease and one term."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from project import GOLDEN

from osler.baselines.semantic_similarity import Similarity
from osler.errors import InputError
from osler.patients import Patient, pool_annotations
from osler.ranking import RANKERS, DiseaseIndex, Rankers, evidence, ranks, z_scores
from osler.ranking.evidence import Match
from osler.terminology import Annotations, Ontology, read_annotations, read_ontology

LAMP, HUM, QUILLBY = "OMIM:900101", "OMIM:900102", "OMIM:900103"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


@pytest.fixture(scope="module")
def annotations(ontology: Ontology) -> Annotations:
    return read_annotations(GOLDEN / "cohort.hpoa", ontology)


@pytest.fixture(scope="module")
def index(ontology: Ontology, annotations: Annotations) -> DiseaseIndex:
    return DiseaseIndex.build(ontology, annotations)


@pytest.fixture(scope="module")
def rankers(index: DiseaseIndex) -> Rankers:
    return Rankers(index)


def patient(*present: str, absent: tuple[str, ...] = ()) -> Patient:
    return Patient("made-up", "", present, absent)


def some_patients(index: DiseaseIndex, n: int = 30) -> list[Patient]:
    rng = random.Random(0)
    terms = [term for term in index.terms if term != "HP:0000118"]
    return [patient(*(drawn := rng.sample(terms, rng.randint(2, 4)))[1:], absent=(drawn[0],)) for _ in range(n)]


def test_omim_is_ranked_and_the_others_on_request(ontology: Ontology, annotations: Annotations) -> None:
    assert DiseaseIndex.build(ontology, annotations).diseases == (LAMP, HUM, QUILLBY)
    assert DiseaseIndex.build(ontology, annotations, ("ORPHA",)).names == ("Lamp disorder",)
    with pytest.raises(InputError, match="no disease of DECIPHER has a finding in HPOA 2099-02-28"):
        DiseaseIndex.build(ontology, annotations, ("DECIPHER",))


def test_a_disease_has_what_its_findings_imply_at_least_as_often(
    index: DiseaseIndex, ontology: Ontology, annotations: Annotations
) -> None:
    implied, annotated = index.implied.toarray(), index.annotated.toarray()
    for row, disease in enumerate(index.diseases):
        findings = pool_annotations(annotations.rows[disease], ontology).findings
        for column, term in enumerate(index.terms):
            below = [p for finding, p in findings.items() if term in ontology.ancestors(finding)]
            assert annotated[row, column] == findings.get(term, 0.0)
            assert implied[row, column] == max(below, default=0.0)


def test_what_nobody_has_is_not_excluded_where_something_below_it_is_there(index: DiseaseIndex) -> None:
    excluded = index.excluded.toarray()
    assert {index.terms[c] for c in np.flatnonzero(excluded[index.row[HUM]])} == {"HP:9000012"}
    assert not excluded[index.row[LAMP]].any(), "0/1 hum, but 2/10 have humming palms"


def test_resnik_is_what_the_baseline_computes(
    index: DiseaseIndex, rankers: Rankers, ontology: Ontology, annotations: Annotations
) -> None:
    omim = {disease: annotations.rows[disease] for disease in index.diseases}
    plain = Similarity(ontology, Annotations(annotations.release, annotations.names, omim), index.diseases)
    for one in some_patients(index):
        assert rankers.score(one).of("resnik") == pytest.approx(plain.scores(one.present))


def test_the_other_scores_are_their_formulas(index: DiseaseIndex, rankers: Rankers, ontology: Ontology) -> None:
    implied, column = index.implied.toarray(), index.column
    for one in some_patients(index):
        closed = [column[a] for a in {a for i in one.present for a in ontology.ancestors(i) & ontology.phenotypes}]
        scores = rankers.score(one)
        for row in range(len(index.diseases)):
            weighted = implied[row] * index.information
            cosine = weighted[closed].sum() / (np.linalg.norm(weighted) or 1.0)
            assert scores.of("cosine")[row] == pytest.approx(cosine)
            has = np.flatnonzero(implied[row])
            both, either = (index.information[list(terms)].sum() for terms in ({*has} & {*closed}, {*has} | {*closed}))
            assert scores.of("sim_gic")[row] == pytest.approx(both / either)
            for ranker, findings in (("naive_bayes", one.present), ("absent", one.absent)):
                expected = sum(log_ratio(index, ontology, row, finding, ranker) for finding in findings)
                assert scores.of(ranker)[row] == pytest.approx(expected)


def log_ratio(index: DiseaseIndex, ontology: Ontology, row: int, finding: str, ranker: str) -> float:
    own, implied = index.column[finding], index.implied.toarray()[row]
    above = [index.column[a] for a in ontology.ancestors(finding) & ontology.phenotypes if a != finding]
    background = index.background
    p = max([0.85 * implied[own], *(0.8 * implied[a] * background[own] / background[a] for a in above)])
    p += 0.15 * background[own]
    return math.log(p / background[own]) if ranker == "naive_bayes" else math.log((1 - p) / (1 - background[own]))


def test_a_finding_told_twice_counts_once(rankers: Rankers) -> None:
    once, twice = (rankers.score(patient(*findings)) for findings in (["HP:9000011"], ["HP:9000011"] * 2))
    assert np.array_equal(once.values, twice.values)


def test_a_patient_without_a_finding_is_not_ranked(rankers: Rankers) -> None:
    with pytest.raises(ValueError, match="made-up: no present finding"):
        rankers.score(patient(absent=("HP:9000011",)))


def test_scores_become_comparable_and_one_that_says_nothing_counts_nothing() -> None:
    assert z_scores(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])) == pytest.approx(
        np.array([[-1.2247448714, 0, 1.2247448714], [0, 0, 0]])
    )
    assert np.array_equal(ranks(np.array([[3.0, 2.0, 2.0, 1.0]]), [1]), [2.5])
    assert np.array_equal(ranks(np.array([[3.0, 2.0, 2.0, 1.0]]), [3, 0]), [1.0]), "any id of the disease counts"


def test_the_evidence_says_how_each_finding_is_matched(index: DiseaseIndex) -> None:
    found = evidence(index, patient("HP:9000012", "HP:9000021", absent=("HP:9000010",)), LAMP)
    assert [match.finding for match in found.matched] == ["HP:9000012"]
    assert found.matched[0].share == pytest.approx((14 + 0.5) / (17 + 1))
    assert (found.unexplained, found.contradicted) == (("HP:9000021",), ())
    assert {(match.finding, match.term) for match in found.expected_but_absent} >= {("HP:9000010", "HP:9000011")}
    hum = evidence(index, patient("HP:9000012", "HP:9000021"), HUM)
    assert (hum.contradicted, [match.term for match in hum.matched]) == (("HP:9000012",), ["HP:9000021"])
    assert hum.expected_but_absent == ()


def test_a_match_above_is_told_as_such_and_an_organ_system_is_none(
    ontology: Ontology, annotations: Annotations
) -> None:
    below = "HP:9000013"
    term = ontology.terms["HP:9000022"]
    deeper = Ontology(ontology.release, {**ontology.terms, below: type(term)(below, "Deep", ("HP:9000011",), ())}, {})
    index = DiseaseIndex.build(deeper, annotations)
    found = evidence(index, patient(below), LAMP)
    assert found.matched_more_generally == (Match(below, "HP:9000011", pytest.approx(14.5 / 18)),)
    assert evidence(index, patient(below), QUILLBY).unexplained == (below,)


def test_all_rankers_have_a_row(rankers: Rankers) -> None:
    assert rankers.score(patient("HP:9000011")).values.shape == (len(RANKERS), 3)
