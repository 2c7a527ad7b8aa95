"""What a recipe can be trained on: memory and speed of some devices, and whether this machine will do."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from osler.errors import InputError
from osler.models import base_config, without_weights
from osler.recipe import Recipe
from osler.runs import machine_memory

LARGE = 1_000_000_000  # parameters from which a CPU needs days


@dataclass(frozen=True)
class Hardware:
    """One device.

    Attributes:
        memory: in bytes.
        flops: dense operations a second on bfloat16 matrices, as the maker gives them; None where they are timed.
        reserved: bytes that are taken before the model comes: CUDA's context, or Python and its libraries.
        spare: the share of what a step needs that is lost between blocks of memory.
        half: what takes the place of both where a step computes in half precision; None where nothing does.
    """

    memory: float
    flops: float | None
    reserved: float = 0.7e9
    spare: float = 0.08
    half: tuple[float, float] | None = None


GIB = 2**30
# NVIDIA's data sheets, without sparsity. Memory is what is left of the nominal size.
HARDWARE = {
    "rtx4090": Hardware(23.6 * GIB, 165e12),
    "a10g": Hardware(22.0 * GIB, 70e12),
    "l4": Hardware(22.0 * GIB, 121e12),
    "a100-40": Hardware(39.4 * GIB, 312e12),
    "a100-80": Hardware(79.1 * GIB, 312e12),
    "h100": Hardware(79.1 * GIB, 989e12),
    "h200": Hardware(139.7 * GIB, 989e12),
    # In bfloat16 more is lost, most of it within some dozen steps of changing lengths: fitted to the peaks of five runs
    # of SmolLM2-135M (docs/decisions/training.md).
    "cpu": Hardware(machine_memory(), None, half=(2.0e9, 0.35)),
}


A_GPU = Hardware(0, None)  # whose size is not asked


def matrix_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a matrix product, timed for a third of a second."""
    a = torch.randn(1024, 1024, device=device, dtype=dtype)
    for _ in range(3):
        a @ a
    started, n = time.monotonic(), 0
    while time.monotonic() - started < 0.3:
        (a @ a).sum().item()
        n += 1
    return n * 2 * 1024**3 / (time.monotonic() - started)


def check_here(recipe: Recipe) -> None:
    """Raise :class:`InputError`, before any weights are downloaded, where a large base would be trained on a CPU and
    the recipe does not ask for that."""
    if torch.accelerator.is_available() or recipe.train.get("use_cpu"):
        return
    model = without_weights(recipe.base, recipe.head, base_config(recipe))
    if (n := sum(parameter.numel() for parameter in model.parameters())) < LARGE:
        return
    near = sorted(recipe.path.resolve().parents[2].glob(f"*/{recipe.task.name}/*.yaml"))
    runs = [path for path in near if "use_cpu: true" in path.read_text(encoding="utf-8")]
    instead = f"; {runs[-1]} runs here" if runs else ""
    raise InputError(
        f"{recipe.path}: base.model: {recipe.base.model} has {n / 1e9:.1f} billion parameters, and this machine has no"
        f" GPU: it would take days{instead}; train.use_cpu=true trains it all the same"
    )
