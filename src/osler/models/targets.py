"""What a recipe asks of its base's architecture, checked on a model without weights before any are loaded.

PEFT itself puts the adapter on that model, so what it would refuse is refused now; what it would pass over without a
word (a pattern, a layer or a parameter that names nothing) is refused beside it.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.constants import SEQ_CLS_HEAD_NAMES
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from osler.errors import InputError, join, nearest, one_line, show
from osler.models.base_weights import base_folder
from osler.models.loading import language_model_of
from osler.recipe import BaseSection, Recipe

LINEAR = (torch.nn.Linear, Conv1D)  # GPT-2's Conv1D is a linear layer
ADAPTABLE = (torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)  # what else PEFT's LoRA takes
# How PEFT puts the patterns of these keys around a name.
FORMS = {
    "layers_pattern": r"(?:.*\.)?{}\.\d+\..*",
    "rank_pattern": r"(?:.*\.)?(?:{})",
    "alpha_pattern": r"(?:.*\.)?(?:{})",
}
TASK_TYPES = {None: "CAUSAL_LM", "classifier": "SEQ_CLS", "reranker": "SEQ_CLS"}  # what PEFT calls a recipe's head
SECONDS = 5  # for all patterns of a recipe on all names of a base; those that people write take milliseconds
MATCH = "import json, re, sys; p, n = json.load(sys.stdin); "
MATCH += "json.dump([[bool(re.fullmatch(x, y)) for y in n] for x in p], sys.stdout)"


def check_architecture(recipe: Recipe) -> None:
    """Raise :class:`InputError` where ``lora:`` or ``train:`` asks for what the base does not have."""
    where = str(recipe.path)
    model = without_weights(recipe.base, recipe.head)
    if recipe.train.get("router_aux_loss_coef") and not hasattr(model.config.get_text_config(), "output_router_logits"):
        text = f"{recipe.base.model} is no mixture of experts; leave it out"
        raise InputError(f"{where}: train.router_aux_loss_coef: {text}")
    if recipe.lora is not None:
        _Targets(recipe.base, recipe.lora, where, model).check(TASK_TYPES[recipe.head])


def check_targets(base: BaseSection, lora: Mapping[str, Any], where: str) -> None:
    """Raise :class:`InputError` where ``lora:`` does not fit the base's layers. ``where`` is the recipe's file.

    As PEFT reads it, text in ``target_modules`` and ``exclude_modules`` is a regular expression for the whole name of a
    module, and an item of a list the end of one.
    """
    _Targets(base, lora, where, without_weights(base, None)).check(TASK_TYPES[None])


def without_weights(
    base: BaseSection, head: str | None, config: PreTrainedConfig | None = None, outputs: int | None = None
) -> PreTrainedModel:
    """The base on the meta device, under a ``head`` of ``outputs``; its ``config`` is its own where none is given.

    Raises :class:`InputError` where transformers has no classifier of it.
    """
    config = copy.deepcopy(config) if config else AutoConfig.from_pretrained(base_folder(base))
    if outputs is not None:
        config.num_labels, config.pad_token_id = outputs, 0
    kind: Any = language_model_of(config) if head is None else AutoModelForSequenceClassification
    # FlashAttention needs kernels that are not everywhere; torch's own keeps as little.
    attention = "sdpa" if base.attn_implementation == "flash_attention_2" else base.attn_implementation
    settings = {"dtype": getattr(torch, base.dtype), "attn_implementation": attention}
    try:
        with torch.device("meta"):
            model: PreTrainedModel = kind.from_config(config, **settings)
    except ValueError as error:
        if head is None:
            raise
        text = f"transformers has no classifier of {base.model} ({config.model_type}); take another base"
        raise InputError(f"base.model: {text}, or leave head: away") from error
    return model


def head_of(model: PreTrainedModel) -> torch.nn.Module | None:
    """The layer of a model of :func:`without_weights` that answers, which is never quantised."""
    named = (getattr(model, name, None) for name in SEQ_CLS_HEAD_NAMES)
    return model.get_output_embeddings() or next((layer for layer in named if layer is not None), None)


class _Targets:
    def __init__(self, base: BaseSection, lora: Mapping[str, Any], where: str, model: PreTrainedModel) -> None:
        self._base, self._lora, self._where, self._model = base, lora, where, model
        self._modules = dict(model.named_modules(remove_duplicate=False))
        head = model.get_output_embeddings()
        linear = {name for name, module in self._modules.items() if isinstance(module, LINEAR) and module is not head}
        self._linear = sorted({name.rpartition(".")[2] for name in linear})

    def _refuse(self, key: str, reason: str) -> NoReturn:
        raise InputError(f"{self._where}: lora.{key}: {reason}")

    def check(self, task_type: str) -> None:
        targets = self._lora.get("target_modules")
        everything = isinstance(targets, str) and targets.replace("_", "-") == "all-linear"
        if targets is not None and not everything:
            self._check_named("target_modules", adapted=True)
        for key in ("exclude_modules", "modules_to_save"):
            if self._lora.get(key):
                self._check_named(key, adapted=False)
        self._check_parameters()
        self._check_layers()
        # All patterns are tried here first: PEFT would try them without an end to it.
        for key, form in FORMS.items():
            self._check_patterns(list(self._modules), key, form)
        self._check_adapted(task_type)

    def _check_named(self, key: str, adapted: bool) -> None:
        """Each name of ``lora.<key>`` is there, and can have an adapter where it gets one."""
        asked, names = self._lora[key], list(self._modules)
        items = [asked] if isinstance(asked, str) else asked
        expected = f"the linear layers of {self._base.model} are {', '.join(self._linear)}"
        if not items:
            self._refuse(key, f"{show(asked)}: names nothing; {expected}")
        patterns = items if isinstance(asked, str) else [rf"(.*\.)?{re.escape(item)}" for item in items]
        for item, found in zip(items, self._matches(f"lora.{key}", patterns, names), strict=True):
            modules = [self._modules[name] for name, matches in zip(names, found, strict=True) if matches]
            if not modules:
                text = isinstance(asked, str) and item in self._linear
                hint = f" (text is a regular expression for a whole name; did you mean [{item}]?)" if text else ""
                self._refuse(key, f"{show(asked)}: no module is called {show(item)}{hint}; {expected}")
            other = next((module for module in modules if not isinstance(module, (*LINEAR, *ADAPTABLE))), None)
            if adapted and other is not None:
                reason = f"{show(item)} names a {type(other).__name__}, which takes no adapter"
                self._refuse(key, f"{show(asked)}: {reason}; {expected}")

    def _check_parameters(self) -> None:
        names = [name for name, _ in self._model.named_parameters(remove_duplicate=False)]
        for item in self._lora.get("target_parameters") or ():
            if not any(name == item or name.endswith(f".{item}") for name in names):
                self._refuse("target_parameters", f"no parameter is called {show(item)}{nearest(item, names)}")

    def _check_layers(self) -> None:
        n = self._model.config.get_text_config().num_hidden_layers
        asked = self._lora.get("layers_to_transform")
        for index in asked if isinstance(asked, list) else () if asked is None else (asked,):
            if not 0 <= index < n:
                self._refuse("layers_to_transform", f"{index} is no layer of {self._base.model}; allowed: 0 to {n - 1}")
        for _, end in self._lora.get("layer_replication") or ():
            if end > n:
                self._refuse("layer_replication", f"{end} is beyond the {n} layers of {self._base.model}")

    def _check_adapted(self, task_type: str) -> None:
        """PEFT's own checks, and what they leave out."""
        # No first values: some of them need the weights.
        settings = {**self._lora, "init_lora_weights": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # training gives them again
                tuned: Any = get_peft_model(self._model, LoraConfig(task_type=task_type, **settings))
        except (ValueError, TypeError, NotImplementedError, RuntimeError, ImportError) as error:
            raise InputError(f"{self._where}: lora: PEFT refuses it: {one_line(str(error))}") from None
        if isinstance(self._model.get_output_embeddings(), BaseTunerLayer):
            text = "the head cannot have an adapter: take it out, or write lora.modules_to_save to train it whole"
            self._refuse("target_modules", text)
        prefix = "base_model.model."
        adapted = [n.removeprefix(prefix) for n, m in tuned.named_modules() if isinstance(m, BaseTunerLayer)]
        for key in ("rank_pattern", "alpha_pattern"):
            self._check_patterns(adapted, key, FORMS[key], " with an adapter")
        trained = [name for name, parameter in tuned.named_parameters() if parameter.requires_grad]
        if self._lora.get("bias", "none") != "none" and not any(
            name.endswith("bias") and "lora_" not in name for name in trained
        ):
            self._refuse("bias", f"{self._lora['bias']} is without effect: {self._base.model} has no such biases")

    def _check_patterns(self, names: Sequence[str], key: str, form: str, of: str = "") -> None:
        """Each pattern of ``lora.<key>``, put in ``form``, matches one of ``names``."""
        asked = self._lora.get(key) or ()
        items = [asked] if isinstance(asked, str) else list(asked)
        for item, found in zip(
            items, self._matches(f"lora.{key}", [form.format(item) for item in items], names), strict=True
        ):
            if not any(found):
                ends = {name.rpartition(".")[2] for name in names}
                place = join(f"lora.{key}", item) if isinstance(asked, Mapping) else f"lora.{key}"
                raise InputError(f"{self._where}: {place}: matches no layer{of}{nearest(item, ends)}")

    def _matches(self, key: str, patterns: Sequence[str], names: Sequence[str]) -> list[list[bool]]:
        """Of each pattern, which names it matches as a whole; in a process of its own, which can be ended."""
        if not patterns:
            return []
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", MATCH],
                input=json.dumps([patterns, names]),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            text = f"no answer within {SECONDS} seconds; write it without repetitions inside repetitions"
            raise InputError(f"{self._where}: {key}: {show(list(patterns))}: {text}") from None
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1].partition(": ")[2]
            text = f"is text, so a regular expression, but not a valid one ({reason})"
            raise InputError(f"{self._where}: {key}: {show(list(patterns))}: {text}")
        matches: list[list[bool]] = json.loads(done.stdout)
        return matches
