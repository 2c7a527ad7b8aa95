"""What all prompts begin with, read once and not in every pass: texts differ, the turn around them does not."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from osler.models import in_float32
from osler.scoring.alike import common_beginning
from osler.scoring.proof import BOUND


@dataclass(frozen=True)
class Prefix:
    """``tokens``, and the keys and values that the model has of them in every layer."""

    tokens: tuple[int, ...]
    cache: Any

    def begins(self, prompts: Sequence[Sequence[int]]) -> bool:
        """Whether every prompt begins with it and goes on."""
        n = len(self.tokens)
        return all(len(prompt) > n and tuple(prompt[:n]) == self.tokens for prompt in prompts)

    def inputs(self, rest: dict[str, torch.Tensor]) -> dict[str, Any]:
        """What a model is called with for a batch whose ``rest``, padded on the right, is what follows the prefix."""
        n, mask = len(rest["input_ids"]), rest["attention_mask"]
        cache = copy.deepcopy(self.cache)  # a pass adds to it
        cache.batch_repeat_interleave(n)
        before = mask.new_ones(n, len(self.tokens))
        return {**rest, "attention_mask": torch.cat([before, mask], dim=1), "past_key_values": cache, "use_cache": True}


@torch.inference_mode()
def read_prefix(model: PreTrainedModel, prompts: Sequence[Sequence[int]], padding: int) -> Prefix | None:
    """What ``prompts`` have in common at their beginning, read by ``model``.

    None where that is nothing, where the model keeps no keys and values of what it read (an encoder), or where its
    outputs, in float32, are others with them.
    """
    tokens = prompts[0][: common_beginning(prompts)]
    if not tokens:
        return None

    def outputs(inputs: dict[str, Any]) -> torch.Tensor:
        return torch.as_tensor(model(**inputs).logits).float().cpu()

    def on_device(batch: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(model.device) for name, tensor in padded(batch, padding).items()}

    def read() -> Prefix | None:
        cache = getattr(model(**on_device([tokens]), use_cache=True), "past_key_values", None)
        return Prefix(tuple(tokens), cache) if hasattr(cache, "batch_repeat_interleave") else None

    try:
        with in_float32(model):
            prefix = read()
            if prefix is None:
                return None
            whole = outputs(on_device(prompts))
            shared = outputs(prefix.inputs(on_device([prompt[len(tokens) :] for prompt in prompts])))
            if float((whole - shared).abs().max()) > BOUND:
                return None
    except torch.OutOfMemoryError:
        return None
    return read()


def padded(prompts: Sequence[Sequence[int]], padding: int) -> dict[str, torch.Tensor]:
    """``input_ids`` and ``attention_mask`` of a batch, both (batch, longest), padded on the right with ``padding``."""
    rows = [torch.tensor(prompt) for prompt in prompts]
    masks = [torch.ones_like(row) for row in rows]
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=padding),
        "attention_mask": pad_sequence(masks, batch_first=True),
    }
