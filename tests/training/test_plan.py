"""What is said of a run before it starts, whatever its base."""

from __future__ import annotations

import pytest
import torch
from architectures import ARCHITECTURES, _tiny_config
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, TrainingArguments

from osler.training import plan
from osler.training.plan import memory_bytes

UNUSUAL = {"bloom", "falcon", "gpt2", "gptj", "mpt", "openai-gpt", "opt"}
USUAL = {"gemma2", "gemma3", "llama", "mistral", "phi3", "qwen2", "qwen3"}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_memory_of_any_base_is_estimated_or_said_not_to_be(model_type: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(_tiny_config(CONFIG_MAPPING[model_type]), dtype=torch.float32)
    estimate = memory_bytes(model, TrainingArguments(per_device_train_batch_size=2, use_cpu=True), 100)
    assert estimate is None or 0.7e9 < estimate < 1e9
    if model_type in USUAL | UNUSUAL:
        assert (estimate is None) == (model_type in UNUSUAL)


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
