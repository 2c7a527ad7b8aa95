"""Reproducing as users do it: one command, three depths, an answer and an exit status."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from finished import edit_json
from project import ROOT, environment, make, script

from osler import expected
from osler.manifest import read_json
from osler.recipe import BaseSection
from osler.run import Run

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
    expected.record(runs(folder, spread=0.05), folder / RECIPE)
    return folder


def runs(folder: Path, spread: float, moved: float = 0.0) -> list[Run]:
    """The run; and what three of it might have been like on other numbers of threads, its figures ``moved``."""
    made = [Run(folder / RUN)]
    for threads in (2, 3, 4):
        other = Run(folder / f"threads-{threads}")
        shutil.rmtree(other.folder, ignore_errors=True)
        shutil.copytree(folder / RUN, other.folder, ignore=shutil.ignore_patterns("checkpoints"))
        edit_json(other.manifest, threads=threads)
        results = read_json(other.results)
        for metric in results["records"][0]["systems"][TUNED]["metrics"].values():
            metric["value"] += moved + spread * (threads - 3)
        other.results.write_text(json.dumps(results))
        made.append(other)
    return made


def written(project: Path, depth: str) -> dict[str, Any]:
    made = read_json(project / REPRODUCTIONS / depth / "reproduction.json")
    assert made["depth"] == depth
    return dict(made)


@pytest.mark.parametrize("target", [RECIPE, RUN], ids=["recipe", "run"])
def test_scores_come_out_bit_for_bit(project: Path, target: Path) -> None:
    before = (project / RUN / "results.json").read_bytes()
    done = script(project, "reproduce", target, "--scores")
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


def test_other_data_or_another_base_is_named_before_anything_is_answered(project: Path, tiny_base: BaseSection) -> None:
    data = project / "data" / "made_up" / "test.jsonl"
    whole = data.read_text()
    data.write_text(whole.replace('"diagnosis": "Noonan syndrome"', '"diagnosis": "urinary tract infection"', 1))
    done = script(project, "reproduce", RUN, "--predictions")
    data.write_text(whole)
    assert done.returncode == 1
    assert "differs: data: test, label of test/0000" in done.stdout
    assert "Noonan syndrome published, urinary tract infection here" in done.stdout
    manifest = project / RUN / "manifest.json"
    whole = manifest.read_text()
    edit_json(manifest, base__fingerprint="0" * 64)
    done = script(project, "reproduce", RUN, "--predictions")
    manifest.write_text(whole)
    assert done.returncode == 1
    assert "differs: base model (fingerprint): 000000000000… published, " in done.stdout
    assert written(project, "predictions")["answers"] == []


def test_trained_again_after_a_kill_the_figures_are_inside_and_others_are_not(project: Path) -> None:
    folder = project / REPRODUCTIONS / "training"
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), str(RECIPE), "--training"]
    killed = subprocess.Popen(command, cwd=project, env=environment(project), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/checkpoint-*/complete.json")):
        assert killed.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (folder / "reproduction.json").exists()

    done = script(project, "reproduce", RECIPE, "--training")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"$ python {ROOT}/scripts/train.py {RECIPE} --output {REPRODUCTIONS}/training" in done.stdout
    assert read_json(folder / "manifest.json")["resumed_from_step"], "it went on from a checkpoint"
    made = written(project, "training")
    assert made["verdict"] == "reproduced"
    of = {(row["system"], row["metric"]): row for row in made["table"]}
    assert of[TUNED, "accuracy"]["tolerance"] > 0.1
    assert of[f"{TUNED}-merged", "mrr"]["inside"]
    assert of["tfidf_svm", "macro_f1"]["tolerance"] == 0.0
    published = read_json(project / RUN / "results.json")["records"][0]["systems"][TUNED]["metrics"]
    assert of[TUNED, "mrr"]["got"] == published["mrr"]["value"], "the same machine: the same run"

    whole = (project / EXPECTED).read_text()
    try:
        # What was published came from another learning rate, say: every figure but the first run's is far away.
        expected.record(runs(project, spread=0.01, moved=-0.4)[1:], project / RECIPE)
        done = script(project, "reproduce", RECIPE, "--training")
        assert done.returncode == 1
        assert "training: missed: " in done.stdout
        assert "trained already" in done.stdout, "what is finished is kept"

        expected.record(runs(project, spread=0.01, moved=-0.4)[1:2], project / RECIPE)
        done = script(project, "reproduce", RECIPE, "--training")
        assert done.returncode == 1
        assert "undecided: no tolerance recorded: 1 run, and a spread takes 3" in done.stdout
    finally:
        (project / EXPECTED).write_text(whole)


def test_other_training_data_is_named_before_hours_are_spent(project: Path) -> None:
    data = project / "data" / "made_up" / "train.jsonl"
    whole = data.read_text()
    data.write_text("".join(whole.splitlines(keepends=True)[1:]))
    done = script(project, "reproduce", RECIPE, "--training", "--output", "fresh")
    data.write_text(whole)
    assert done.returncode == 1
    assert "differs: data: rows in: 24 published, 23 here" in done.stdout
    assert [path.name for path in (project / "fresh").iterdir()] == ["reproduction.json"]


def test_a_published_version_is_trained_again_with_its_own_task(project: Path) -> None:
    version, elsewhere = project / "version", project / "elsewhere"
    shutil.copytree(project / RUN, version, ignore=shutil.ignore_patterns("checkpoints", "adapter"))
    shutil.copytree(project / RUN / "adapter", version, dirs_exist_ok=True)
    shutil.copytree(project / "tasks", version / "tasks")
    shutil.copy(project / EXPECTED, version / "expected.json")
    elsewhere.mkdir()
    (elsewhere / "data").symlink_to(project / "data")
    done = script(elsewhere, "reproduce", version, "--training", "--output", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (elsewhere / "again" / "tasks" / "made_up" / "task.yaml").is_file()
    assert read_json(elsewhere / "again" / "reproduction.json")["verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([RECIPE], "one of the arguments --scores --predictions --training is required"),
        ([RECIPE, "--scores", "--training"], "not allowed with argument"),
        (["a/b/c", "--scores"], "a/b/c: neither a recipe, nor a run directory, nor USER/NAME[@REVISION] on the Hub"),
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
