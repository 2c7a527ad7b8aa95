"""The checkpoint that answers validation best is the one that is kept, and training ends where nothing gets better."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import kill_at_first_checkpoint, make, make_classifier, script
from transformers import TrainerControl, TrainerState

from osler.errors import InputError
from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection
from osler.scoring import Answer
from osler.tasks import Case
from osler.training.selection import Patience, measures

RUN = Path("runs/tiny-made-up/1.0.0")
CHOOSING = {"save_steps": None, "eval_steps": 2, "max_steps": 8, "bf16": True}


def written(folder: Path, tiny: BaseSection, builder: Any, metric: str, **sections: Any) -> Path:
    """A recipe that chooses by ``metric``, of a task with a validation split."""
    train = {**CHOOSING, "metric_for_best_model": metric}
    path: Path = builder(
        folder, tiny, train=train, evaluation={"splits": ["validation", "test"], "baselines": ["majority"]}, **sections
    )
    path.write_text(path.read_text().replace("  save_steps: null\n", ""))
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"]["validation_share"] = 0.3
    content["splits"]["validation"] = "rows of the training file"
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize(("builder", "metric"), [(make, "accuracy"), (make, "log_loss"), (make_classifier, "macro_f1")])
def test_the_run_is_the_best_checkpoint_and_scores_what_was_logged(
    tmp_path: Path, tiny_base: BaseSection, builder: Any, metric: str
) -> None:
    done = script(tmp_path, "train", written(tmp_path, tiny_base, builder, metric))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / RUN / "train_log.jsonl").read_text().splitlines()]
    logged = {line["step"]: line[f"eval_{metric}"] for line in lines if f"eval_{metric}" in line}
    assert list(logged) == [2, 4, 6, 8]
    selected = json.loads((tmp_path / RUN / "manifest.json").read_text())["selected"]
    best = min if metric == "log_loss" else max
    assert selected == {"metric": metric, "step": selected["step"], "value": best(logged.values())}
    assert logged[selected["step"]] == selected["value"]

    done = script(tmp_path, "evaluate", RUN, "--split", "validation")
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / RUN).glob("results*.json")
    (record,) = json.loads(results.read_text())["records"]
    figure = record["systems"]["tiny-made-up@1.0.0"]["metrics"][metric]["value"]
    assert figure == pytest.approx(selected["value"], abs=1e-4)


def test_measures_are_those_of_the_answers() -> None:
    cases = [Case(str(n), "", label) for n, label in enumerate("aab")]
    answers = [Answer(("a", "b"), (0.8, 0.2)), Answer(("b", "a"), (0.6, 0.4)), Answer(("b", "a"), (0.9, 0.1))]
    found = measures(cases, answers)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(0.4149, abs=1e-4)
    assert "log_loss" not in measures(cases, [Answer(("a",), None)] * 3)


@pytest.mark.parametrize(
    ("values", "greater", "ends"),
    [
        ([0.1, 0.2, 0.2, 0.1], True, True),
        ([0.1, 0.2, 0.1, 0.3], True, False),
        ([2.0, 1.0, 1.5, 1.2], False, True),
        ([2.0, 1.5], False, False),
    ],
)
def test_training_ends_where_nothing_got_better(values: list[float], greater: bool, ends: bool) -> None:
    state = TrainerState()
    state.log_history = [line for value in values for line in ({"loss": 1.0}, {"eval_x": value})]
    control = TrainerControl()
    Patience("eval_x", greater, 2).on_evaluate(None, state, control)
    assert control.should_training_stop == ends


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.metric_for_best_model=rouge", "train.eval_steps=2"], "expected one of accuracy, macro_f1, log_loss"),
        (["train.metric_for_best_model=accuracy"], r"train\.eval_steps: train\.metric_for_best_model needs it"),
        (["train.eval_steps=2"], "without effect unless there is train.metric_for_best_model"),
        (["patience=2"], "without effect unless there is train.metric"),
        (
            ["train.metric_for_best_model=accuracy", "train.eval_steps=3"],
            r"train\.save_steps: checkpoints are written where they are evaluated: leave it out",
        ),
        (
            ["train.metric_for_best_model=accuracy", "train.eval_steps=2", "patience=0"],
            "0 is out of range; allowed: >= 1",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    overrides: list[str], said: str, tmp_path: Path, tiny_base: BaseSection
) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe(make(tmp_path, tiny_base), overrides)


def test_without_validation_cases_nothing_is_chosen(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base, train={**CHOOSING, "metric_for_best_model": "accuracy"})
    path.write_text(path.read_text().replace("  save_steps: null\n", ""))
    done = script(tmp_path, "train", path)
    assert done.returncode == 2
    assert "has no case of validation here to choose by" in done.stderr


@pytest.mark.slow
def test_a_run_that_sigterm_ended_goes_on_and_chooses_as_if_it_had_not(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = written(tmp_path, tiny_base, make, "log_loss")
    many = "train.max_steps=60"
    straight, ended = tmp_path / "straight", tmp_path / "ended"
    assert script(tmp_path, "train", path, many, "--output", straight).returncode == 0
    status = kill_at_first_checkpoint(ended, tmp_path, "train", path, many, "--output", ended, how=signal.SIGTERM)
    assert status == 1
    assert not (ended / "manifest.json").exists()
    stopped = max(int(folder.name.split("-")[1]) for folder in (ended / "checkpoints").glob("checkpoint-*"))
    done = script(tmp_path, "train", path, many, "--output", ended)
    assert done.returncode == 0, done.stderr
    of = {run: json.loads((run / "manifest.json").read_text()) for run in (straight, ended)}
    assert of[ended]["resumed_from_step"] == stopped < 60
    assert of[ended]["selected"] == of[straight]["selected"]
    assert of[ended]["adapter_sha256"] == of[straight]["adapter_sha256"]
