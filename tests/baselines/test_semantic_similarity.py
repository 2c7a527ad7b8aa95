"""Semantic similarity, checked by hand on the made-up ontology."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from project import GOLDEN

from osler.baselines.semantic_similarity import Similarity
from osler.terminology.hpo import Annotations, Ontology, read_annotations, read_ontology

LANTERN, DRONE, PALM = "OMIM:900001", "OMIM:900002", "OMIM:900003"
SKIN, PALMS, SOLES = "HP:9000010", "HP:9000011", "HP:9000012"
HUMMING, AT_NIGHT, HUMMING_PALMS = "HP:9000020", "HP:9000021", "HP:9000022"
QUILLBY, EWG = "HP:9000030", "HP:9000031"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")


@pytest.fixture(scope="module")
def annotations(ontology: Ontology) -> Annotations:
    """mini.hpoa's two diseases, a third that has glowing palms and nothing else, and one of which nothing is left."""
    mini = read_annotations(GOLDEN / "mini.hpoa", ontology)
    palms = replace(mini.rows[LANTERN][1], disease=PALM)
    nothing = replace(palms, disease="OMIM:900004", negated=True)
    return replace(mini, rows={**mini.rows, PALM: (palms,), "OMIM:900004": (nothing,)})


@pytest.fixture(scope="module")
def similarity(ontology: Ontology, annotations: Annotations) -> Similarity:
    return Similarity(ontology, annotations, annotations.rows)


def test_a_term_says_the_more_the_fewer_diseases_have_it_or_a_term_below_it(similarity: Similarity) -> None:
    expected = {"HP:0000118": 0.0, SKIN: log(3 / 2), PALMS: log(3 / 2), SOLES: log(3), HUMMING: log(3)}
    assert {i: similarity.information[i] for i in expected} == pytest.approx(expected)
    assert AT_NIGHT not in similarity.information, "nobody has it: it was counted in no patient of ten"


def test_best_matches_are_averaged_both_ways(similarity: Similarity) -> None:
    # Humming palms are glowing palms (of two diseases of three) and a humming (of one).
    palms, humming = log(3 / 2), log(3)
    scores = dict(zip(similarity.diseases, similarity.scores([HUMMING_PALMS, QUILLBY]), strict=True))
    lantern = (palms + log(3)) / 2, (palms + palms + palms + log(3) + 0) / 5  # skin, palms, soles, Quillby, EWG
    assert scores == pytest.approx(
        {
            LANTERN: sum(lantern) / 2,
            DRONE: ((humming + 0) / 2 + humming) / 2,
            PALM: ((palms + 0) / 2 + palms) / 2,
        }
    )


def test_a_disease_without_findings_is_not_ranked(similarity: Similarity) -> None:
    assert similarity.diseases == (LANTERN, DRONE, PALM)


def test_a_panel_is_scored_as_it_is_among_all_diseases(
    similarity: Similarity, ontology: Ontology, annotations: Annotations
) -> None:
    panel = Similarity(ontology, annotations, [PALM, LANTERN])
    assert panel.diseases == (LANTERN, PALM)
    assert panel.information == similarity.information
    for findings in ([SOLES], [HUMMING_PALMS, EWG], [AT_NIGHT]):
        assert panel.scores(findings) == pytest.approx(similarity.scores(findings)[[0, 2]])


def test_no_finding_is_like_no_disease(similarity: Similarity) -> None:
    assert np.array_equal(similarity.scores(["HP:0000118"]), np.zeros(3))
    with pytest.raises(ValueError, match="no findings to compare"):
        similarity.scores([])
