"""Who the weights are fitted on: a family is not thirty examples, and what is shipped is what fitting gives."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from project import GOLDEN, ROOT, script

from osler.patients import Patient
from osler.ranking import DiseaseIndex, Fusion, Rankers, examples, load_fusion
from osler.storage import read_model
from osler.terminology import read_annotations, read_ontology

LAMP, HUM = "OMIM:900101", "OMIM:900102"


def test_a_unit_gives_two_examples_of_a_disease_at_most_and_an_unknown_disease_is_none_of_these() -> None:
    ontology = read_ontology(GOLDEN / "mini.obo")
    rankers = Rankers(DiseaseIndex.build(ontology, read_annotations(GOLDEN / "cohort.hpoa", ontology)))
    family = [Patient(f"f{n}", LAMP, ("HP:9000011", "HP:9000012")) for n in range(9)]
    other = Patient("o", HUM, ("HP:9000020",))
    unknown = Patient("u", "OMIM:1", ("HP:9000020",))
    units = {**{patient.case_id: "PMID:1" for patient in family}, "o": "PMID:1", "u": "PMID:2"}
    made = examples(rankers, [*family, other, unknown], units)
    assert sorted(one.publication for one in made) == ["PMID:1"] * 3 + ["PMID:2"]
    assert [bool(one.right.any()) for one in made if one.publication == "PMID:2"] == [False]


@pytest.mark.slow
def test_the_weights_that_are_shipped_are_those_that_fitting_gives(tmp_path: Path) -> None:
    data = Path(os.environ.get("OSLER_DATA_DIR") or ROOT.parent / "shared" / "data")
    if not (data / "phenopacket_store" / "cases.jsonl.gz").is_file():
        pytest.skip("the subset of Phenopacket Store is not here")
    done = script(tmp_path, "fit_ranking", "--output", tmp_path / "fusion.json", OSLER_DATA_DIR=str(data))
    assert done.returncode == 0, done.stderr
    assert "with these weights" in done.stdout
    made, shipped = read_model(tmp_path / "fusion.json", Fusion), load_fusion()
    assert (made.patients, made.publications) == (shipped.patients, shipped.publications)
    assert np.allclose(made.weights, shipped.weights, atol=1e-3)


def test_without_the_store_it_is_said_where_to_get_it(tmp_path: Path) -> None:
    done = script(tmp_path, "fit_ranking", "--output", tmp_path / "fusion.json", OSLER_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "scripts/fetch_phenopackets.py" in done.stderr
    assert not (tmp_path / "fusion.json").exists()
