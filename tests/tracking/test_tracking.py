"""What a training and its evaluation leave in a tracker: one run, its files, and nothing of a patient."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from project import kill_at_first_checkpoint, make, script
from transformers.integrations.integration_utils import TensorBoardCallback

from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs import Run
from osler.tracking import Tracking, tracked, without_ids

RUN = Path("runs/tiny-made-up/1.0.0")
TOKEN = "hf_" + "0123456789abcdef" * 2
LOGGED = ["manifest.json", "recipe.yaml", "report.html", "results.json", "results.txt"]
NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture(autouse=True)
def trackers_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HF_TOKEN": TOKEN,
        "WANDB_MODE": "offline",
        "WANDB_DATA_DIR": str(tmp_path / "staged"),
        "TRACKIO_DIR": str(tmp_path / "trackio"),
    }.items():
        monkeypatch.setenv(name, value)


def tracked_recipe(folder: Path, tiny: BaseSection, *trackers: str) -> Path:
    return make(folder, tiny, train={"report_to": list(trackers)}, evaluation={"baselines": ["majority"]})


def keys(folder: Path) -> dict[str, str]:
    runs: dict[str, str] = json.loads((folder / RUN / "tracking.json").read_text())["runs"]
    return runs


def check_private(folder: Path, *places: str) -> None:
    """No row of the data, no id of a case and no token is in any file below ``places``."""
    rows = [json.loads(line) for file in (folder / "data/made_up").iterdir() for line in file.read_text().splitlines()]
    secrets = [TOKEN, "test/00", *(row["complaint"] for row in rows)]
    files = [file for place in places for file in [folder / place, *(folder / place).rglob("*")] if file.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], file


@pytest.mark.slow
def test_a_killed_training_its_end_and_its_evaluation_are_one_run(tmp_path: Path, tiny_base: BaseSection) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recipe = tracked_recipe(tmp_path, tiny_base, "tensorboard", "wandb", "mlflow")
    kill_at_first_checkpoint(tmp_path / RUN, tmp_path, "train", recipe)
    first = keys(tmp_path)
    for name, argument in (("train", recipe), ("evaluate", RUN)):
        done = script(tmp_path, name, argument)
        assert done.returncode == 0, done.stderr
        assert "going on without it" not in done.stderr
    assert keys(tmp_path) == first

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert len(client.search_runs(["0"])) == 1
    run = client.get_run(first["mlflow"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "tiny-made-up@1.0.0")
    assert {point.step for point in client.get_metric_history(first["mlflow"], "loss")} == {1, 2, 3, 4, 5, 6}
    results = json.loads((tmp_path / RUN / "results.json").read_text())["records"][0]
    tuned = results["systems"]["tiny-made-up@1.0.0"]["metrics"]["accuracy"]["value"]
    assert run.data.metrics["made_up/test/accuracy"] == tuned
    artefacts = tmp_path / "mlruns/0" / first["mlflow"] / "artifacts"
    assert sorted(file.name for file in artefacts.iterdir()) == LOGGED
    assert (artefacts / "recipe.yaml").read_text() == (tmp_path / RUN / "recipe.yaml").read_text()

    board = events.EventAccumulator(str(tmp_path / RUN / "tensorboard"))
    board.Reload()
    assert {point.step for point in board.Scalars("train/loss")} == {1, 2, 3, 4, 5, 6}
    assert [point.value for point in board.Scalars("made_up/test/accuracy")] == pytest.approx([tuned])
    shown = board.Tensors("results.txt/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "made_up, test" in shown

    offline = list((tmp_path / RUN / "wandb").glob("offline-run-*"))
    assert len(offline) == 3, "the killed one, the one that went on, the evaluation"
    assert {folder.name.rpartition("-")[2] for folder in offline} == {first["wandb"]}
    logged = b"".join(file.read_bytes() for folder in offline for file in folder.glob("*.wandb"))
    assert all(name.encode() in logged for name in LOGGED)
    assert not list((tmp_path / RUN / "wandb").rglob("output.log")), "the console"
    assert not list((tmp_path / RUN / "wandb").rglob("diff.patch"))
    check_private(tmp_path, f"{RUN}/wandb", f"{RUN}/tensorboard", "mlruns", "mlflow.db", "staged")


@pytest.mark.slow
def test_a_tracker_that_does_not_answer_ends_no_training_that_has_begun(tmp_path: Path, tiny_base: BaseSection) -> None:
    pytest.importorskip("mlflow")
    recipe = tracked_recipe(tmp_path, tiny_base, "mlflow")
    done = script(tmp_path, "train", recipe, **NOWHERE)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "train.report_to: mlflow: API request to http://127.0.0.1:9" in error
    assert error.endswith("set MLFLOW_TRACKING_URI to a server that answers, or take mlflow out")

    kill_at_first_checkpoint(tmp_path / RUN, tmp_path, "train", recipe)
    for name, argument in (("train", recipe), ("evaluate", RUN)):
        done = script(tmp_path, name, argument, **NOWHERE)
        assert done.returncode == 0, done.stderr
        assert "train.report_to: mlflow: API request to http://127.0.0.1:9" in done.stderr
        assert done.stderr.count("going on without it") == 1
    assert json.loads((tmp_path / RUN / "manifest.json").read_text())["steps"] == 6
    assert (tmp_path / RUN / "results.json").is_file()


def test_a_tracker_that_fails_in_between_is_said_once_and_left_alone(
    tmp_path: Path, tiny_base: BaseSection, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    recipe = load_recipe(tracked_recipe(tmp_path, tiny_base, "tensorboard"))
    calls: list[str] = []

    def fails(*_: Any, **__: Any) -> None:
        calls.append("on_log")
        raise ConnectionError("the disk\nis full")

    callback = TensorBoardCallback()
    callback.on_log = fails  # type: ignore[method-assign]
    trainer = SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[callback]), args=SimpleNamespace())
    run = Run(tmp_path / "run")
    with tracked(recipe, run, anew=True) as tracking:
        tracking.attach(trainer)
        assert callback.logging_dir == str(run.folder / "tensorboard")
        for _ in range(3):
            callback.on_log(None, None, None)
    assert calls == ["on_log"]
    assert capsys.readouterr().err == "train.report_to: tensorboard: the disk is full; going on without it\n"

    other = TensorBoardCallback()
    trainer.callback_handler.callbacks = [other]
    trainer.remove_callback = trainer.callback_handler.callbacks.remove
    Tracking(recipe, run).attach(trainer)  # as in a process that is not the main one
    assert trainer.callback_handler.callbacks == []


def test_trackio_has_the_files_and_the_figures_of_one_run(tmp_path: Path, tiny_base: BaseSection) -> None:
    pytest.importorskip("trackio", reason="it wants an older pillow than is tested with")
    recipe = tracked_recipe(tmp_path, tiny_base, "trackio")
    for name, argument in (("train", recipe), ("evaluate", RUN)):
        done = script(tmp_path, name, argument)
        assert done.returncode == 0, done.stderr
        assert "going on without it" not in done.stderr
    with sqlite3.connect(tmp_path / "trackio/huggingface.db") as base:
        assert {name for (name,) in base.execute("SELECT run_name FROM metrics")} == {keys(tmp_path)["trackio"]}
        assert base.execute("SELECT count(*) FROM artifacts").fetchone() == (2,)
        (config,) = base.execute("SELECT config FROM configs").fetchone()
        assert b'"learning_rate":0.01' in config
    check_private(tmp_path, "trackio")


def test_ids_of_cases_are_taken_out_of_results() -> None:
    overlap = {"cases": 1, "worst": [["test/1", 0.9]]}
    assert without_ids([{"near": overlap, "worst": "female"}]) == [
        {"near": {"cases": 1, "worst": []}, "worst": "female"}
    ]
