"""What is searched is refused before time is spent where it could not be tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from searching import make_search

from osler.errors import InputError
from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection, SearchRange

RATE = "train.learning_rate"


def test_a_search_changes_neither_what_a_run_is_bound_to_nor_a_recipe_without(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    space = {RATE: {"low": 1e-5, "high": 1e-3}, "lora.target_modules": ["all-linear", ["q_proj", "v_proj"]]}
    path = make_search(tmp_path, tiny_base, {"space": space, "minutes": 0.5})
    recipe, without = load_recipe(path), load_recipe(path, ["search=null"])
    assert recipe.search is not None
    assert recipe.search.space == {RATE: SearchRange(1e-5, 1e-3), "lora.target_modules": tuple(space.popitem()[1])}
    assert recipe.run_sha256 == without.run_sha256
    assert recipe.sha256 != without.sha256
    content = yaml.safe_load(path.read_text())
    del content["search"]
    path.write_text(yaml.safe_dump(content))
    assert load_recipe(path).sha256 == without.sha256
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "search.space: names nothing to try"),
        (
            {"train.learning_rat": [1, 2]},
            "search.space.train.learning_rat: unknown key; did you mean train.learning_rate?",
        ),
        ({RATE: {"low": 0, "high": 0.1}}, f"search.space.{RATE}: 0 is out of range; allowed: > 0"),
        (
            {"lora.lora_dropout": {"low": 0.0, "high": 1.5}},
            "search.space.lora.lora_dropout: 1.5 is out of range; allowed",
        ),
        ({"lora.r": {"low": 4.0, "high": 64.0}}, "search.space.lora.r: 4.0 is not allowed; expected an integer"),
        ({"lora.r": [8, "many"]}, 'search.space.lora.r: "many" is not allowed; expected an integer'),
        ({RATE: {"low": 0.1, "high": 0.001}}, f"search.space.{RATE}: low 0.1 is above high 0.001; change their places"),
        ({RATE: {"low": 0.1, "high": 0.1}}, f"search.space.{RATE}: is one value, 0.1; write that under its key"),
        (
            {"train.weight_decay": {"low": 0.0, "high": 1, "log": True}},
            "low 0.0 has no logarithm; expected low above 0",
        ),
        ({"lora.r": [8]}, "search.space.lora.r: [8] is not allowed; expected two or more values, each once"),
        ({"lora.r": [8, 8]}, "expected two or more values, each once"),
        ({"lora.r": 8}, "search.space.lora.r: 8 is not allowed; expected a mapping or a list of anything"),
        ({RATE: {"low": 0.1}}, f"search.space.{RATE}.high: missing; expected a finite number"),
        ({RATE: {"low": 0.1, "high": 1, "step": 2}}, f"search.space.{RATE}.step: unknown key"),
        ({"train.seed": [1, 2]}, "search.space.train.seed: is not searched: it is chance"),
        ({"task.name": ["a", "b"]}, "is not searched: it is what is learnt"),
        ({"evaluation.scorer": ["label_trie", "label_likelihood"]}, "is not searched: it is how trials are judged"),
        ({"base.model": ["a/b", "c/d"]}, "is not searched: it is one name with the others of the base"),
        ({"base": [{}, {}]}, "is not searched: it is one name with the others of the base"),
        (
            {"lora": [None, {"r": 4}], "lora.r": [2, 4]},
            "search.space.lora: also holds lora.r, or is in it; leave one out",
        ),
        ({"train.packing": [True, False]}, "search.space.train.packing: not with loss.name: label_trie"),
        (
            {"train.lr_scheduler_type": ["linear", "cosine_with_min_lr"]},
            'search.space.train.lr_scheduler_type: with "cosine_with_min_lr", train.lr_scheduler_kwargs: ',
        ),
    ],
)
def test_a_space_that_cannot_be_tried_is_refused(
    space: dict[str, Any], said: str, tmp_path: Path, tiny_base: BaseSection
) -> None:
    path = make_search(tmp_path, tiny_base, {"space": space})
    with pytest.raises(InputError) as refused:
        load_recipe(path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{path}: search.space")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.metric=rouge"], "search.metric .override.: .*expected one of accuracy, macro_f1, log_loss"),
        (["search.minutes=0"], "search.minutes .override.: 0 is out of range; allowed: > 0"),
        (["search.minute=5"], "search.minute .override.: unknown key; did you mean search.minutes"),
        (["train.save_steps=0.5"], "search: validation is answered every train.eval_steps, or else train.save_steps"),
        (
            ["train.metric_for_best_model=accuracy", "train.eval_steps=2"],
            "search.metric: log_loss is not train.metric_for_best_model, accuracy",
        ),
    ],
)
def test_a_search_that_cannot_be_judged_is_refused(
    overrides: list[str], said: str, tmp_path: Path, tiny_base: BaseSection
) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe(make_search(tmp_path, tiny_base), overrides)


def test_a_task_without_validation_has_nothing_to_search_on(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make_search(tmp_path, tiny_base)
    task = tmp_path / "tasks" / "made_up" / "task.yaml"
    task.write_text(task.read_text().replace("  validation: rows of the training file\n", ""))
    with pytest.raises(InputError, match="search: made_up has no split validation to judge by"):
        load_recipe(path, ["evaluation.splits=[test]"])
