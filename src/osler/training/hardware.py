"""What a recipe can be trained on: memory and speed of some devices."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """One device.

    Attributes:
        memory: in bytes.
        flops: dense operations a second on bfloat16 matrices, as the maker gives them; None where they are timed.
        reserved: bytes that are taken before the model comes: CUDA's context, or Python and its libraries.
        spare: the share of what a step needs that is lost between blocks of memory.
    """

    memory: float
    flops: float | None
    reserved: float = 0.7e9
    spare: float = 0.08


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
    "cpu": Hardware(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), None),
}
