"""The tiny models stand for their architectures: they run, alike each time, and their weights, windows and heads count.

A new transformers that brings an architecture which `tiny` cannot build fails here: shrink it, or say why not.
"""

from __future__ import annotations

import pytest
import torch
import transformers
from architectures import _EXCEPTIONS, ARCHITECTURES, NOT_BUILT, NOT_CAUSAL, NOT_REPEATABLE, VOCABULARY, tiny
from packaging.version import Version
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LENGTH = 40


@pytest.mark.skipif(Version(transformers.__version__) < Version("5.23"), reason="an older transformers offers fewer")
def test_what_is_left_out_or_an_exception_is_still_offered() -> None:
    named = NOT_BUILT.keys() | NOT_CAUSAL.keys() | NOT_REPEATABLE.keys()
    assert named <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert not set(ARCHITECTURES) & NOT_BUILT.keys()
    assert _EXCEPTIONS.keys() <= set(CONFIG_MAPPING)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_tiny_model_gives_the_same_finite_logits_twice(model_type: str) -> None:
    model = tiny(model_type)
    assert sum(parameter.numel() for parameter in model.parameters()) < 3_000_000
    tokens = torch.randint(10, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = (model(input_ids=tokens).logits for _ in range(2))
        other_end = model(input_ids=torch.cat([tokens[:, :-10], tokens[:, -10:].flip(1)], dim=1)).logits
    assert first.shape == (2, LENGTH, VOCABULARY)
    assert first.isfinite().all()
    assert first.std(-1).mean() > 0.3, "so flat that errors would not show"
    assert torch.equal(first, second) == (model_type not in NOT_REPEATABLE)
    assert ((first - other_end)[:, :-10].abs().max() < 1e-4).item() == (model_type not in NOT_CAUSAL)
