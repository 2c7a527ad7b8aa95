"""The curves of a training are those of the steps that made the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from osler.evaluation.training_curves import TrainingCurves
from osler.runs import Manifest, Run
from osler.storage import plain, validated


@pytest.fixture
def manifest(finished_project: Path) -> Manifest:
    return Run(finished_project / "runs/tiny-made-up/1.0.0").read_manifest()


def read(path: Path, manifest: Manifest, lines: list[Any], **changes: Any) -> TrainingCurves:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return TrainingCurves.read(path, validated(Manifest, {**plain(manifest), **changes}, ""))


def test_what_a_killed_run_logged_after_its_checkpoint_is_left_out(tmp_path: Path, manifest: Manifest) -> None:
    killed = [{"step": step, "loss": 9.0} for step in (1, 2, 3, 4, 5)]
    half = '{"step": 6, "lo{"step": 3, "loss": 2.0}'
    on = [{"step": 3, "loss": 3.0}, {"step": 4, "loss": None}, {"step": 4, "train_loss": 1.0}]
    curves = read(tmp_path / "train_log.jsonl", manifest, [*killed, half, *on])
    assert curves.losses == {1: 9.0, 2: 9.0, 3: 3.0}
    assert curves.caption == "Training loss at each logged step."
    assert "Training loss by step</title>" in curves.figure


def test_without_a_chosen_checkpoint_only_the_loss_is_drawn(tmp_path: Path, manifest: Manifest) -> None:
    lines = [{"step": 1, "loss": 2.0}, {"step": 1, "eval_accuracy": 0.5}]
    assert read(tmp_path / "log", manifest, lines).chosen == {}
    selected = {"metric": "accuracy", "step": 1, "value": 0.5}
    curves = read(tmp_path / "log", manifest, lines, selected=selected)
    assert curves.chosen == {1: 0.5}
    assert "kept: step 1" in curves.figure
