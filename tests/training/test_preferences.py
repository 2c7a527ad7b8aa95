"""A run's model learns to prefer right labels to its own confident errors, on cases that its double has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from project import losses, make, script
from safetensors.torch import load_file

from osler.recipe.sections import BaseSection

STAGE = ("base.model=sft/merged", "loss={name: completion}", "preferences={folds: 2, confidence: 0.01}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A project with a fine-tuned run, sft, merged, and one that prefers, dpo."""
    folder: Path = tmp_path_factory.mktemp("preferences")
    path = make(
        folder, tiny_base, train={"max_steps": 2, "save_steps": 1, "train_sampling_strategy": "group_by_length"}
    )
    assert script(folder, "train", path, "--output", "sft").returncode == 0
    assert script(folder, "evaluate", "sft", "--merged").returncode == 0
    planned = script(folder, "train", path, *STAGE, "--plan")
    assert "first       2 trainings more find the pairs" in planned.stdout
    done = script(folder, "train", path, *STAGE, "--output", "dpo")
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


def test_pairs_are_of_cases_that_the_answering_model_was_not_trained_on(project: Path) -> None:
    said = (project / "said").read_text()
    pairs = json.loads((project / "dpo" / "preferences.json").read_text())
    assert f"pairs       {len(pairs['pairs'])} of {pairs['wrong']} wrong answers to 24 rows\n" in said
    assert all(pair["chosen_ids"] != pair["rejected_ids"] for pair in pairs["pairs"])
    reports = [json.loads((project / "dpo" / "folds" / fold / "data_report.json").read_text()) for fold in "01"]
    assert [report["rows_out"] for report in reports] == [12, 12]
    assert [report["dropped"]["in another fold"] for report in reports] == [12, 12]


def test_the_manifest_names_the_run_before_and_counts_the_pairs(project: Path) -> None:
    manifest, before = (json.loads((project / run / "manifest.json").read_text()) for run in ("dpo", "sft"))
    assert manifest["base"]["run"]["adapter_sha256"] == before["adapter_sha256"]
    assert manifest["preferences"]["rows"] == 24
    assert 0 < manifest["preferences"]["pairs"] <= manifest["preferences"]["wrong"]


def test_training_starts_at_the_reference_and_the_adapter_answers(project: Path) -> None:
    assert losses(project / "dpo")[1] == pytest.approx(0.6931, abs=1e-3), "ln 2: model and reference are one"
    adapter = load_file(project / "dpo" / "adapter" / "adapter_model.safetensors")
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    assert any(float(weight.abs().max()) > 0 for name, weight in adapter.items() if "lora_B" in name)
    done = script(project, "evaluate", "dpo")
    assert done.returncode == 0, done.stderr


def test_a_killed_run_takes_up_the_folds_it_has(project: Path, tiny_base: BaseSection) -> None:
    (project / "dpo" / "manifest.json").unlink()
    made = (project / "dpo" / "folds" / "0" / "manifest.json").read_bytes()
    (project / "dpo" / "preferences.json").unlink()
    done = script(project, "train", project / "recipes" / "tiny.yaml", *STAGE, "--output", "dpo")
    assert done.returncode == 0, done.stderr
    assert "trained on" not in done.stdout
    assert (project / "dpo" / "folds" / "0" / "manifest.json").read_bytes() == made


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("base.model=sft/merged", "loss={name: completion}", "preferences={confidence: 1.0}"), "none is as sure as 1"),
        (
            ("loss={name: completion}", "preferences={folds: 2}"),
            "is not the model of a finished run, which preferences:",
        ),
        (("base.model=sft/merged", "preferences={folds: 2}"), "preferences: has a loss of its own; leave loss: away"),
        (("base.model=sft/merged", "preferences={folds: 1}"), "preferences.folds: 1 is out of range; allowed: 2 to 20"),
        ((*STAGE, "train.packing=true"), "train.packing: not of TRL's DPOConfig, which preferences: needs"),
        ((*STAGE, "lora=null"), "preferences: needs a lora: section"),
    ],
)
def test_what_cannot_be_preferred_is_refused(
    project: Path, tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    done = script(project, "train", project / "recipes" / "tiny.yaml", *overrides, "--output", tmp_path / "refused")
    assert done.returncode == 2, done.stdout
    assert said in done.stderr.replace(" (override)", "")
