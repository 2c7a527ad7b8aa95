"""What the planner says of a GPU's memory, held against what others measured on theirs.

Each figure was read at the address beside it. Two kinds: what torch had allocated at most (``allocated``: the step's
tensors), and what the device had taken (``device``: CUDA and what is lost between blocks, too). One tolerance for all.

Not taken: Unsloth's table of context lengths (README of unslothai/unsloth), whose lengths for "Hugging Face + FA2" are
one straight line in memory, so computed from few measurements (we say a quarter less); ms-swift's, memory that torch
had reserved (its full fine-tunings take less at 4,096 tokens than at 2,048); what lacks length, batch or precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from project import ROOT
from transformers import LlamaConfig, PhiConfig

from osler.recipe import load_recipe
from osler.training import fake_step, planner
from osler.training.fake_step import FourBit
from osler.training.hardware import HARDWARE

TOLERANCE = 0.15
RECIPE = ROOT / "recipes" / "llama-3.1-8b" / "phenopackets" / "qlora-v1.yaml"
LLAMA_2_7B = LlamaConfig(max_position_embeddings=65536)  # all sizes are the defaults
LLAMA_2_13B = LlamaConfig(hidden_size=5120, intermediate_size=13824, num_hidden_layers=40, num_attention_heads=40)
PHI_1_5 = PhiConfig(hidden_act="gelu_pytorch_tanh")  # litgpt computes it in one operation; the rest is the default

# Lightning-AI/litgpt, tutorials/resource-tables.md @4839345: one A100 40 GB, bfloat16, Alpaca, whose longest row has
# 1,304 tokens of Llama 2 and 1,044 of phi-1.5; LoRA r = 8 on query and value (so many are its trainable parameters),
# dropout 0.05; no activation checkpointing; logits in chunks. `max_memory_allocated() / 1e9`.
LITGPT = "{r: 8, lora_alpha: 16, lora_dropout: 0.05, target_modules: [q_proj, v_proj]}"
# hiyouga/LLaMA-Factory, wiki, Performance comparison (15 April 2024): one A100 40 GB, FlashAttention-2, QLoRA r = 8 on
# all linear layers, batch of 1; whole gigabytes.
FACTORY = "{r: 8, lora_alpha: 16, target_modules: all-linear}"


@dataclass(frozen=True)
class Published:
    """A figure of others, in 1e9 bytes, and the run it is of."""

    gigabytes: float
    config: Any
    lora: str
    rows: int
    length: int
    nf4: bool = False
    device: bool = False  # allocated by torch, else
    trained: int | None = None  # parameters, where the source says it


FIGURES = {
    "litgpt-llama-2-7b-lora": Published(21.30, LLAMA_2_7B, LITGPT, 1, 1304, trained=4_194_304),
    "litgpt-llama-2-7b-lora-of-2-rows": Published(29.07, LLAMA_2_7B, LITGPT, 2, 1304),
    "litgpt-llama-2-13b-lora": Published(38.12, LLAMA_2_13B, LITGPT, 1, 1304, trained=6_553_600),
    "litgpt-llama-2-7b-qlora": Published(13.84, LLAMA_2_7B, LITGPT, 1, 1304, nf4=True),
    "litgpt-llama-2-13b-qlora": Published(22.55, LLAMA_2_13B, LITGPT, 1, 1304, nf4=True),
    "litgpt-phi-1.5-lora": Published(4.82, PHI_1_5, LITGPT, 1, 1044, trained=1_572_864),
    "litgpt-phi-1.5-lora-of-4-rows": Published(10.68, PHI_1_5, LITGPT, 4, 1044),
    "factory-llama-2-7b-qlora-of-1024": Published(6, LLAMA_2_7B, FACTORY, 1, 1024, nf4=True, device=True),
    "factory-llama-2-7b-qlora-of-8192": Published(12, LLAMA_2_7B, FACTORY, 1, 8192, nf4=True, device=True),
    "factory-llama-2-7b-qlora-of-32768": Published(32, LLAMA_2_7B, FACTORY, 1, 32768, nf4=True, device=True),
}


class KeepsWhatItReads(FourBit):
    """bitsandbytes until 0.43.2 kept the input of every 4-bit product, for a gradient that nobody asks for
    (bitsandbytes#1270); both sources are older."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(given)
        answer: torch.Tensor = FourBit.forward(ctx, given, weight)
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_what_is_planned_for_a_gpu_is_what_others_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published = FIGURES[name]
    factory = name.startswith("factory")
    monkeypatch.setattr(fake_step, "FourBit", KeepsWhatItReads)
    if factory:
        monkeypatch.setattr(fake_step, "CHUNK", published.rows * published.length)  # transformers then had all logits
    overrides = [
        "head=null",
        f"base.quantization={'nf4' if published.nf4 else 'null'}",
        f"lora={published.lora}",
        f"train.per_device_train_batch_size={published.rows}",
        f"train.max_length={published.length}",
        f"train.activation_checkpointing={str(factory).lower()}",
    ]
    step = fake_step.run(load_recipe(RECIPE, overrides), published.config, None, published.length)
    assert published.trained in (None, step.trainable)
    planned = planner.needed(step, HARDWARE["a100-40"]) if published.device else step.total
    assert planned / 1e9 == pytest.approx(published.gigabytes, rel=TOLERANCE)
