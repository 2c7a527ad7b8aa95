"""The scores of all rankers become one probability a candidate, and one for none of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from project import GOLDEN

from osler.errors import InputError
from osler.patients import Patient
from osler.ranking import DiseaseIndex, Rankers
from osler.ranking.fusion import FEATURES, Example, Fusion, candidates, fit
from osler.storage import read_model, write_model
from osler.terminology import read_annotations, read_ontology


def examples(n: int = 60, informative: int = 3, seed: int = 0) -> list[Example]:
    """Five candidates each; the right one has the largest value of one feature. Every fifth has no right one."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        features = rng.normal(size=(5, len(FEATURES)))
        right = np.zeros(5, dtype=bool)
        if number % 5:
            right[features[:, informative].argmax()] = True
        made.append(Example(features, right, f"PMID:{number}"))
    return made


def test_the_weights_find_what_tells_the_right_disease() -> None:
    fusion = fit(examples(n=300))
    assert np.argmax(np.abs(fusion.weights)) == 3
    found = [fusion.probabilities(example.features) for example in examples(seed=1)]
    assert all(p.sum() == pytest.approx(1) for p in found)
    right = [p[:-1].argmax() == example.right.argmax() for p, example in zip(found, examples(seed=1), strict=True)]
    assert np.mean([r for r, example in zip(right, examples(seed=1), strict=True) if example.right.any()]) > 0.75, (
        "chance: 0.2"
    )


def test_none_of_these_is_as_likely_as_it_was() -> None:
    noise = [Example(e.features[:, ::-1].copy(), e.right, e.publication) for e in examples(informative=3, n=200)]
    fusion = fit([Example(np.zeros_like(e.features), e.right, e.publication) for e in noise])
    assert fusion.probabilities(np.zeros((5, len(FEATURES))))[-1] == pytest.approx(0.2, abs=0.01)


def test_every_publication_counts_alike() -> None:
    zeros = np.zeros((2, len(FEATURES)))
    first, second = np.array([True, False]), np.array([False, False])
    family = [Example(zeros, second, "PMID:1")] * 9
    fusion = fit([*family, Example(zeros, first, "PMID:2")])
    assert fusion.probabilities(zeros)[-1] == pytest.approx(0.5, abs=0.01)
    assert (fusion.patients, fusion.publications) == (10, 2)


def test_nothing_right_is_nothing_to_fit() -> None:
    with pytest.raises(InputError, match="no patient has the right disease among the candidates"):
        fit([Example(e.features, np.zeros(5, dtype=bool), e.publication) for e in examples()])


def test_it_is_a_file_and_one_of_other_features_is_refused(tmp_path: Path) -> None:
    fusion, path = fit(examples()), tmp_path / "fusion.json"
    write_model(path, fusion)
    assert read_model(path, Fusion) == fusion
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "features": content["features"][1:]}))
    with pytest.raises(InputError, match="other ones than this version computes"):
        read_model(path, Fusion)


def test_candidates_are_the_best_first_with_a_number_for_each_feature() -> None:
    ontology = read_ontology(GOLDEN / "mini.obo")
    rankers = Rankers(DiseaseIndex.build(ontology, read_annotations(GOLDEN / "cohort.hpoa", ontology)))
    found = candidates(rankers, Patient("p", "", ("HP:9000021", "HP:9000022")), n=2)
    assert rankers.index.diseases[found.rows[0]] == "OMIM:900102"
    assert found.features.shape == (2, len(FEATURES))
    assert np.isfinite(found.features).all()
    assert (found.features[0, len(FEATURES) // 3 : 2 * len(FEATURES) // 3] <= 0).all(), "none is above the best"
