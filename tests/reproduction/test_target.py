"""Another release of data than a figure was made with is said before hours are spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from project import ROOT, individual, make_store, script, write_store

from osler.models.base_weights import base_folder
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.reproduction.expected import expected_path
from osler.reproduction.target import other_release
from osler.storage import fingerprint, read_json, sha256_file, write_json

SHIPPED = ROOT / "recipes" / "smollm2-135m" / "symptom_to_diagnosis" / "qlora-v1.yaml"


def patients(**changes: Any) -> list[dict[str, Any]]:
    return [
        individual(
            case_id=f"{disease}-{n}",
            references=[f"PMID:{disease}{n}"],
            disease_id=f"OMIM:{disease}",
            disease=f"Disease {disease}",
            observed=[[hpo_id, ""] for hpo_id in ("HP:9000011", "HP:9000022", "HP:9000030")[n % 3 :]],
            **changes,
        )
        for disease in (900101, 900102)
        for n in range(6)
    ]


@pytest.fixture
def recipe(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with an expected file (another's, but for its recipe and release) of the release that is here."""
    shipped = load_recipe(SHIPPED)
    path = make_store(tmp_path, tiny_base, patients(), name=shipped.name, version=shipped.version)
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    content = read_json(expected_path(SHIPPED))
    content["recipe_sha256"] = load_recipe(path).sha256
    content["content"]["base_fingerprint"] = fingerprint(base_folder(load_recipe(path).base))
    content["content"]["release_sha256"] = sha256_file(tmp_path / "data" / "store" / "cases.jsonl.gz")
    write_json(expected_path(path), content)
    return path


def test_the_release_that_the_expected_file_was_made_with_is_nothing_to_say(recipe: Path) -> None:
    assert other_release(load_recipe(recipe)) is None
    assert other_release(load_recipe(SHIPPED)) is None, "its data are pinned"
    expected_path(recipe).unlink()
    assert other_release(load_recipe(recipe)) is None, "not run yet"


def test_another_release_is_said_before_training_and_not_reproduced(recipe: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "data" / "store" / "cases.jsonl.gz", *patients(sex="male"))
    said = other_release(load_recipe(recipe)) or ""
    assert "another release" in said
    assert "labels, splits and figures are not those published" in said

    planned = script(tmp_path, "train", recipe, "--plan")
    assert planned.returncode == 0, planned.stderr
    assert said in planned.stderr

    reproduced = script(tmp_path, "reproduce", recipe, "--training", "--output", "again")
    assert reproduced.returncode == 1, reproduced.stderr
    assert "data: release (sha256" in reproduced.stdout
    assert not (tmp_path / "again" / "adapter").exists(), "nothing was trained"


def test_a_run_records_its_release(recipe: Path, tmp_path: Path) -> None:
    done = script(tmp_path, "train", recipe, "train.max_steps=1", "--output", "run")
    assert done.returncode == 0, done.stderr
    release = sha256_file(tmp_path / "data" / "store" / "cases.jsonl.gz")
    assert read_json(tmp_path / "run" / "manifest.json")["release_sha256"] == release
    assert read_json(tmp_path / "run" / "data_report.json")["provenance"]["release_sha256"] == release
    # As many held-out cases, and who is trained on is another: classifiers beside the model would learn from others.
    write_store(tmp_path / "data" / "store" / "cases.jsonl.gz", *patients(sex="male"))
    refused = script(tmp_path, "evaluate", "run")
    assert refused.returncode == 2, refused.stdout
    assert f"run: trained on another release of its data (sha256 {release[:12]}) than OSLER_DATA_DIR" in refused.stderr
    assert not (tmp_path / "run" / "results.json").exists()


def test_without_the_release_training_is_refused_in_a_line(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "store" / "cases.jsonl.gz").unlink()
    done = script(tmp_path, "train", recipe, "--output", "run")
    assert done.returncode == 2, done.stdout
    assert "scripts/fetch_phenopackets.py" in done.stderr
    assert not (tmp_path / "run").exists()
