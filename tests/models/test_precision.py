"""What is computed in float32 for a while is afterwards what it was, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from types import MethodType

import pytest
import torch

from osler.models.loading import load_base
from osler.models.precision import in_float32
from osler.recipe.sections import BaseSection


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_a_model_is_itself_again(tiny_base: BaseSection, quantization: str | None) -> None:
    model = load_base(replace(tiny_base, dtype="bfloat16", quantization=quantization))
    exact = load_base(replace(tiny_base, dtype="float32", quantization=quantization))
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        before = model(ids).logits
        with in_float32(model):
            meanwhile = model(ids).logits
        after = model(ids).logits
        expected = exact(ids).logits
    assert meanwhile.dtype == torch.float32
    # The same weights, rounded once to bfloat16.
    assert (meanwhile - expected).abs().max() < 0.05
    assert before.dtype == after.dtype == torch.bfloat16
    assert torch.equal(before, after)


def test_autocast_is_off_that_accelerate_wraps_around_a_model(tiny_base: BaseSection) -> None:
    model = load_base(replace(tiny_base, dtype="float32", quantization=None))
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        exact = model(ids).logits
        # As Accelerator.prepare_model does. With accelerate itself: test_a_reranker_is_trained_and_evaluated.
        model._original_forward = model.forward
        model.forward = MethodType(torch.autocast("cpu", torch.bfloat16)(model.forward.__func__), model)
        rounded = model(ids).logits
        with in_float32(model):
            meanwhile = model(ids).logits
        after = model(ids).logits
    assert torch.equal(meanwhile, exact)
    assert not torch.equal(rounded, exact)
    assert torch.equal(after, rounded)
