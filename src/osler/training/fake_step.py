"""One training step of a recipe on tensors without storage: what it keeps in memory, and how much it computes.

The model is built from its configuration alone, whatever its size, and really runs forward and backward under torch's
``FakeTensorMode``, which knows shapes and types and computes nothing. So every architecture, adapter and way of
attention is counted as it is, and not by a formula.
"""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from transformers import PreTrainedConfig
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from osler.models import TASK_TYPES, head_of, quantisation, without_weights
from osler.recipe import Recipe, find_tasks, read_task
from osler.training.trainer import train_in_float32

CHUNK = 256  # positions whose logits are there at once: of TRL's chunked loss
NF4 = 0.5, 1 / 64 + 4 / (64 * 256)  # bytes a weight: 4 bits; its block's scale in 8 bits and the scale of 256 of those
MOMENTS = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "adamw_bnb_8bit": 2, "sgd": 0}  # bytes a parameter; else AdamW's 8

TOWERS = ("vision_tower", "vision_model")  # what models of images and text call what sees
# Pictures that a tower sees of one image: SmolVLM's processor scales the longer side to four times its tower's, and has
# a square cut into 4 × 4 and, once more, whole. Others see one.
PICTURES = {"idefics3": 17}


@dataclass(frozen=True)
class Step:
    """What one step of one process needs. Sizes are in bytes.

    Attributes:
        parameters: of the base and what is put on it.
        trainable: those that are trained.
        weights: of the base, in 4 bits where they are quantised.
        constants: of quantisation.
        adapters: what is trained beside the base; 0 where the base itself is.
        optimizer: the moments of what is trained.
        gradients: of what is trained, in float32.
        logits: of the positions that are answered at once.
        activations: what else there is at the fullest moment between two steps.
        flops: operations on floating-point numbers, forward and backward.
        half: whether it computes in half precision.
    """

    parameters: int
    trainable: int
    weights: float
    constants: float
    adapters: float
    optimizer: float
    gradients: float
    logits: float
    activations: float
    flops: float
    half: bool

    @property
    def total(self) -> float:
        """The sum of all sizes."""
        kept = self.weights + self.constants + self.adapters + self.optimizer
        return kept + self.gradients + self.logits + self.activations


class _Live(TorchDispatchMode):
    """Counts the bytes of the storages that are alive, of what is made while it is on, and the most there ever were;
    and the operations on floating-point numbers, as torch's ``FlopCounterMode`` does without asking where they are."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.now = self.most = self.flops = 0
        self._alive = {id(t.untyped_storage()): weakref.ref(t.untyped_storage()) for t in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if (count := FLOPS.get(func.overloadpacket)) is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=made)
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if (known := self._alive.get(key)) is not None and known() is storage:
            return

        def gone(_: object) -> None:
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


class FourBit(torch.autograd.Function):
    """The product with a matrix in 4 bits, as bitsandbytes computes it: the matrix is there in full while it is
    multiplied, forward and backward, and nothing is kept for what is not trained."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.weight = weight
        return given @ weight.clone().t()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ ctx.weight.clone(), None


def _four_bit(module: Linear4bit, given: torch.Tensor) -> torch.Tensor:
    answer: torch.Tensor = FourBit.apply(given.to(module.weight.dtype), module.weight)
    return (answer if module.bias is None else answer + module.bias).to(given.dtype)


def _quantised(model: Any, recipe: Recipe) -> list[int]:
    """Put the layers that NF4 is computed in into ``model``, so that PEFT treats them as such; their weights' sizes."""
    head = head_of(model)
    answers = [name for name, module in model.named_modules() if module is head]
    replace_with_bnb_linear(model, answers, quantisation(recipe.base, recipe.head is not None))
    model.is_loaded_in_4bit = True
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    for layer in layers:
        layer.weight.data = layer.weight.data.to(model.dtype)  # of the matrix in full
        layer.forward = partial(_four_bit, layer)  # type: ignore[method-assign]
    return [layer.in_features * layer.out_features for layer in layers]


@contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """PEFT asks whether autocast is on for CUDA, and where it is leaves out a float32 copy of what its layers read."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", True)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before)


def run(recipe: Recipe, config: PreTrainedConfig, outputs: int | None, length: int, on_cpu: bool | None = None) -> Step:
    """Run one step of ``recipe`` on ``length`` tokens a row.

    Args:
        config: of the base.
        outputs: of a head; None of a language model.
        on_cpu: whether it is a CPU's step; None where ``train.use_cpu`` says it.
    """
    settings, rows = recipe.train, recipe.train.get("per_device_train_batch_size", 8)
    on_cpu = bool(settings.get("use_cpu")) if on_cpu is None else on_cpu
    model: Any = without_weights(recipe.base, recipe.head, config, outputs)
    quantised = _quantised(model, recipe) if recipe.base.quantization else []
    if recipe.lora is not None:
        with torch.device("meta"):
            model = get_peft_model(model, LoraConfig(task_type=TASK_TYPES[recipe.head], **recipe.lora))
    with FakeTensorMode():
        _fill(model)
        train_in_float32(model)
        model.train()
        if checkpointing(settings):
            # The other way keeps its tensors alive under a mode that watches.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the new name is not in transformers 5.20
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
            model.enable_input_require_grads()
        live = _Live([*model.parameters(), *model.buffers()])
        gpu = _mixed(settings) and not on_cpu
        with live, _as_on_a_gpu() if gpu else nullcontext():
            loss, said = loss_of(model, recipe, torch.zeros(rows, length, dtype=torch.long))
            loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    frozen = [p for p in model.parameters() if not p.requires_grad]
    n = sum(p.numel() for p in trained)
    whole = recipe.lora is None
    kept = sum(p.numel() * p.element_size() for p in frozen) - model.dtype.itemsize * sum(quantised)
    return Step(
        parameters=n + sum(p.numel() for p in frozen),
        trainable=n,
        weights=kept + NF4[0] * sum(quantised) + (4 * n if whole else 0),
        constants=NF4[1] * sum(quantised),
        adapters=0 if whole else 4 * n,
        optimizer=MOMENTS.get(settings.get("optim", ""), 8) * n,
        gradients=4 * n,
        logits=said,
        activations=max(0, live.most - said - 4 * n),
        flops=live.flops,
        half=bool(_mixed(settings) or recipe.base.dtype != "float32"),
    )


def loss_of(model: Any, recipe: Recipe, ids: torch.Tensor) -> tuple[torch.Tensor, float]:
    """A loss on ``ids``, (rows, length), that costs what the recipe's does, and the bytes of its logits: those of a
    head, or of the positions that are answered at once."""
    settings, (rows, length) = recipe.train, ids.shape
    with torch.autocast(ids.device.type, torch.bfloat16) if _mixed(settings) else nullcontext():
        seen = _seen(model, recipe, ids)
        asked = {} if recipe.head else {"logits_to_keep": max(1, min(length, CHUNK // rows))}
        logits = model(input_ids=ids, use_cache=False, **asked).logits.float()
        targets = torch.zeros(logits.shape[:-1], dtype=torch.long, device=ids.device)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten())
        if seen is not None:
            loss = loss + 0 * seen.float().mean()  # so that what is trained of the tower keeps what it needs
    return loss, 4.0 * logits.numel()


def _seen(model: Any, recipe: Recipe, ids: torch.Tensor) -> torch.Tensor | None:
    """What the vision tower makes of a batch's images; None where the recipe's task has none."""
    if not read_task(find_tasks(recipe.path) / recipe.task.name).source.has_images:
        return None
    tower: Any = next(module for name, module in model.named_modules() if name.rpartition(".")[2] in TOWERS)
    side, pictures = model.config.vision_config.image_size, PICTURES.get(model.config.model_type, 1)
    pixels = torch.zeros(len(ids) * pictures, 3, side, side, dtype=getattr(torch, recipe.base.dtype), device=ids.device)
    seen: torch.Tensor = tower(pixel_values=pixels).last_hidden_state
    return seen


def checkpointing(settings: Mapping[str, Any]) -> bool:
    """Whether ``train:`` asks for activation checkpointing, by its new name or the old one."""
    return bool(settings.get("activation_checkpointing") or settings.get("gradient_checkpointing"))


def _mixed(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("bf16") or settings.get("fp16"))


def _grouped_flops(a: Any, b: Any, *_: Any, **__: Any) -> int:
    """Of a product of the rows of ``a`` with the matrix of their expert; torch does not count it yet."""
    return 2 * math.prod(a.shape) * int(b.shape[-1])


FLOPS: dict[Any, Any] = {torch.ops.aten._grouped_mm: _grouped_flops, **flop_registry}


def _fill(model: torch.nn.Module) -> None:
    """Put tensors of the mode that is on in place of those on the meta device; what is shared stays shared."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, given in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(given) not in made:
                of = torch.empty(given.shape, dtype=given.dtype)
                made[id(given)] = torch.nn.Parameter(of, requires_grad=given.requires_grad)
            setattr(module, name, made[id(given)])
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
