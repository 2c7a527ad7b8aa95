"""Which runs are served, and several of them on one base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import script
from served import TEXT

from osler.errors import InputError
from osler.runs.results import Calibration
from osler.scoring.answer import Answer
from osler.serving.model import load_models
from osler.tasks.case import Case

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path, evaluated_run: Path) -> Path:
    """A copy of the project; its run directory."""
    project = evaluated_run.parents[2]
    shutil.copytree(project, tmp_path / "project")
    return tmp_path / "project" / evaluated_run.relative_to(project)


def test_adapters_of_one_base_share_it_and_answer_as_alone(copy: Path) -> None:
    project = copy.parents[2]
    recipe = yaml.safe_load((project / "recipes" / "tiny.yaml").read_text())
    recipe |= {"name": "tiny-other", "train": recipe["train"] | {"seed": 1, "learning_rate": 0.05}}
    (project / "recipes" / "other.yaml").write_text(yaml.safe_dump(recipe))
    other = project / "runs" / "tiny-other" / "1.0.0"
    for name, argument in (("train", project / "recipes" / "other.yaml"), ("evaluate", other)):
        done = script(project, name, argument)
        assert done.returncode == 0, done.stderr
    together = load_models([str(copy), str(other)])
    first, second = together.values()
    assert first.model is second.model
    alone = [next(iter(load_models([str(path)]).values())) for path in (copy, other)]
    for _ in range(2):  # back and forth
        for shared, own in zip((first, second), alone, strict=True):
            told, expected = (model.answer([model.encode(TEXT)])[0].diagnoses for model in (shared, own))
            assert [one.label for one in told] == [one.label for one in expected]
            assert [one.probability for one in told] == pytest.approx([one.probability for one in expected], abs=1e-6)
    told = [model.answer([model.encode(TEXT)])[0].diagnoses[0].probability for model in (first, second)]
    assert told[0] != pytest.approx(told[1], abs=1e-4)


def test_a_run_without_data_on_this_machine_is_served(copy: Path) -> None:
    shutil.rmtree(copy.parents[2] / "data")
    (model,) = load_models([str(copy)]).values()
    assert len(model.answer([model.encode(TEXT)])[0].diagnoses) == 4


def test_the_threshold_of_evaluation_makes_it_abstain(evaluated_run: Path) -> None:
    (model,) = load_models([str(evaluated_run)]).values()
    assert model.fitted.abstention is not None
    abstention = model.fitted.abstention.model_copy(update={"threshold": 0.9})
    model = replace(model, fitted=model.fitted.model_copy(update={"abstention": abstention}))
    (answer,) = model.answer([model.encode(TEXT)])
    assert answer.abstained
    assert answer.reason is not None
    assert "is below 0.90, from which on 90% of the answers to validation cases were right" in answer.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 0.2}, r"the temperature 0\.2 is not what the answers to the validation cases give \("),
        ({"abstention": {"threshold": 0.1}}, r"the threshold 0\.1 is not what"),
        ({"temperature": None}, r"the temperature None is not what"),
    ],
    ids=["temperature", "threshold", "none"],
)
def test_a_calibration_that_somebody_wrote_in_is_not_served(copy: Path, changes: dict[str, Any], said: str) -> None:
    path = copy / "results.json"
    results = json.loads(path.read_text())
    for record in results["records"]:
        fitted = record["systems"]["tiny-made-up@1.0.0"]["calibration"]
        if fitted.get("temperature") is not None:
            for name, value in changes.items():
                fitted[name] = fitted[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(results))
    with pytest.raises(InputError, match=said):
        load_models([str(copy)])


def test_a_run_is_calibrated_wherever_validation_stands_in_its_results(copy: Path) -> None:
    path = copy / "results.json"
    results = json.loads(path.read_text())
    results["records"].reverse()
    path.write_text(json.dumps(results))
    (model,) = load_models([str(copy)]).values()
    assert model.calibrated


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            lambda run: (run / "panel.json").write_text((run / "panel.json").read_text().replace("Noonan", "Marfan")),
            "panel.json: not the labels that were trained on",
        ),
        (lambda run: (run / "results.json").unlink(), r"run scripts/evaluate\.py first"),
        (lambda run: (run / "manifest.json").unlink(), "training is not finished"),
        (lambda run: (run / "panel.json").unlink(), r"panel\.json"),
        (lambda run: (run / "adapter/adapter_model.safetensors").write_bytes(b"other"), "not what training wrote"),
        (lambda run: next((run / "predictions").glob("*tiny*")).write_text(""), "not what was scored"),
        (
            lambda run: (run.parents[2] / "tasks/made_up/prompt.jinja").write_text("{{ text }}\nWhat is it?"),
            "trained with another prompt",
        ),
    ],
    ids=["labels", "results", "manifest", "panel", "weights", "predictions", "prompt"],
)
def test_a_run_that_is_not_what_was_evaluated_is_refused(copy: Path, broken: object, said: str) -> None:
    broken(copy)  # type: ignore[operator]
    with pytest.raises(InputError, match=said):
        load_models([str(copy)])


def test_a_text_is_refused_where_its_longest_answer_would_not_fit(
    evaluated_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = load_models([str(evaluated_run)]).values()
    n, behind = len(model.encode(TEXT).tokens), 12
    monkeypatch.setattr(model.scorer, "behind", lambda case: behind)  # the labels of this task part at once
    replace(model, context=n + behind).encode(TEXT)
    with pytest.raises(InputError, match=rf"has {n} tokens .* answer {behind} more; the model reads {n + behind - 1}:"):
        replace(model, context=n + behind - 1).encode(TEXT)


def test_two_versions_of_one_recipe_are_refused(copy: Path, evaluated_run: Path) -> None:
    with pytest.raises(InputError, match="there is a model tiny-made-up already"):
        load_models([str(evaluated_run), str(copy)])


def test_no_run_is_told_as_such() -> None:
    with pytest.raises(InputError, match="no run directory, and no USER/NAME"):
        load_models(["nowhere"])


def test_a_model_larger_than_what_is_free_is_not_loaded(evaluated_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osler.serving.model._room", lambda: 1000)
    with pytest.raises(InputError, match=r"GB for the weights alone, 0\.0 GB are free here"):
        load_models([str(evaluated_run)])


class Canned:
    """A scorer that gives one answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def encode(self, case: Case) -> list[int]:
        return [1, 2, 3]

    def behind(self, case: Case) -> int:
        return 0

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        return [self._answer] * len(prompts)


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (Answer(("gout",), None, "Gout, most likely.", True), "no probability is known", ["gout"]),
        (Answer((), None, "I cannot tell.", False), "no diagnosis could be read", []),
    ],
    ids=["read", "not read"],
)
def test_a_model_that_writes_answers_with_what_was_read(
    evaluated_run: Path, answer: Answer, reason: str, told: list[str]
) -> None:
    (model,) = load_models([str(evaluated_run)]).values()
    model = replace(model, scorer=Canned(answer), fitted=Calibration())
    (said,) = model.answer([model.encode(TEXT)])
    assert (said.abstained, said.text) == (True, answer.text)
    assert said.reason is not None
    assert reason in said.reason
    assert [one.label for one in said.diagnoses] == told
    assert [one.probability for one in said.diagnoses] == [None] * len(told)
    assert not said.calibrated
