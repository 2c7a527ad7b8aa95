"""What a device really does with a recipe: steps of a random model of its base's full size, timed and measured.

No weights, no data and no network: the base's configuration says its shape, and training costs the same whatever the
weights say. What the device takes is held against what :mod:`osler.training.planner` said it would.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import bitsandbytes
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from osler.errors import one_line
from osler.models import TASK_TYPES, base_config, quantisation, without_weights
from osler.recipe import Recipe
from osler.runs import peak_memory_bytes
from osler.training import planner
from osler.training.fake_step import Step, checkpointing, loss_of
from osler.training.hardware import GIB, Hardware
from osler.training.trainer import train_in_float32

KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "memory-efficient": SDPBackend.EFFICIENT_ATTENTION}
LARGEST = 512  # tokens of a row: enough for what a step keeps to be most of what a long row's does


@dataclass(frozen=True)
class Checked:
    """What came of one recipe.

    Attributes:
        tokens_a_second: over the steps but the first.
        peak_gib, planned_gib: what the device took, and what the planner said; null where it is not measured.
        losses: of the steps.
        resumed: whether the steps after a saved and loaded state have the losses of those that went straight on.
        error: what kept it from running; the other figures are null then.
    """

    recipe: str
    parameters: int | None = None
    tokens_a_second: float | None = None
    peak_gib: float | None = None
    planned_gib: float | None = None
    losses: tuple[float, ...] = ()
    resumed: bool | None = None
    error: str | None = None


def describe_device(device: torch.device) -> dict[str, Any]:
    """Its name and driver, whether bitsandbytes multiplies 4-bit weights on it, and which attention kernels it has."""
    found: dict[str, Any] = {"device": str(device), "torch": torch.__version__}
    found["bitsandbytes"] = bitsandbytes.__version__
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"name": properties.name, "memory_gib": round(properties.total_memory / GIB, 1)}
        found |= {"capability": f"{properties.major}.{properties.minor}", "cuda": torch.version.cuda}
    layer = bitsandbytes.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4").to(device)
    found["nf4"] = bool(layer(torch.ones(2, 64, dtype=torch.bfloat16, device=device)).isfinite().all())
    found["attention"] = [name for name, kernel in KERNELS.items() if _has(kernel, device)]
    return found


def _has(kernel: SDPBackend, device: torch.device) -> bool:
    q = torch.ones(1, 4, 32, 64, dtype=torch.bfloat16, device=device)
    with suppress(RuntimeError), sdpa_kernel([kernel]):
        torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
        return True
    return False


def length_of(recipe: Recipe) -> int:
    """Tokens of a row that is tried."""
    return min(LARGEST, int(recipe.train.get("max_length") or LARGEST))


def check(recipe: Recipe, step: Step, device: torch.device, steps: int) -> Checked:
    """Train a random model of the recipe's base for ``steps``, then as many again twice: straight on, and from a state
    that was saved and loaded."""
    name = str(recipe.path)
    try:
        return _check(recipe, step, device, steps)
    except (RuntimeError, ValueError, NotImplementedError, ImportError) as error:
        return Checked(name, error=f"{type(error).__name__}: {one_line(str(error))[:300]}")
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _check(recipe: Recipe, step: Step, device: torch.device, steps: int) -> Checked:
    length = length_of(recipe)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(0)
    model = _random(recipe, device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    rows = recipe.train.get("per_device_train_batch_size", 8)
    vocabulary = model.config.get_text_config().vocab_size
    batches = [torch.randint(3, vocabulary, (rows, length), device=device) for _ in range(2 * steps)]
    losses, seconds = _steps(model, recipe, optimizer, batches[:steps])
    saved = copy.deepcopy((_state(model, recipe), optimizer.state_dict()))
    straight, _ = _steps(model, recipe, optimizer, batches[steps:])
    _load(model, recipe, saved[0])
    optimizer.load_state_dict(saved[1])
    again, _ = _steps(model, recipe, optimizer, batches[steps:])
    cuda = device.type == "cuda"
    return Checked(
        recipe=str(recipe.path),
        parameters=step.parameters,
        tokens_a_second=round(rows * length / seconds, 1),
        peak_gib=round((peak_memory_bytes().gpu or 0) / GIB, 2) if cuda else None,
        planned_gib=round(planner.needed(step, Hardware(0, None, reserved=0)) / GIB, 2),
        losses=tuple(round(loss, 4) for loss in (*losses, *straight)),
        resumed=all(math.isclose(one, other, rel_tol=1e-4) for one, other in zip(straight, again, strict=True)),
    )


def _random(recipe: Recipe, device: torch.device) -> Any:
    """The base with random weights on ``device``, quantised layer by layer, under the recipe's adapter."""
    config = base_config(recipe)
    model: Any = without_weights(recipe.base, recipe.head, config, planner.outputs(recipe))
    if recipe.base.quantization:
        settings = quantisation(recipe.base, recipe.head is not None)
        replace_with_bnb_linear(model, ["lm_head", "score", "classifier"], settings)
    for module in model.modules():
        for key, given in list(module.named_parameters(recurse=False)):
            value = torch.randn(given.shape, dtype=getattr(torch, recipe.base.dtype), device=device).mul_(0.02)
            if isinstance(given, bitsandbytes.nn.Params4bit):
                made: Any = bitsandbytes.nn.Params4bit(value, requires_grad=False, quant_type="nf4", module=module)
                made = made.to(device)
            else:
                made = torch.nn.Parameter(value)
            setattr(module, key, made)
        if own := list(module.named_buffers(recurse=False)):  # such as the frequencies of rotary positions
            for key, buffer in own:
                setattr(module, key, torch.empty(buffer.shape, dtype=buffer.dtype, device=device))
            model._init_weights(module)
    if recipe.lora is not None:
        model = get_peft_model(model, LoraConfig(task_type=TASK_TYPES[recipe.head], **recipe.lora)).to(device)
    if checkpointing(recipe.train):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    train_in_float32(model)
    return model.train()


def _steps(model: Any, recipe: Recipe, optimizer: torch.optim.Optimizer, batches: Iterable[torch.Tensor]) -> Any:
    losses, started = [], time.monotonic()
    seconds: list[float] = []
    for ids in batches:
        loss, _ = loss_of(model, recipe, ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        seconds.append(time.monotonic() - started)
        started = time.monotonic()
    counted = seconds[1:] or seconds  # the first step warms up
    return losses, sum(counted) / len(counted)


def _state(model: Any, recipe: Recipe) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = model.state_dict() if recipe.lora is None else get_peft_model_state_dict(model)
    return state


def _load(model: Any, recipe: Recipe, state: dict[str, torch.Tensor]) -> None:
    model.load_state_dict(state) if recipe.lora is None else set_peft_model_state_dict(model, state)


def as_table(checked: Iterable[Checked]) -> list[list[str]]:
    """A row a recipe."""
    rows = [["recipe", "tokens/s", "peak", "planned", "resumed", ""]]
    for one in checked:
        figures = asdict(one)
        measured = (figures[key] for key in ("tokens_a_second", "peak_gib", "planned_gib"))
        told = ["" if figure is None else f"{figure:,}" for figure in measured]
        rows.append([one.recipe, *told, {True: "equal", False: "differs", None: ""}[one.resumed], one.error or ""])
    return rows
