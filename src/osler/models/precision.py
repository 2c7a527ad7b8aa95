"""A model computing in float32 for a while, to tell faults from rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from bitsandbytes.nn import Linear4bit, Params4bit

HALF = (torch.float16, torch.bfloat16)


@contextmanager
def without_autocast(model: torch.nn.Module) -> Iterator[None]:
    """Meanwhile ``model`` computes in the types of its weights, also where accelerate has wrapped autocast around its
    ``forward``, which no context outside of it turns off."""
    wrapped = [(module, module.forward) for module in model.modules() if "_original_forward" in vars(module)]
    try:
        for module, _ in wrapped:
            module.forward = vars(module)["_original_forward"]
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            yield
    finally:
        for module, forward in wrapped:
            module.forward = forward


@contextmanager
def in_float32(model: torch.nn.Module) -> Iterator[None]:
    """Meanwhile ``model`` computes in float32; afterwards it has the very weights again that it had.

    Autocast is off (:func:`without_autocast`).
    Needs room for its half-precision weights once more, in float32. 4-bit weights stay, and are multiplied in float32.
    Raises ``torch.OutOfMemoryError`` where there is no room.
    """
    tensors = [*model.parameters(), *model.buffers()]
    halves = [tensor for tensor in tensors if tensor.dtype in HALF and not isinstance(tensor, Params4bit)]
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    weights = [tensor.data for tensor in halves]
    computing = [(layer.compute_dtype, layer.compute_type_is_set) for layer in layers]
    try:
        for tensor in halves:
            tensor.data = tensor.data.float()
        for layer in layers:
            layer.compute_dtype = torch.float32
        with without_autocast(model):
            yield
    finally:
        for tensor, weight in zip(halves, weights, strict=True):
            tensor.data = weight
        for layer, (dtype, is_set) in zip(layers, computing, strict=True):
            layer.compute_dtype, layer.compute_type_is_set = dtype, is_set
