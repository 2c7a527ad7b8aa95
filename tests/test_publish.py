"""scripts/publish.py: what it shows, what it refuses, and that a download answers as was published."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from finished import edit_json, make_run
from project import ROOT, environment, make, script

from osler import clearance, publication, rescoring, task
from osler.errors import InputError
from osler.prediction_file import Prediction
from osler.recipe import BaseSection
from osler.run import Run, merged_name, tuned_name

RUN = Path("runs/tiny-made-up/1.0.0")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("project")
    make_run(folder)
    return folder


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    return tmp_path


def states(stdout: str) -> dict[str, str]:
    """Check → passed, PROBLEM, allowed or not checked."""
    found = {}
    for line in stdout.splitlines():
        name, _, state = line.partition(" ")
        if name in clearance.CHECKS:
            found[name] = state.strip().partition(":")[0]
    return found


def test_a_dry_run_shows_every_file_the_card_and_every_check_and_sends_nothing(folder: Path) -> None:
    done = script(folder, "publish", RUN, "--repo-id", "jane/tiny")
    shown = states(done.stdout)
    assert list(shown) == list(clearance.CHECKS)
    assert {check: state for check, state in shown.items() if check != "identifiers"} == {
        check: "passed" for check in clearance.CHECKS if check != "identifiers"
    }, done.stdout + done.stderr
    publication = folder / RUN / "publication"
    for path in publication.rglob("*"):
        if path.is_file():
            assert f"{path.stat().st_size:>13,}  {path.relative_to(publication)}" in done.stdout
    assert f"card: {RUN / 'publication' / 'README.md'}" in done.stdout
    if shown["identifiers"] == "passed":
        assert done.returncode == 0
        assert "nothing was sent; --push publishes it" in done.stdout


def test_a_problem_ends_with_status_1_and_a_reason_lets_it_pass_into_the_card(folder: Path) -> None:
    edit_json(folder / RUN / "manifest.json", environment__git_dirty=True)
    done = script(folder, "publish", RUN, "--repo-id", "jane/tiny")
    assert done.returncode == 1, done.stderr
    assert states(done.stdout)["git"] == "PROBLEM"
    assert "environment.git_dirty is true" in done.stdout
    assert "not published: git" in done.stdout
    done = script(folder, "publish", RUN, "--repo-id", "jane/tiny", "--allow", "git=only a comment was changed")
    assert states(done.stdout)["git"] == "allowed"
    assert "only a comment was changed" in (folder / RUN / "publication" / "README.md").read_text()


def test_without_an_evaluation_nothing_is_built_and_all_that_can_be_is_checked(folder: Path) -> None:
    (folder / RUN / "results.json").unlink()
    done = script(folder, "publish", RUN, "--repo-id", "jane/tiny")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    shown = states(done.stdout)
    assert shown["evaluation"] == "PROBLEM"
    assert (shown["git"], shown["pins"]) == ("passed", "passed")
    assert (shown["weights"], shown["secrets"], shown["identifiers"]) == ("not checked",) * 3
    assert not (folder / RUN / "publication").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--repo-id", "jane/tiny"], "nowhere: no recipe.yaml in it"),
        ([RUN, "--repo-id", "jane/ti ny"], "jane/ti ny"),
        ([RUN, "--repo-id", "tiny"], "tiny"),
        ([RUN, "--repo-id", "jane/tiny", "--allow", "gti=x"], "did you mean git?"),
        ([RUN, "--repo-id", "jane/tiny", "--allow", "manifest=x"], "nothing allows that"),
        ([RUN, "--repo-id", "jane/tiny", "--allow", "git=x"], "--allow git: the check passes"),
        ([RUN, "--repo-id", "jane/tiny", "--about", "none.yaml"], "none.yaml"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(folder: Path, arguments: list[str | Path], said: str) -> None:
    refused = script(folder, "publish", *arguments)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_access_is_checked_before_anything_is_built(folder: Path) -> None:
    variables = {key: value for key, value in environment(folder).items() if key not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    variables |= {"HF_HOME": str(folder / "no-token"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, str(ROOT / "scripts/publish.py"), str(RUN), "--repo-id", "jane/tiny", "--push"]
    refused = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (folder / RUN / "publication").exists()
    assert refused.stdout == ""


def test_help_does_not_wait_for_torch_or_the_hub() -> None:
    code = "import sys, runpy; sys.argv = ['publish', '--help']\n"
    code += "try: runpy.run_path('scripts/publish.py', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\n"
    code += "slow = {'torch', 'huggingface_hub', 'presidio_analyzer', 'jsonschema', 'transformers'} & set(sys.modules)\n"
    code += "assert not slow, slow"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


# ── a download answers as was published ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A project whose run is of real, small weights, evaluated and merged."""
    folder: Path = tmp_path_factory.mktemp("trained")
    path = make(folder, tiny_base, train={"max_steps": 6, "save_strategy": "no"}, evaluation={"baselines": ["majority"]})
    for done in (script(folder, "train", path), script(folder, "evaluate", RUN, "--merged")):
        assert done.returncode == 0, done.stderr
    return folder


