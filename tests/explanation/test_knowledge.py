"""What is known beside a model, from the files that its task names."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import finished
import pytest
import yaml
from project import individual, make, make_store
from worded import HUMMING, PALMS, SOLES

from osler.errors import InputError
from osler.explanation import knowledge
from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection

LAMP, HUM = "OMIM:900101", "OMIM:900102"
PINNED = {"model": finished.BASE, "revision": finished.COMMIT}
BASE = BaseSection(model=finished.BASE)


def run_of(recipe: Path, provenance: dict[str, Any]) -> Any:
    """What is asked of a run directory here."""
    loaded = load_recipe(recipe)
    return SimpleNamespace(
        folder=recipe.parent,
        recipe=lambda: loaded,
        read_panel=lambda: SimpleNamespace(labels={LAMP: "Lamp disease", HUM: "Hum disease"}),
        read_data_report=lambda: SimpleNamespace(provenance=provenance),
    )


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of a project with two published patients."""
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    palms = individual(case_id="a", references=["PMID:1"], disease_id=LAMP, observed=[[PALMS, "x"], [SOLES, "y"]])
    hums = individual(case_id="b", references=["PMID:2"], disease_id=HUM, observed=[[HUMMING, "z"]])
    return make_store(tmp_path, BASE, [palms, hums], base=PINNED)


def test_findings_evidence_and_published_patients_of_a_task_of_hpo(stored: Path) -> None:
    known = knowledge.load(run_of(stored, {"training_publications": ["PMID:1"]}))
    assert known.missing == ()
    found = known.read("The child has glowing palms. There is no humming.")
    assert found is not None
    assert (found.present, found.absent) == ((PALMS,), (HUMMING,))
    assert known.read("Nothing.") is None
    assert known.published is not None
    (near,) = known.published.nearest(found)
    assert (near.name, near.publications, near.trained_on) == ("Lamp disease", ("PMID:1",), True)
    told = known.for_and_against(found, LAMP, "Lamp disease")
    assert told is not None
    assert PALMS in {one.finding.id for one in told.matched}
    assert known.for_and_against(found, "OMIM:1", "nobody's") is None
    assert set(known.profile(LAMP)) <= {*known.index.terms}  # type: ignore[union-attr]


def test_what_is_not_here_is_said(stored: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").mkdir()
    known = knowledge.load(run_of(stored, {}))
    assert known.published is None
    assert "store/cases.jsonl.gz is not on this machine" in known.missing[0]
    with pytest.raises(InputError, match="told from patients of HPO's files"):
        knowledge.training_rows(run_of(stored, {}), load_recipe(stored), known)


def test_training_rows_that_are_texts_are_told_by_their_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = make_store(tmp_path / "hpo", BASE, [], base=PINNED)
    ontology = yaml.safe_load((tmp_path / "hpo/tasks/made_up/task.yaml").read_text())["source"]["ontology"]
    monkeypatch.setenv("OSLER_CACHE", str(stored.parents[1] / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "texts/data"))
    recipe = make(tmp_path / "texts", BASE, base=PINNED)
    task = tmp_path / "texts/tasks/made_up/task.yaml"
    content = yaml.safe_load(task.read_text())
    content["terminology"] = {"ontology": ontology}
    task.write_text(yaml.safe_dump(content))
    rows = tmp_path / "texts/data/made_up/train.jsonl"
    rows.write_text('{"complaint": "My hands: glowing palms, no humming.", "diagnosis": "Noonan syndrome"}\n')
    run = run_of(recipe, {})
    known = knowledge.load(run)
    assert known.missing[0] == "for and against: the labels are no diseases of HPO's annotations"
    trained = knowledge.training_rows(run, load_recipe(recipe), known)
    found = known.read("Glowing palms.")
    assert found is not None
    (near,) = trained.nearest(found)
    assert (near.case_id, near.label, near.publications, near.trained_on) == (
        "train/00001",
        "Noonan syndrome",
        (),
        True,
    )
