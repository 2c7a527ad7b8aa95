"""Settings are searched on validation as a user asks for it: killed, out of time, taken up, and written down."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml
from project import script
from searching import SEARCH, make_search, search

from osler.errors import FailedError, InputError
from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs import Run
from osler.search import search as search_in_process

FOLDER = "runs/tiny-made-up/search-1.0.0"
RANKS = {"space": {"lora.r": [2, 4]}}
JUDGED = {"metric_for_best_model": "log_loss", "eval_steps": 2}


@pytest.mark.slow
def test_a_search_goes_on_after_its_time_and_a_kill_and_its_best_trains(tmp_path: Path, tiny_base: BaseSection) -> None:
    recipe = make_search(tmp_path, tiny_base, RANKS)
    text = recipe.read_text().replace("  r: 4", "  r: 4  # as published").replace("search:", "# Which rank?\nsearch:")
    recipe.write_text(f"# Tiny: recipes/tiny-v1.yaml\n{text}")
    somebodys = recipe.with_name("tiny-v2.yaml")
    somebodys.write_text("name: somebody's own")
    test = tmp_path / "data" / "made_up" / "test.jsonl"
    held_out = test.read_bytes()
    test.write_text("")  # a case that is not there is not looked at

    done = search(tmp_path, recipe, "search.minutes=0.001")
    assert done.returncode == 1
    assert "no trial came to its end within 0.001 minutes; with more search.minutes" in done.stderr
    killed = search(tmp_path, recipe, until=f"{FOLDER}/trials/000/checkpoints/*/complete.json")
    assert killed.returncode == -signal.SIGKILL
    done = search(tmp_path, recipe)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(": log_loss")[0] for line in lines[:2]] == ["trial 0: lora.r=4", "trial 1: lora.r=2"]
    assert Run(tmp_path / FOLDER / "trials/000").read_manifest().resumed_from_step

    written, found = recipe.with_name("tiny-v3.yaml"), json.loads(recipe.with_name("tiny-v3.study.json").read_text())
    best = found["trials"][found["best"]]
    assert [trial["state"] for trial in found["trials"]] == ["complete", "complete"]
    assert best["value"] == min(trial["value"] for trial in found["trials"]) == min(best["evaluations"].values())
    assert set(best["evaluations"]) == {"2", "4"}
    assert found["recipe"]["sha256"] == load_recipe(recipe).sha256
    winner = load_recipe(written)
    assert (winner.version, winner.lora["r"], winner.search) == ("3.0.0", best["values"]["lora.r"], None)
    assert winner.train == {**load_recipe(recipe).train, "metric_for_best_model": "log_loss", "eval_steps": 2}
    assert written.read_text().startswith("# Tiny: recipes/tiny-v3.yaml\n# Its values were found by scripts/search.py")
    assert "rank?" not in written.read_text()
    assert somebodys.read_text() == "name: somebody's own"
    runs = sorted(path.parent.name for path in tmp_path.glob(f"{FOLDER}/trials/*/adapter"))
    assert runs == [f"{found['best']:03}"]
    assert not list(tmp_path.glob(f"{FOLDER}/trials/*/checkpoints"))

    test.write_bytes(held_out)
    checked = script(tmp_path, "check_recipes", written)
    assert checked.returncode == 0, checked.stderr
    trained = script(tmp_path, "train", written)
    assert trained.returncode == 0, trained.stderr
    selected = Run(tmp_path / "runs/tiny-made-up/3.0.0").read_manifest().selected
    assert selected is not None
    assert (selected.value, selected.step) == (best["value"], best["step"])


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path, tiny_base: BaseSection) -> None:
    recipe = make_search(tmp_path, tiny_base, RANKS, train={"max_steps": 500, "save_steps": 2})
    done = search(tmp_path, recipe, until=f"{FOLDER}/trials/000/checkpoints/*/complete.json", how=signal.SIGTERM)
    assert done.returncode == 1
    assert "stopped by SIGTERM; the same command goes on from there" in done.stderr
    assert list(tmp_path.glob(f"{FOLDER}/trials/000/checkpoints/*/complete.json"))


class Scripted:
    """In place of a training: ``figures`` by the rank that is tried, one evaluation a look; text is why it failed."""

    figures: ClassVar[dict[int, list[float] | str]] = {}

    def __init__(self, path: Path, overrides: list[str], folder: Path) -> None:
        (rank,) = (int(override[len("lora.r=") :]) for override in overrides if override.startswith("lora.r="))
        self.outcome = self.figures[rank]
        self.seen, self.stopped = 0, False
        self.run = self

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        self.seen += 1
        return self.stopped or self.seen >= len(self.outcome)

    def stop(self) -> None:
        self.stopped = True

    def evaluations(self, metric: str) -> dict[int, float]:
        figures = [] if isinstance(self.outcome, str) else self.outcome[: self.seen]
        return {2 * number: value for number, value in enumerate(figures, 1)}

    def failure(self) -> str | None:
        return self.outcome if isinstance(self.outcome, str) else None

    def read_manifest(self) -> Any:
        step, value = min(self.evaluations("").items(), key=lambda item: item[1])
        return SimpleNamespace(selected=SimpleNamespace(step=step, value=value))


def test_a_trial_that_is_worse_than_most_is_ended_and_a_failed_one_passed_over(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ranks = [4, *range(10, 17)]
    figures: dict[int, list[float] | str] = {rank: [3.0, 2.0 - rank / 100, 1.0] for rank in ranks}
    Scripted.figures = {**figures, 20: [4.0, 3.0, 0.1], 21: "out of memory"}
    monkeypatch.setattr("osler.search.trials.Training", Scripted)
    path = make_search(tmp_path, tiny_base, {"space": {"lora.r": list(Scripted.figures)}})
    search_in_process(load_recipe(path), tmp_path / "out")
    trials = json.loads(path.with_name("tiny-v2.study.json").read_text())["trials"]
    states = {trial["values"]["lora.r"]: trial["state"] for trial in trials}
    assert len(trials) == len(Scripted.figures)  # each once, though there is time for more
    assert (states[20], states[21]) == ("pruned", "failed")
    assert "pruned after step 4, log_loss 3.0000" in capsys.readouterr().out


def test_trials_that_come_to_nothing_end_the_search(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted.figures = dict.fromkeys([4, 5, 6, 7], "out of memory")
    monkeypatch.setattr("osler.search.trials.Training", Scripted)
    path = make_search(tmp_path, tiny_base, {"space": {"lora.r": [4, 5, 6, 7]}})
    with pytest.raises(FailedError, match="3 trials in a row came to nothing, the last because: out of memory"):
        search_in_process(load_recipe(path), tmp_path / "out")


def test_another_space_is_another_search(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Scripted.figures = {4: [1.0], 8: [2.0]}
    monkeypatch.setattr("osler.search.trials.Training", Scripted)
    path = make_search(tmp_path, tiny_base, {"space": {"lora.r": [4, 8]}}, train={"save_steps": None, **JUDGED})
    path.write_text(path.read_text().replace("  save_steps: null\n", ""))
    search_in_process(load_recipe(path), tmp_path / "out")
    assert "nothing was better than the recipe's own values" in capsys.readouterr().out
    assert [file.name for file in path.parent.iterdir()].count("tiny-v2.yaml") == 0
    assert path.with_name("tiny-v1.study.json").is_file()
    for changed in ("train.warmup_steps=1", "search.space={lora.r: [4, 16]}", "search.metric=accuracy"):
        metric = ["train.metric_for_best_model=accuracy"] if "accuracy" in changed else []
        with pytest.raises(InputError, match="holds the trials of another search"):
            search_in_process(load_recipe(path, [changed, *metric]), tmp_path / "out")
    search_in_process(load_recipe(path, ["search.minutes=60"]), tmp_path / "out")  # more time is not


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search=null"], "search: missing; docs/how-to/search-settings.md shows one"),
        (["lora.r=8"], "lora.r (override): lora.r is searched; change search.space, or leave it out"),
        (["--output", "data"], "data: is not empty and holds no study.db; name another folder with --output"),
        (["--output", "broken"], "study.db: cannot be read as a study of Optuna"),
    ],
)
def test_what_cannot_be_searched_is_said_at_once(
    arguments: list[str], said: str, tmp_path: Path, tiny_base: BaseSection
) -> None:
    recipe = make_search(tmp_path, tiny_base, SEARCH)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.db").write_text(yaml.safe_dump({"no": "database"}) * 100)
    done = script(tmp_path, "search", recipe, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_search_is_refused_where_another_is_at_work(tmp_path: Path, tiny_base: BaseSection) -> None:
    recipe = make_search(tmp_path, tiny_base)
    with Run(tmp_path / FOLDER).locked("searching in"):
        done = script(tmp_path, "search", recipe)
    assert done.returncode == 2
    assert "is searching in it; wait until it is done" in done.stderr