def test_a_run_of_a_local_base_that_predates_nothing_fails_for_that_base_alone(trained: Path) -> None:
    problems = {problem.check for problem in clearance.check_run(Run(trained / RUN))}
    assert problems - {"git"} == {"pins", "licence"}, "the tests' own checkout may be dirty"


def test_a_downloaded_version_answers_as_was_published(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    built = trained / RUN / "publication"
    publication.build(Run(trained / RUN), built, "jane/tiny", {}, {})
    copy = Path(shutil.copytree(built, tmp_path / "downloaded"))
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    rescoring.verify(copy, trained / "tasks" / "made_up")
    assert "tiny-made-up@1.0.0-merged: answers 8 cases from the Hub as published" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before, "nothing is written into it"

    file = Run(copy).answers("made_up", "test", "tiny-made-up@1.0.0")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        row["ranked"].reverse()
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(rescoring.Differs, match=r"tiny-made-up@1\.0\.0, test, test/.*probability differs by"):
        rescoring.verify(copy, trained / "tasks" / "made_up")


def test_all_cases_asked_again_answer_the_very_same(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    run = Run(trained / RUN)
    recipe = run.recipe()
    made_up = task.load(trained / "tasks" / "made_up")
    for system in (tuned_name(recipe), merged_name(recipe)):
        (agreement,) = rescoring.rescore(run, recipe, made_up, system, ["test"])
        assert (agreement.n, agreement.same_ranking, agreement.max_probability_difference) == (24, 24, 0.0)
        assert agreement.holds


def test_other_data_or_another_prompt_than_published_is_named(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    run = Run(trained / RUN)
    recipe, made_up = run.recipe(), task.load(trained / "tasks" / "made_up")
    monkeypatch.setattr(made_up.source, "split", lambda name: [])
    assert rescoring.rescore(run, recipe, made_up, tuned_name(recipe), ["test"]) == []
    rows = task.load(trained / "tasks" / "made_up").source.split("test")
    monkeypatch.setattr(made_up.source, "split", lambda name: rows[1:])
    with pytest.raises(InputError, match="test/00001 with the label .* is not in the data of test"):
        rescoring.rescore(run, recipe, made_up, tuned_name(recipe), ["test"])
    monkeypatch.undo()
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    (trained / "tasks" / "other").mkdir()
    shutil.copyfile(trained / "tasks/made_up/task.yaml", trained / "tasks/other/task.yaml")
    (trained / "tasks" / "other" / "prompt.jinja").write_text("{{ text }}\nWhat is it?")
    with pytest.raises(InputError, match="asked with the prompt"):
        rescoring.rescore(run, recipe, task.load(trained / "tasks" / "other"), tuned_name(recipe), ["test"])


def prediction(**values: object) -> Prediction:
    fields = {"case_id": "1", "task": "t", "split": "test", "system": "s", "label": "a", "ranked": ("a", "b")}
    return Prediction(**{**fields, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ({"probabilities": (0.6, 0.4)}, {"probabilities": (0.6005, 0.3995)}, None),
        ({"probabilities": (0.6, 0.4)}, {"probabilities": (0.602, 0.398)}, "a probability differs by 0.002"),
        ({"probabilities": (0.5001, 0.4999)}, {"ranked": ("b", "a"), "probabilities": (0.5, 0.5)}, None),
        ({}, {}, None),
        ({}, {"ranked": ("b", "a")}, "ranked first is 'b', published 'a'"),
        ({"text": "a."}, {"text": "A."}, "another text is written"),
    ],
)
def test_answers_agree_within_the_bound(was: dict[str, object], now: dict[str, object], said: str | None) -> None:
    agreement = rescoring.compare([prediction(**was)], [prediction(**now)])
    assert agreement.holds == (said is None)
    assert said is None or said in str(agreement.first)
