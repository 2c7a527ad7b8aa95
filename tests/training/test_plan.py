"""What is said of a run before it starts, whatever its base."""

from __future__ import annotations

import pytest
import torch
from architectures import _tiny_config
from project import ROOT
from transformers import CONFIG_MAPPING

from osler.recipe import load_recipe
from osler.training import plan, planner
from osler.training.hardware import HARDWARE

RECIPE = ROOT / "recipes" / "smollm2-135m" / "phenopackets" / "lora-v1.yaml"
# One of each way to compute: with and without gates, mixtures of experts, names of sizes like nobody else's.
KINDS = ("bloom", "deepseek_v3", "gemma3", "gpt2", "gpt_oss", "llama", "mixtral", "opt", "phi3", "qwen3")


@pytest.mark.parametrize("model_type", KINDS)
def test_the_memory_is_the_planners_and_any_base_has_one(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _tiny_config(CONFIG_MAPPING[model_type])
    monkeypatch.setattr(planner, "base_config", lambda recipe: config)
    recipe = load_recipe(RECIPE, ["head=null", "train.per_device_train_batch_size=1"])
    cpu = torch.device("cpu")
    step, _ = planner.measure(recipe, 16, on_cpu=True)
    assert step.total > 0
    assert plan._memory(recipe, cpu, 16) == f"about {planner.needed(step, HARDWARE['cpu']) / 1e9:.1f} GB"


def test_a_base_that_asks_for_numbers_has_no_estimate_and_trains_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def asks_for_numbers(*_: object) -> None:
        raise RuntimeError("a tensor without storage has no item()")

    monkeypatch.setattr(planner, "measure", asks_for_numbers)
    assert plan._memory(load_recipe(RECIPE, []), torch.device("cpu"), 16) == "not estimated"


def test_who_has_a_cpu_that_is_slow_in_bfloat16_is_told_what_to_override(monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = {torch.bfloat16: 50.0, torch.float32: 20.0}
    monkeypatch.setattr(plan, "_minutes", lambda parameters, tokens, device, dtype: minutes[dtype])
    cpu = torch.device("cpu")
    large = 10**9
    said = plan._duration(large, large, cpu, torch.bfloat16)
    assert said.startswith("about 50 minutes, 20 with base.dtype=float32 train.bf16=false")
    assert plan._duration(large, large, cpu, torch.float32) == "about 20 minutes"
    minutes[torch.float32] = 60.0
    assert plan._duration(large, large, cpu, torch.bfloat16) == "about 50 minutes"
    assert plan._duration(1000, 1000, cpu, torch.bfloat16) == "less than a minute", "without a timing"
