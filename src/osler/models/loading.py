"""Loads the tokenizer and the model of a recipe's ``base:``, with or without its adapter. Safetensors only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from osler.errors import InputError, show
from osler.models.base_weights import base_folder
from osler.recipe import BaseSection, Recipe

# Tokens that families of models already carry for padding, in their own vocabulary.
PADDING = ("<|endoftext|>", "<|finetune_right_pad_id|>", "<pad>", "<unk>")

# Several families write today's date into a prompt. The next day the same case would have other tokens, so they get
# this one, in the chat template itself: it is saved with the adapter, and whoever asks the model has it too.
TODAY = date(2025, 1, 1)
ASKS_FOR_TODAY = re.compile(r"""strftime_now\(\s*(?:"([^"]*)"|'([^']*)')\s*\)""")

LINEAR = (torch.nn.Linear, Conv1D)  # GPT-2's Conv1D is a linear layer
ADAPTABLE = (torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)  # what else PEFT's LoRA takes


def choose_device_map(recipe: Recipe) -> dict[str, torch.device] | None:
    """Where this process loads a whole model: on its own accelerator; None for the CPU, also with ``train.use_cpu``.

    Call it before anything else makes accelerate's ``PartialState``: the first one decides for all that follow.
    """
    state = PartialState(cpu=recipe.train.get("use_cpu", False))
    return None if state.device.type == "cpu" else {"": state.device}


def load_tokenizer(base: BaseSection) -> PreTrainedTokenizerBase:
    """Load the base model's tokenizer, with a padding token that is not EOS and a chat template without today's date.

    Raises:
        InputError: as :func:`base_folder`; or the vocabulary has no token to pad with.
    """
    tokenizer = AutoTokenizer.from_pretrained(base_folder(base), trust_remote_code=False)
    # Collators mask the padding out of the labels by its id. Where padding and EOS are one token (SmolLM2's GGUF has
    # <|im_end|> for both), that also masks the EOS that ends the answer: the model is never taught to stop. We take a
    # token the vocabulary already has, because a new one would need a new embedding row, which an adapter lacks.
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        vocabulary = tokenizer.get_vocab()
        padding = [token for token in PADDING if token in vocabulary and token != tokenizer.eos_token]
        if not padding:
            raise InputError(
                f"{base.model}: the tokenizer has no padding token besides EOS ({tokenizer.eos_token!r}) and none of "
                f"{', '.join(PADDING)} is in its vocabulary: set pad_token in a local copy and name that as base.model"
            )
        tokenizer.pad_token = padding[0]
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = ASKS_FOR_TODAY.sub(
            lambda asked: repr(TODAY.strftime(asked[1] or asked[2] or "")), tokenizer.chat_template
        )
    return tokenizer


def load_base(base: BaseSection, device_map: str | dict[str, Any] | None = None) -> PreTrainedModel:
    """Load the base model in ``base.dtype``, in 4-bit NF4 if ``base.quantization`` says so, in evaluation mode.

    Raises:
        InputError: as :func:`load_tokenizer`.
    """
    dtype = getattr(torch, base.dtype)
    tokenizer = load_tokenizer(base)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        base_folder(base),
        dtype=dtype,
        quantization_config=_nf4(dtype) if base.quantization == "nf4" else None,
        attn_implementation=base.attn_implementation,
        device_map=device_map,
        trust_remote_code=False,
        use_safetensors=True,
        # What the tokenizer pads with, the model must take for padding: its embedding row gets no gradient.
        pad_token_id=tokenizer.pad_token_id,
    )
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    for module in model.modules():
        if isinstance(module, Linear4bit) and dtype == torch.float32:
            # In evaluation on a CPU with AVX512-BF16, bitsandbytes 0.50 repacks the weights for a bf16 kernel whatever
            # the compute dtype: log-probabilities of labels move by 0.02, and differ from one CPU to the next.
            module.support_avx512bf16_for_cpu = False
    return model


def load_tuned(base: BaseSection, adapter: Path, device_map: str | dict[str, Any] | None = None) -> PreTrainedModel:
    """Load the base model with the adapter in folder ``adapter`` on it, frozen, in evaluation mode.

    Raises:
        InputError: as :func:`load_base`; or the folder has no ``adapter_model.safetensors``.
    """
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise InputError(f"{adapter}: no adapter_model.safetensors in it (only safetensors are loaded, no .bin)")
    model = PeftModel.from_pretrained(load_base(base, device_map), str(adapter), is_trainable=False)
    # PEFT loads half-precision adapters as float32, so the tuned model would compute in another precision than the one
    # it was trained in. Upcast and back is lossless; loading in the base model's dtype would not be.
    with safe_open(weights, framework="pt") as saved:
        dtypes = {name: saved.get_tensor(name).dtype for name in saved.keys()}  # noqa: SIM118 (not a dict)
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(dtypes.get(name.replace(".default", ""), parameter.dtype))
    return cast(PreTrainedModel, model)  # PEFT's model hands on everything of it, but is no subclass


def check_targets(base: BaseSection, lora: Mapping[str, Any], where: str) -> None:
    """Raise :class:`InputError` where ``lora.target_modules`` names no layer of the base. Its weights are not loaded.

    ``where`` is the recipe's file.
    As PEFT reads it, text is a regular expression for the whole name of a module, and an item of a list the end of
    one. PEFT would let an item that names nothing pass beside another that names something.
    """
    asked = lora.get("target_modules")
    if asked is None or asked == "all-linear":
        return
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base_folder(base)))
    modules = dict(model.named_modules())
    linear = {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, LINEAR)}
    expected = f"the linear layers of {base.model} are {', '.join(sorted(linear))}"

    def refuse(reason: str) -> NoReturn:
        raise InputError(f"{where}: lora.target_modules: {show(asked)}: {reason}; {expected}")

    if not asked:
        refuse("names nothing")
    for item in [asked] if isinstance(asked, str) else asked:
        try:
            pattern = re.compile(item if isinstance(asked, str) else rf"(.*\.)?{re.escape(item)}")
        except re.error as error:
            refuse(f"is text, so a regular expression, but not a valid one ({error})")
        matches = [module for name, module in modules.items() if pattern.fullmatch(name)]
        if not matches:
            hint = f" (text is a regular expression for a whole name; did you mean [{item}]?)" if item in linear else ""
            refuse(f"no module is called {show(item)}{hint}")
        if other := next((module for module in matches if not isinstance(module, (*LINEAR, *ADAPTABLE))), None):
            refuse(f"{show(item)} names a {type(other).__name__}, which takes no adapter")


def _nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    # FSDP cannot shard uint8 storage and would keep a full copy on each rank; other set-ups want bitsandbytes' default.
    storage = dtype if parse_flag_from_env("ACCELERATE_USE_FSDP") else torch.uint8
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=storage,
    )
