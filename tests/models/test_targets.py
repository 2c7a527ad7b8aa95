"""What a recipe's ``lora:`` asks of the base's layers is there, or is refused before any weights are loaded."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from project import make

from osler.errors import InputError
from osler.models import loading, targets
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection

COMPLETION = {"name": "completion", "completion_weight": None}

FITS: dict[str, dict[str, Any]] = {
    "all layers": {"target_modules": "all-linear"},
    "PEFT's own choice": {"target_modules": None},
    "names": {"target_modules": ["q_proj", "embed_tokens"]},
    "a whole name": {"target_modules": ["layers.0.mlp.up_proj"]},
    "a pattern": {"target_modules": r".*\.self_attn\.[qk]_proj"},
    "one layer": {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    "all but some": {"target_modules": "all-linear", "exclude_modules": ["q_proj"]},
    "ranks": {"target_modules": "all-linear", "rank_pattern": {"q_proj": 2, r"layers\.0\.mlp\..*": 3}},
    "a layer trained whole": {"target_modules": ["q_proj"], "modules_to_save": ["norm", "lm_head"]},
    "a parameter": {"target_modules": None, "target_parameters": ["embed_tokens.weight"]},
    "a layer twice": {"target_modules": "all-linear", "layer_replication": [[0, 2], [1, 2]]},
}


@pytest.mark.parametrize("lora", FITS.values(), ids=FITS)
def test_layers_that_are_there_are_found(tiny_base: BaseSection, lora: dict[str, Any]) -> None:
    targets.check_targets(tiny_base, lora, "a.yaml")
    get_peft_model(loading.load_base(tiny_base), LoraConfig(task_type="CAUSAL_LM", **lora))


# PEFT would refuse these, once the weights are loaded.
REFUSED_LATER: dict[str, tuple[dict[str, Any], str]] = {
    "text for a list": (
        {"target_modules": "q_proj"},
        r'target_modules: "q_proj": no module is called "q_proj" \(.*did you mean \[q_proj\]',
    ),
    "a pattern in a list": (
        {"target_modules": [".*_proj"]},
        r"no module is called .* the linear layers of .* are down",
    ),
    "a module that is no layer": ({"target_modules": ["mlp"]}, r'"mlp" names a LlamaMLP, which takes no adapter'),
    "everything": ({"target_modules": ".*"}, r"names a Llama\w+, which takes no adapter"),
    "no pattern": ({"target_modules": "("}, r"a regular expression, but not a valid one"),
    "layer 99": (
        {"target_modules": ["q_proj"], "layers_to_transform": [99]},
        r"layers_to_transform: 99 is no layer of .*; allowed: 0 to 1",
    ),
    "nothing left": ({"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]}, r"lora: PEFT refuses it: .*exclu"),
}


@pytest.mark.parametrize(("lora", "complaint"), REFUSED_LATER.values(), ids=REFUSED_LATER)
def test_layers_that_are_not_there_are_refused_as_peft_would_later(
    tiny_base: BaseSection, lora: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        targets.check_targets(tiny_base, lora, "a.yaml")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises((ValueError, re.error)):
        get_peft_model(loading.load_base(tiny_base), LoraConfig(task_type="CAUSAL_LM", **lora))


# PEFT would train without them, and say nothing; the head, TRL's trainer would refuse.
PASSED_OVER: dict[str, tuple[dict[str, Any], str]] = {
    "one of two": ({"target_modules": ["q_proj", "q_poj"]}, r'no module is called "q_poj"'),
    "a layer to save": ({"modules_to_save": ["nosuch"]}, r'modules_to_save: .*no module is called "nosuch"'),
    "an excluded layer": ({"exclude_modules": ["nosuch"]}, r'exclude_modules: .*no module is called "nosuch"'),
    "a rank": ({"rank_pattern": {"q_poj": 2}}, r"rank_pattern.q_poj: matches no layer; did you mean q_proj"),
    "an alpha without an adapter": (
        {"target_modules": ["q_proj"], "alpha_pattern": {"v_proj": 2}},
        r"alpha_pattern.v_proj: matches no layer with an adapter",
    ),
    "a parameter": ({"target_parameters": ["experts.nosuch"]}, r'no parameter is called "experts.nosuch"'),
    "biases": ({"bias": "all"}, r"bias: all is without effect"),
    "one layer of two": ({"target_modules": ["q_proj"], "layers_to_transform": [0, 9]}, r"9 is no layer"),
    "a name before the number": (
        {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "blocks"},
        r"layers_pattern: matches no layer",
    ),
    "a replicated layer": ({"layer_replication": [[0, 9]]}, r"layer_replication: 9 is beyond the 2 layers"),
    "the head": ({"target_modules": ["q_proj", "lm_head"]}, r"the head cannot have an adapter"),
}


@pytest.mark.parametrize(("lora", "complaint"), PASSED_OVER.values(), ids=PASSED_OVER)
def test_what_peft_would_pass_over_without_a_word_is_refused(
    tiny_base: BaseSection, lora: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        targets.check_targets(tiny_base, {"target_modules": "all-linear", **lora}, "a.yaml")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "rank_pattern"])
def test_a_pattern_that_never_ends_is_given_up_in_seconds(
    tiny_base: BaseSection, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "SECONDS", 0.5)
    endless = r"(?:(?:[a-z._0-9]+)+)+!"
    asked = {key: {endless: 2} if key == "rank_pattern" else endless}
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"lora.{key}: .* no answer within 0.5 seconds"):
        targets.check_targets(tiny_base, {"target_modules": "all-linear", **asked}, "a.yaml")
    assert time.monotonic() - started < 5


def test_no_weights_are_read(tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("safetensors.safe_open", load)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", load)
    targets.check_targets(replace(tiny_base, quantization="nf4"), {"target_modules": "all-linear"}, "a.yaml")


def test_a_weight_for_experts_is_refused_where_there_are_none(tmp_path: Path, tiny_base: BaseSection) -> None:
    recipe = load_recipe(make(tmp_path, tiny_base, loss=COMPLETION, train={"router_aux_loss_coef": 0.01}))
    with pytest.raises(InputError, match=r"train.router_aux_loss_coef: .* is no mixture of experts; leave it out"):
        targets.check_architecture(recipe)
