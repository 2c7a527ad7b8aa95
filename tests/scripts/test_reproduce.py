"""Reproducing as users do it: one command, three depths, an answer and an exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finished import edit_json, seal
from project import ROOT, environment, kill_at_first_checkpoint, make, script

from osler.recipe.sections import BaseSection
from osler.recipe.task_file import find_tasks
from osler.reproduction import recording, reproduction, target
from osler.reproduction.outcome import render
from osler.runs.run import Run
from osler.storage.files import read_json

RECIPE, RUN, EXPECTED = Path("recipes/tiny.yaml"), Path("runs/tiny-made-up/1.0.0"), Path("recipes/tiny.expected.json")
REPRODUCTIONS = Path("reproductions/tiny-made-up/1.0.0")
TUNED = "tiny-made-up@1.0.0"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A small project with one finished run, its model merged and evaluated, and its expected file."""
    folder: Path = tmp_path_factory.mktemp("project")
    make(folder, tiny_base, base={"quantization": "nf4"}, train={"max_steps": 30, "save_steps": 2})
    for arguments in (("train", RECIPE), ("evaluate", RUN, "--merged")):
        done = script(folder, *arguments)
        assert done.returncode == 0, done.stderr
    recording.record(runs(folder, spread=0.05), folder / RECIPE)
    return folder


def runs(folder: Path, spread: float, moved: float = 0.0) -> list[Run]:
    """The run; and what three of it might have been like on other numbers of threads, its figures ``moved``."""
    made = [Run(folder / RUN)]
    for threads in (2, 3, 4):
        other = Run(folder / f"threads-{threads}")
        shutil.rmtree(other.folder, ignore_errors=True)
        shutil.copytree(folder / RUN, other.folder, ignore=shutil.ignore_patterns("checkpoints"))
        edit_json(other.manifest_path, threads=threads)
        results = read_json(other.results_path())
        for metric in results["records"][0]["systems"][TUNED]["metrics"].values():
            metric["value"] += moved + spread * (threads - 3)
        other.results_path().write_text(json.dumps(results))
        made.append(other)
    return made


def written(project: Path, depth: str) -> dict[str, Any]:
    made = read_json(project / REPRODUCTIONS / depth / "reproduction.json")
    assert made["depth"] == depth
    return dict(made)


def test_scores_come_out_bit_for_bit(project: Path) -> None:
    before = (project / RUN / "results.json").read_bytes()
    done = script(project, "reproduce", RECIPE, "--scores")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TUNED}, scores: reproduced: " in done.stdout
    assert "test   tiny-made-up@1.0.0  accuracy " in done.stdout
    made = written(project, "scores")
    assert made["verdict"] == "reproduced"
    assert {row["system"] for row in made["table"]} == {TUNED, f"{TUNED}-merged", "base_model", "majority", "tfidf_svm"}
    assert (project / RUN / "results.json").read_bytes() == before, "nothing is written into the run"


def test_an_exchanged_prediction_file_is_named_and_is_status_1(project: Path) -> None:
    path = project / RUN / "predictions" / "made_up-test-tfidf_svm.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    path.write_text("".join([*lines[1:], lines[0]]))
    done = script(project, "reproduce", RUN, "--scores")
    path.write_text(whole)
    assert done.returncode == 1
    assert "differs: predictions/made_up-test-tfidf_svm.jsonl (sha256 in results.json): " in done.stdout
    assert written(project, "scores")["verdict"] == "differs"


def test_the_published_weights_give_the_same_answers(project: Path) -> None:
    done = script(project, "reproduce", RECIPE, "--predictions")
    assert done.returncode == 0, done.stdout + done.stderr
    made = written(project, "predictions")
    assert made["verdict"] == "reproduced"
    assert [(of["system"], of["n"], of["same_ranking"], of["same"]) for of in made["answers"]] == [
        (TUNED, 24, 24, True),
        (f"{TUNED}-merged", 24, 24, True),
    ]
    assert all(of["max_probability_difference"] <= 1e-3 for of in made["answers"])
    assert f"test, {TUNED}: 24 of 24 rankings are the same" in done.stdout


def test_other_data_is_named_before_anything_is_answered(project: Path) -> None:
    data = project / "data" / "made_up" / "test.jsonl"
    whole = data.read_text()
    data.write_text(whole.replace('"diagnosis": "Noonan syndrome"', '"diagnosis": "urinary tract infection"', 1))
    done = script(project, "reproduce", RUN, "--predictions")
    data.write_text(whole)
    assert done.returncode == 1
    assert "differs: data: test, label of test/0000" in done.stdout
    assert "Noonan syndrome published, urinary tract infection here" in done.stdout
    assert written(project, "predictions")["answers"] == []


