"""Whether a recipe fits on a device, and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from osler.models import base_config
from osler.recipe import Recipe, load_recipe
from osler.rendering import aligned
from osler.training import fake_step
from osler.training.fake_step import Step, checkpointing
from osler.training.hardware import GIB, HARDWARE, Hardware, matrix_flops

OUTPUTS = 100  # of a classifier whose labels are not counted here; a head is a small part of anything
# Of what the maker gives, what training steps reach: of small models, short rows and 4-bit weights little.
EFFICIENCY = 0.15, 0.5
ON_CPU = 0.4, 0.7  # of a matrix product timed just now
PARTS = {
    "weights": "the base",
    "constants": "scales of its 4-bit blocks",
    "adapters": "trained beside it, float32",
    "gradients": "",
    "optimizer": "",
    "activations": "at the fullest moment",
    "logits": "of the positions answered at once",
}


def measure(recipe: Recipe, length: int | None = None, on_cpu: bool | None = None) -> tuple[Step, int]:
    """One step of ``recipe`` on rows of ``length`` tokens, its ``max_length`` where none is given, and that length.

    A step is a GPU's unless ``on_cpu`` or ``train.use_cpu`` says otherwise: on a CPU PEFT keeps copies in float32.
    """
    length = length or int(recipe.train.get("max_length") or 1024)
    return fake_step.run(recipe, base_config(recipe), outputs(recipe), length, on_cpu), length


def outputs(recipe: Recipe) -> int | None:
    """Of the head that the recipe trains; None where it trains a language model."""
    return {None: None, "classifier": OUTPUTS, "reranker": 1}[recipe.head]


def needed(step: Step, device: Hardware) -> float:
    """Bytes that ``step`` takes of ``device``."""
    reserved, spare = device.half if device.half and step.half else (device.reserved, device.spare)
    return reserved + step.total * (1 + spare)


def describe(step: Step, length: int, recipe: Recipe) -> str:
    """The step part by part, then a line a device: what it has, whether the recipe fits, and how long 1,000 rows take.
    All rows are taken to be as long as ``max_length``: an upper bound."""
    rows = recipe.train.get("per_device_train_batch_size", 8)
    sizes = [[name, f"{getattr(step, name) / GIB:.2f} GiB", text] for name, text in PARTS.items()]
    lines = [
        f"{recipe.name}@{recipe.version}: {step.trainable:,} of {step.parameters:,} parameters are trained;"
        f" a step of {rows} rows of {length:,} tokens",
        "",
        *aligned([*sizes, ["together", f"{step.total / GIB:.2f} GiB", ""]]),
        "",
        *aligned([["device", "has", "needs", "", "1,000 rows"], *(_line(step, rows, *of) for of in HARDWARE.items())]),
    ]
    return "\n".join(lines)


def _line(step: Step, rows: int, name: str, device: Hardware) -> list[str]:
    flops = device.flops or matrix_flops(torch.device("cpu"), torch.bfloat16)
    shares = EFFICIENCY if device.flops else ON_CPU
    minutes = [step.flops / rows * 1000 / (flops * share) / 60 for share in reversed(shares)]
    has, needs = device.memory / GIB, needed(step, device) / GIB
    fits = "fits" if needs <= has else "does not fit"
    return [name, f"{has:.1f} GiB", f"{needs:.1f} GiB", fits, f"{minutes[0]:.1f} to {minutes[1]:.1f} minutes"]


def advice(path: Path, overrides: list[str], device: Hardware) -> str:
    """The one change that makes a recipe fit, of those that change least; or the smallest device that it fits on."""
    recipe = load_recipe(path, overrides)
    for change, reason in _changes(recipe):
        step, _ = measure(load_recipe(path, [*overrides, *change]))
        if needed(step, device) <= device.memory:
            return f"{' '.join(change)} makes it fit ({needed(step, device) / GIB:.1f} GiB): {reason}"
    step, _ = measure(recipe)
    larger = [name for name, other in HARDWARE.items() if name != "cpu" and needed(step, other) <= other.memory]
    return f"no single change makes it fit; {larger[0]} holds it as it is" if larger else "no device here holds it"


def _changes(recipe: Recipe) -> Iterator[tuple[list[str], str]]:
    rows = recipe.train.get("per_device_train_batch_size", 8)
    steps = recipe.train.get("gradient_accumulation_steps", 1)
    if not checkpointing(recipe.train):
        yield ["train.activation_checkpointing=true"], "the same result, about a third slower"
    if rows > 1:
        one = ["train.per_device_train_batch_size=1", f"train.gradient_accumulation_steps={rows * steps}"]
        yield one, "as many rows a step, one after the other"
    if recipe.lora is not None and recipe.base.quantization is None:
        yield ["base.quantization=nf4"], "another recipe: QLoRA"
    if recipe.lora is None:
        yield ["train.optim=adamw_8bit"], "another recipe: AdamW with 8-bit moments"
