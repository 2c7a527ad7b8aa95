"""The likelihood ratios of findings, checked by hand on the made-up ontology."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from project import GOLDEN

from osler.baselines.ontology_naive_bayes import NaiveBayes
from osler.patients.patient import Patient
from osler.patients.published import training_annotations
from osler.terminology.hpo import Annotations, Ontology, read_annotations, read_ontology

LANTERN, DRONE = "OMIM:900001", "OMIM:900002"
ROOT, SKIN, PALMS, SOLES = "HP:0000118", "HP:9000010", "HP:9000011", "HP:9000012"
HUMMING, AT_NIGHT, HUMMING_PALMS = "HP:9000020", "HP:9000021", "HP:9000022"
QUILLBY, EWG, FOOTPRINTS = "HP:9000030", "HP:9000031", "HP:9000032"

# What mini.hpoa says of the two diseases, pooled as the simulator pools it: half a patient of one more has the finding.
LANTERN_HAS = {SKIN: 9.5 / 11, PALMS: 1.5 / 11, SOLES: 4 / 11, QUILLBY: 9.5 / 11, EWG: 4.5 / 11}
DRONE_HAS = {HUMMING: 1.75 / 11}
# The mean of the two, and half of a third.
BACKGROUND = {
    SKIN: (9.5 / 11 + 0.5) / 3,
    PALMS: (1.5 / 11 + 0.5) / 3,
    SOLES: (4 / 11 + 0.5) / 3,
    HUMMING: (1.75 / 11 + 0.5) / 3,
    AT_NIGHT: 0.5 / 3,
    HUMMING_PALMS: 0.5 / 3,
    QUILLBY: (9.5 / 11 + 0.5) / 3,
    FOOTPRINTS: 0.5 / 3,
}


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


@pytest.fixture(scope="module")
def annotations(ontology: Ontology) -> Annotations:
    return read_annotations(GOLDEN / "mini.hpoa", ontology)


@pytest.fixture(scope="module")
def bayes(ontology: Ontology, annotations: Annotations) -> NaiveBayes:
    return NaiveBayes(ontology, annotations, [DRONE, LANTERN])


def patient(*present: str, absent: tuple[str, ...] = ()) -> Patient:
    return Patient("case", LANTERN, present, absent)


@pytest.mark.parametrize(
    ("finding", "lantern", "drone"),
    [
        pytest.param(QUILLBY, LANTERN_HAS[QUILLBY], BACKGROUND[QUILLBY], id="annotated, and not: the background"),
        pytest.param(SKIN, LANTERN_HAS[SKIN], BACKGROUND[SKIN], id="annotated, like two terms below it"),
        pytest.param(
            HUMMING_PALMS,
            LANTERN_HAS[PALMS] * BACKGROUND[HUMMING_PALMS] / BACKGROUND[PALMS],
            DRONE_HAS[HUMMING] * BACKGROUND[HUMMING_PALMS] / BACKGROUND[HUMMING],
            id="below what is annotated, by one parent and by the other",
        ),
        pytest.param(
            AT_NIGHT,
            BACKGROUND[AT_NIGHT] * 0.1,
            DRONE_HAS[HUMMING] * BACKGROUND[AT_NIGHT] / BACKGROUND[HUMMING],
            id="counted in nobody, and below what is annotated",
        ),
        pytest.param(FOOTPRINTS, BACKGROUND[FOOTPRINTS], BACKGROUND[FOOTPRINTS] * 0.1, id="a frequency of zero"),
    ],
)
def test_a_finding_is_as_likely_as_its_annotations_make_it(
    bayes: NaiveBayes, finding: str, lantern: float, drone: float
) -> None:
    assert bayes.diseases == (LANTERN, DRONE)
    assert bayes.likelihood(finding) == pytest.approx([lantern, drone])


def test_an_ancestor_is_as_frequent_as_the_commonest_of_its_annotated_descendants(
    ontology: Ontology, annotations: Annotations
) -> None:
    without_skin = tuple(row for row in annotations.rows[LANTERN] if row.hpo_id != SKIN)
    bayes = NaiveBayes(ontology, replace(annotations, rows={**annotations.rows, LANTERN: without_skin}), [LANTERN])
    assert bayes.likelihood(SKIN) == pytest.approx([4 / 11])


def test_the_posterior_is_the_product_over_present_and_absent_findings(bayes: NaiveBayes) -> None:
    lantern = LANTERN_HAS[QUILLBY] * LANTERN_HAS[SOLES] * (1 - BACKGROUND[AT_NIGHT] * 0.1)
    drone = BACKGROUND[QUILLBY] * BACKGROUND[SOLES] * (1 - DRONE_HAS[HUMMING] * (0.5 / 3) / BACKGROUND[HUMMING])
    posterior = np.exp(bayes.log_posterior(patient(QUILLBY, SOLES, absent=(AT_NIGHT,))))
    assert posterior == pytest.approx([lantern / (lantern + drone), drone / (lantern + drone)])
    assert posterior.sum() == pytest.approx(1)


def test_an_absent_finding_speaks_against_the_disease_that_has_it(bayes: NaiveBayes) -> None:
    lantern, drone = np.exp(bayes.log_posterior(patient(QUILLBY, absent=(SKIN,))))
    without, _ = np.exp(bayes.log_posterior(patient(QUILLBY)))
    assert lantern < without
    odds = (1 - LANTERN_HAS[SKIN]) / (1 - BACKGROUND[SKIN])
    assert lantern / drone == pytest.approx(without / (1 - without) * odds)


def test_what_is_implied_counts_once(bayes: NaiveBayes) -> None:
    alone = bayes.log_posterior(patient(SOLES, absent=(HUMMING,)))
    assert bayes.log_posterior(patient(SOLES, SKIN, ROOT, absent=(AT_NIGHT, HUMMING))) == pytest.approx(alone)


def test_nothing_found_leaves_every_disease_as_likely(bayes: NaiveBayes) -> None:
    assert np.exp(bayes.log_posterior(patient())) == pytest.approx([0.5, 0.5])


def test_many_findings_do_not_underflow(bayes: NaiveBayes, ontology: Ontology) -> None:
    everything = tuple(sorted(ontology.phenotypes))
    assert np.exp(bayes.log_posterior(patient(*everything))).sum() == pytest.approx(1)
    assert np.isfinite(bayes.log_posterior(patient(QUILLBY, absent=everything))).all()


def test_a_disease_without_annotations_is_judged_by_the_background(
    ontology: Ontology, annotations: Annotations
) -> None:
    left = training_annotations(annotations, {"PMID:903"})
    bayes = NaiveBayes(ontology, left, [LANTERN, "OMIM:999999"])
    assert bayes.likelihood(QUILLBY)[1] == bayes.background[QUILLBY]
    assert math.exp(bayes.log_posterior(patient(QUILLBY))[0]) > 0.5