@pytest.mark.slow
def test_trained_again_after_a_kill_the_figures_are_inside(project: Path) -> None:
    folder = project / REPRODUCTIONS / "training"
    kill_at_first_checkpoint(folder, project, "reproduce", RECIPE, "--training")
    assert not (folder / "reproduction.json").exists()

    done = script(project, "reproduce", RECIPE, "--training")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"$ python {ROOT}/scripts/train.py {RECIPE} --output {REPRODUCTIONS}/training" in done.stdout
    assert read_json(folder / "manifest.json")["resumed_from_step"], "it went on from a checkpoint"
    made = written(project, "training")
    assert made["verdict"] == "reproduced"
    of = {(row["system"], row["metric"]): row for row in made["table"]}
    assert of[f"{TUNED}-merged", "mrr"]["inside"]
    assert of["tfidf_svm", "macro_f1"]["tolerance"] == 0.0
    published = read_json(project / RUN / "results.json")["records"][0]["systems"][TUNED]["metrics"]
    assert of[TUNED, "mrr"]["got"] == published["mrr"]["value"], "the same machine: the same run"


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project as the working directory, its expected file and data as they were when the test is over."""
    kept = {path: path.read_bytes() for path in (project / EXPECTED, *(project / "data" / "made_up").iterdir())}
    monkeypatch.chdir(project)
    monkeypatch.setenv("OSLER_DATA_DIR", str(project / "data"))
    yield project
    for path, content in kept.items():
        path.write_bytes(content)


def trained(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[list[str]]:
    """Have the published run stand for the one that training makes in ``folder``; returns the commands."""
    commands: list[list[str]] = []

    def call(command: list[str]) -> None:
        commands.append(command)
        shutil.copytree(RUN, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoints"))

    monkeypatch.setattr(reproduction, "_call", call)
    return commands


@pytest.mark.parametrize(
    ("recorded", "verdict"),
    [
        (slice(1, None), "missed: 10 of "),  # what was published came from another learning rate, say
        (slice(1, 2), "undecided: no tolerance recorded: 1 run, and a spread takes 3"),
        (slice(0, 1), "reproduced"),  # the very same numbers need no tolerance
    ],
)
def test_figures_outside_the_spread_miss_and_without_a_spread_nobody_can_say(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recorded: slice, verdict: str
) -> None:
    recording.record(runs(here, spread=0.01, moved=-0.4)[recorded], RECIPE)
    commands = trained(monkeypatch, tmp_path / "again")
    made = reproduction.training(target.find(str(RECIPE), "training"), tmp_path / "again", Path("cpu.yaml"))
    assert f"training: {verdict}" in render(made)
    assert commands[0][1:4] == ["-m", "accelerate.commands.launch", "--config_file"]
    assert commands[1][2:] == [str(tmp_path / "again"), "--merged"], "what was published is evaluated, all of it"


def test_other_training_data_is_named_before_hours_are_spent(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = here / "data" / "made_up" / "train.jsonl"
    data.write_text("".join(data.read_text().splitlines(keepends=True)[1:]))
    commands = trained(monkeypatch, tmp_path / "again")
    made = reproduction.training(target.find(str(RECIPE), "training"), tmp_path / "again")
    assert str(made.decisive) == "data: rows in: 24 published, 23 here"
    assert commands == []
    assert not (tmp_path / "again").exists()


def test_a_published_version_is_trained_again_with_its_own_task(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version, again = tmp_path / "version", tmp_path / "again"
    shutil.copytree(RUN, version, ignore=shutil.ignore_patterns("checkpoints", "adapter"))
    shutil.copytree(RUN / "adapter", version, dirs_exist_ok=True)
    shutil.copytree("tasks", version / "tasks")
    shutil.copy(EXPECTED, version / "expected.json")
    seal(version)
    commands = trained(monkeypatch, again)
    made = reproduction.training(target.find(str(version), "training"), again)
    assert made.verdict == "reproduced", render(made)
    assert commands[0][2:] == [str(again / "recipe.yaml"), "--output", str(again)]
    assert find_tasks(again) == find_tasks(again / "recipe.yaml") == again / "tasks"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([RECIPE], "one of the arguments --scores --predictions --training is required"),
        ([RECIPE, "--scores", "--training"], "not allowed with argument"),
        (["a/b/c", "--scores"], "a/b/c: no run directory, and no USER/NAME[@REVISION] of the Hub"),
        (["recipes/tinny.yaml", "--scores"], "did you mean recipes/tiny.yaml?"),
        (["tasks", "--scores"], "tasks: no recipe.yaml in it"),
        ([RECIPE, "--scores", "--config_file", "cpu.yaml"], "--config_file is for --training"),
        ([RECIPE, "--training", "--config_file", "cpu.yaml"], "cpu.yaml: no such file"),
        ([RUN, "--training", "--output", RUN], "is the run that is to be reproduced"),
        ([RECIPE, "--training", "--output", "tasks"], "tasks: is not empty and holds no recipe.yaml"),
        ([RECIPE, "--scores", "--output", "recipes/tiny.yaml"], "recipes/tiny.yaml is not a folder"),
    ],
)
def test_wrong_input_is_a_line_and_status_2(project: Path, arguments: list[str | Path], said: str) -> None:
    refused = script(project, "reproduce", *arguments)
    assert refused.returncode == 2, refused.stdout
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_recipe_that_nobody_ran_is_not_run_yet(project: Path) -> None:
    (project / EXPECTED).rename(project / "away.json")
    refused = script(project, "reproduce", RECIPE, "--training")
    (project / "away.json").rename(project / EXPECTED)
    assert refused.returncode == 2
    assert "recipes/tiny.expected.json: is not there, so recipes/tiny.yaml counts as not run yet" in refused.stderr


def test_help_waits_for_nothing() -> None:
    code = "import sys, runpy; sys.argv = ['reproduce', '--help']\n"
    code += "try: runpy.run_path('scripts/reproduce.py', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\n"
    code += "assert not {'torch', 'numpy', 'scipy', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
