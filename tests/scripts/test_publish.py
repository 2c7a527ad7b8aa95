"""scripts/publish.py: what it shows, what it refuses, and that a download answers as was published."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from finished import edit_json
from local_hub import LocalHub
from project import ROOT, environment, make, script

from osler import preparation
from osler.errors import InputError
from osler.publishing import checks
from osler.publishing import folder as publication
from osler.recipe.sections import BaseSection
from osler.reproduction import rescoring
from osler.runs.predictions import Prediction
from osler.runs.run import Run, merged_name, tuned_name
from osler.tasks.task import load_task

RUN = Path("runs/tiny-made-up/1.0.0")


@pytest.fixture
def folder(finished_project: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    shutil.copytree(finished_project, tmp_path / "copy")
    return tmp_path / "copy"


class Nobody:
    """Finds no identifier of anybody: which ones there are is for tests/publishing/test_checks.py."""

    def find_all(self, texts: Iterable[str]) -> Iterator[list[object]]:
        return ([] for _ in texts)


Publish = Callable[..., tuple[int, str, str]]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Publish:
    """scripts/publish.py in this process: folder to be in, arguments → exit status, stdout, stderr."""
    monkeypatch.setattr(preparation, "load_deidentifier", lambda key: Nobody())
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")

    def run(folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("OSLER_DATA_DIR", str(folder / "data"))
        monkeypatch.setattr(sys, "argv", ["publish.py", *map(str, arguments), "--repo-id", "jane/tiny"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "scripts" / "publish.py"), run_name="__main__")
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


def states(stdout: str) -> dict[str, str]:
    """Check → passed, PROBLEM, allowed or not checked."""
    found = {}
    for line in stdout.splitlines():
        name, _, state = line.partition(" ")
        if name in checks.CHECKS:
            found[name] = state.strip().partition(":")[0]
    return found


def test_a_dry_run_shows_every_file_the_card_and_every_check_and_sends_nothing(folder: Path, publish: Publish) -> None:
    status, shown, errors = publish(folder, RUN)
    assert list(states(shown).items()) == [(check, "passed") for check in checks.CHECKS], shown + errors
    built = folder / RUN / "publication"
    for path in built.rglob("*"):
        if path.is_file():
            assert f"{path.stat().st_size:>13,}  {path.relative_to(built)}\n" in shown
    assert f"card: {RUN / 'publication' / 'README.md'}" in shown
    assert "nothing was sent; --push publishes it" in shown
    assert status == 0


def test_a_problem_ends_with_status_1_and_a_reason_lets_it_pass_into_the_card(folder: Path, publish: Publish) -> None:
    edit_json(folder / RUN / "manifest.json", environment__git_dirty=True)
    status, shown, _ = publish(folder, RUN)
    assert status == 1
    assert states(shown)["git"] == "PROBLEM"
    assert "environment.git_dirty is true" in shown
    assert "not published: git failed" in shown
    assert "not published, nor its Space: git failed" in publish(folder, RUN, "--space")[1]
    status, shown, _ = publish(folder, RUN, "--allow", "git=only a comment was changed")
    assert (status, states(shown)["git"]) == (0, "allowed")
    assert "only a comment was changed" in (folder / RUN / "publication" / "README.md").read_text()


def test_without_an_evaluation_nothing_is_built_and_all_that_can_be_is_checked(folder: Path, publish: Publish) -> None:
    (folder / RUN / "results.json").unlink()
    status, shown, _ = publish(folder, RUN)
    found = states(shown)
    assert (status, found["evaluation"], found["git"], found["pins"]) == (1, "PROBLEM", "passed", "passed")
    assert (found["weights"], found["secrets"], found["identifiers"]) == ("not checked",) * 3
    assert not (folder / RUN / "publication").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no recipe.yaml in it"),
        (["unfinished"], "unfinished/manifest.json: is missing: training is not finished; run scripts/train.py"),
        ([RUN, "--allow", "gti=x"], "did you mean git?"),
        ([RUN, "--allow", "manifest=x"], "nothing allows that"),
        ([RUN, "--allow", "git=x"], "--allow git: the check passes"),
        ([RUN, "--about", "none.yaml"], "none.yaml"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    folder: Path, publish: Publish, arguments: list[str | Path], said: str
) -> None:
    shutil.copytree(folder / RUN, folder / "unfinished", ignore=shutil.ignore_patterns("manifest.json"))
    status, _, errors = publish(folder, *arguments)
    assert status == 2
    assert said in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize("repo_id", ["jane/ti ny", "tiny", "jane/tiny/er"])
def test_an_id_that_the_hub_would_not_take_is_refused_before_anything_is_built(folder: Path, repo_id: str) -> None:
    refused = script(folder, "publish", RUN, "--repo-id", repo_id)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {repo_id!r}: not the id of a repository")
    assert not (folder / RUN / "publication").exists()


def test_access_is_checked_before_anything_is_built(
    folder: Path, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalHub.serve(tmp_path / "hub") as hub:
        for token, said in ((None, "no token"), (hub.token("jane", "read"), "may read but not write")):
            hub.connect(monkeypatch, token)
            status, shown, errors = publish(folder, RUN, "--push")
            assert (status, shown) == (2, "")
            assert said in errors
        assert not (folder / RUN / "publication").exists()


def test_help_does_not_wait_for_torch_or_the_hub() -> None:
    code = "import sys, runpy; sys.argv = ['publish', '--help']\n"
    code += "try: runpy.run_path('scripts/publish.py', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\n"
    code += (
        "slow = {'torch', 'huggingface_hub', 'presidio_analyzer', 'jsonschema', 'transformers'} & set(sys.modules)\n"
    )
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
    path = make(
        folder, tiny_base, train={"max_steps": 6, "save_strategy": "no"}, evaluation={"baselines": ["majority"]}
    )
    for done in (script(folder, "train", path), script(folder, "evaluate", RUN, "--merged")):
        assert done.returncode == 0, done.stderr
    return folder


def test_a_run_of_a_local_base_that_predates_nothing_fails_for_that_base_alone(trained: Path) -> None:
    problems = {problem.check for problem in checks.check_run(Run(trained / RUN))}
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

    file = Run(copy).prediction_path("made_up", "test", "tiny-made-up@1.0.0")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        row["ranked"].reverse()
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(rescoring.Differs, match=r"tiny-made-up@1\.0\.0, test, test/.*probability differs by"):
        rescoring.verify(copy, trained / "tasks" / "made_up")


LOCAL = ("--allow", "pins=a test", "--allow", "licence=a test", "--allow", "git=a test")


def test_a_run_is_pushed_once_it_answers_from_the_hub_as_published_and_again_is_nothing(
    trained: Path, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_json(trained / RUN / "manifest.json", environment__git_dirty=True)  # as the tests' own checkout may be
    with LocalHub.serve(tmp_path / "hub") as hub:
        hub.connect(monkeypatch, hub.token("jane"))
        status, shown, errors = publish(trained, RUN, "--push", *LOCAL)
        assert status == 0, shown + errors
        assert "tiny-made-up@1.0.0: answers 8 cases from the Hub as published" in shown
        assert shown.splitlines()[-1] == f"{hub.endpoint}/jane/tiny/tree/v1.0.0"
        built = trained / RUN / "publication"
        there = {path.relative_to(built).as_posix(): path.read_bytes() for path in built.rglob("*") if path.is_file()}
        assert hub.content("jane/tiny", "v1.0.0") == hub.content("jane/tiny") == there
        status, shown, errors = publish(trained, RUN, "--push", "--space", *LOCAL)
        assert status == 0, shown + errors
        assert hub.content("jane/tiny") == there
        assert shown.splitlines()[-1] == f"{hub.endpoint}/spaces/jane/tiny"
        assert hub.content("jane/tiny", kind="spaces")["model.txt"] == b"jane/tiny@v1.0.0\n"


def test_what_answers_otherwise_than_was_published_never_gets_to_main(
    trained: Path, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_json(trained / RUN / "manifest.json", environment__git_dirty=True)
    monkeypatch.setattr(rescoring, "BOUND", -1.0)  # nothing is near enough
    with LocalHub.serve(tmp_path / "hub") as hub:
        hub.connect(monkeypatch, hub.token("jane"))
        status, shown, _ = publish(trained, RUN, "--push", *LOCAL)
        assert status == 1
        assert "not published: what was uploaded does not answer as was published: tiny-made-up@1.0.0, test" in shown
        assert (hub.content("jane/tiny"), hub.repository("jane/tiny").tags) == ({}, {})


def test_all_cases_asked_again_answer_the_very_same(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    run = Run(trained / RUN)
    recipe = run.recipe()
    made_up = load_task(trained / "tasks" / "made_up")
    for system in (tuned_name(recipe), merged_name(recipe)):
        (agreement,) = rescoring.rescore(run, recipe, made_up, system, ["test"])
        assert (agreement.n, agreement.same_ranking, agreement.max_probability_difference) == (24, 24, 0.0)
        assert agreement.holds


def test_other_data_or_another_prompt_than_published_is_named(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    run = Run(trained / RUN)
    recipe, made_up = run.recipe(), load_task(trained / "tasks" / "made_up")
    monkeypatch.setattr(made_up.source, "split", lambda name: [])
    assert rescoring.rescore(run, recipe, made_up, tuned_name(recipe), ["test"]) == []
    rows = load_task(trained / "tasks" / "made_up").source.split("test")
    monkeypatch.setattr(made_up.source, "split", lambda name: rows[1:])
    with pytest.raises(InputError, match=r"test/00001 with the label .* is not in the data of test"):
        rescoring.rescore(run, recipe, made_up, tuned_name(recipe), ["test"])
    monkeypatch.undo()
    monkeypatch.setenv("OSLER_DATA_DIR", str(trained / "data"))
    (trained / "tasks" / "other").mkdir()
    shutil.copyfile(trained / "tasks/made_up/task.yaml", trained / "tasks/other/task.yaml")
    (trained / "tasks" / "other" / "prompt.jinja").write_text("{{ text }}\nWhat is it?")
    with pytest.raises(InputError, match="asked with the prompt"):
        rescoring.rescore(run, recipe, load_task(trained / "tasks" / "other"), tuned_name(recipe), ["test"])


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
