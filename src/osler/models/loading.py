"""Loads the tokenizer and the model of a recipe's ``base:``, with or without its adapter. Safetensors only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from peft.utils.constants import SEQ_CLS_HEAD_NAMES
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging
from transformers.utils.quantization_config import Mxfp4Config

from osler.errors import InputError
from osler.models.base_weights import base_folder
from osler.recipe import BaseSection, Recipe
from osler.storage import read_json

# Drawn as transformers does, a head says as much as a trained one, and the base is first taught what the draws ask for:
# docs/decisions/training.md. At zero there would be nothing to tell by that a base minds the padding of a batch.
HEAD_SCALE = 1e-3

WEIGHTS = "adapter_model.safetensors"

# Where bases of images and text have the chat template that transformers wrote for a processor until 4.57.
OF_PROCESSORS = "chat_template.json"

# Tokens that families of models already carry for padding, in their own vocabulary.
PADDING = ("<|endoftext|>", "<|finetune_right_pad_id|>", "<pad>", "<unk>")

# Several families write today's date into a prompt. The next day the same case would have other tokens, so they get
# this one, in the chat template itself: it is saved with the adapter, and whoever asks the model has it too.
TODAY = date(2025, 1, 1)
ASKS_FOR_TODAY = re.compile(r"""strftime_now\(\s*(?:"([^"]*)"|'([^']*)')\s*\)""")


def choose_device_map(recipe: Recipe) -> dict[str, torch.device] | None:
    """Where this process loads a whole model: on its own accelerator; None for the CPU, also with ``train.use_cpu``.

    Call it before anything else makes accelerate's ``PartialState``: the first one decides for all that follow.
    """
    state = PartialState(cpu=recipe.train.get("use_cpu", False))
    return None if state.device.type == "cpu" else {"": state.device}


def idle_accelerators(device: torch.device) -> str | None:
    """What to say where a computation on ``device`` leaves this machine's accelerators idle; None where it does not."""
    n = torch.accelerator.device_count() if device.type == "cpu" and torch.accelerator.is_available() else 0
    if not n:
        return None
    return (
        f"{n} accelerator{'s' if n > 1 else ''} of this machine stay{'' if n > 1 else 's'} idle: train.use_cpu, or"
        " accelerate's configuration, says so; train.use_cpu=false under accelerate_configs/single_gpu.yaml uses one"
    )


def context_length(model: PreTrainedModel) -> int | None:
    """How many tokens ``model`` reads; None where its configuration does not say."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(length, int) or length <= 0:
        return None
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return length - module.padding_idx - 1  # RoBERTa's positions begin behind that of the padding
    return length


def load_tokenizer(base: BaseSection) -> PreTrainedTokenizerBase:
    """Load the base model's tokenizer, with a padding token that is not EOS and a chat template without today's date.

    Raises:
        InputError: as :func:`base_folder`; or the vocabulary has no token to pad with.
    """
    folder = base_folder(base)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer.chat_template is None and (folder / OF_PROCESSORS).is_file():
        tokenizer.chat_template = read_json(folder / OF_PROCESSORS)["chat_template"]
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


def language_model_of(config: PreTrainedConfig) -> Any:
    """The class of models that write text after what ``config`` reads: text, or images and text."""
    return AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText


def load_base(base: BaseSection, device_map: str | dict[str, Any] | None = None) -> PreTrainedModel:
    """Load the base model in ``base.dtype``, in 4-bit NF4 if ``base.quantization`` says so, in evaluation mode.

    Raises:
        InputError: as :func:`load_tokenizer`.
    """
    model, _ = _load(language_model_of(AutoConfig.from_pretrained(base_folder(base))), base, device_map, None)
    model.generation_config.pad_token_id = model.config.pad_token_id
    return model


def load_classifier(
    base: BaseSection,
    labels: Sequence[str],
    device_map: str | dict[str, Any] | None = None,
    trained: Sequence[str] | None = None,
) -> PreTrainedModel:
    """As :func:`load_base`, under a linear head over ``labels``, label ids in the order of its outputs.

    What of it the base does not have is drawn by torch's generator, the head close to zero. ``trained`` says which
    modules an adapter will hold, besides the head itself; None where all weights are trained.

    Raises:
        InputError: as :func:`load_base`; or more is drawn than is trained, so that nothing would keep it.
    """
    model, drawn = _load(AutoModelForSequenceClassification, base, device_map, _over(labels))
    kept = {*SEQ_CLS_HEAD_NAMES, *(trained or ())}
    lost = [] if trained is None else [name for name in drawn if not kept & set(name.split("."))]
    if lost:
        modules = sorted({name.rpartition(".")[0] for name in lost})
        raise InputError(
            f"base.model: {base.model} has no {', '.join(modules)}: drawn anew for head: classifier, and not in the"
            f" adapter; write lora.modules_to_save: [{', '.join(name.rpartition('.')[2] for name in modules)}], or"
            " leave lora: away"
        )
    outputs = [p for name, p in model.named_parameters() if name in drawn and p.ndim == 2 and len(p) == len(labels)]
    for output in outputs[-1:]:  # there may be layers between the base and it
        output.data.mul_(HEAD_SCALE)
    return model


def _over(labels: Sequence[str]) -> dict[str, Any]:
    """What the configuration of a classifier says of its head."""
    return {
        # One output, as rerankers have, is refused by transformers as a classification.
        "problem_type": "single_label_classification" if len(labels) > 1 else "regression",
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def labels_of(folder: Path) -> tuple[str, ...] | None:
    """The label ids of the classifier in ``folder``, in the order of its outputs; None for a language model."""
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    if not any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
        return None
    return tuple(label for _, label in sorted((int(index), label) for index, label in config["id2label"].items()))


def load_under(base: BaseSection, adapter: Path, device_map: str | dict[str, Any] | None = None) -> PreTrainedModel:
    """Load what the adapter in folder ``adapter`` goes on; the head of a classifier is still to come, with the adapter.

    Raises:
        InputError: as :func:`load_base`.
    """
    labels = labels_of(adapter)
    if labels is None:
        return load_base(base, device_map)
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would warn of a head without weights
    try:
        return load_classifier(base, labels, device_map)
    finally:
        logging.set_verbosity(level)


def load_whole(base: BaseSection, folder: Path, device_map: str | dict[str, Any] | None = None) -> PreTrainedModel:
    """Load the whole model in ``folder`` as :func:`load_base` loads ``base``, which it was made of.

    Raises:
        InputError: as :func:`load_base`; or it is a classifier without its head.
    """
    whole = replace(base, model=str(folder), revision=None, weights=None, quantization=None)
    labels = labels_of(folder)
    if labels is None:
        return load_base(whole, device_map)
    model, missing = _load(AutoModelForSequenceClassification, whole, device_map, _over(labels))
    if missing:
        raise InputError(f"{folder}: its head is missing ({', '.join(missing)}): not what training wrote")
    return model


def _load(
    kind: Any, base: BaseSection, device_map: str | dict[str, Any] | None, head: Mapping[str, Any] | None
) -> tuple[PreTrainedModel, list[str]]:
    """A model of ``kind``, with ``head`` in its configuration, and the names of the weights that the base has not."""
    dtype = getattr(torch, base.dtype)
    tokenizer = load_tokenizer(base)
    config = AutoConfig.from_pretrained(base_folder(base), **(head or {}))
    # What the tokenizer pads with, the model must take for padding: its embedding row gets no gradient. A model of
    # images and text has its language model's configuration inside.
    for part in (config, config.get_text_config()):
        part.pad_token_id = tokenizer.pad_token_id
    loaded: tuple[PreTrainedModel, dict[str, Any]] = kind.from_pretrained(
        base_folder(base),
        config=config,
        dtype=dtype,
        quantization_config=quantisation(base, head is not None),
        attn_implementation=base.attn_implementation,
        device_map=device_map,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    model, info = loaded
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Once asked in evaluation mode on a CPU with AVX512-BF16, bitsandbytes 0.50 keeps the weights repacked for
            # a bf16 kernel that hands back no gradients: what is trained after that gets none through them, without a
            # word. And whatever the compute dtype, log-probabilities of labels move by 0.02 from one CPU to the next.
            module.support_avx512bf16_for_cpu = False
    return model, sorted(info["missing_keys"])


def load_tuned(
    base: BaseSection, adapter: Path, device_map: str | dict[str, Any] | None = None, name: str = "default"
) -> PreTrainedModel:
    """Load what training left in folder ``adapter``, in evaluation mode: the base with the adapter on it, frozen; or a
    whole model. One with a ``config.json`` of a classifier is under its head. ``name`` is what PEFT calls the adapter.

    Raises:
        InputError: as :func:`load_base`; or the folder has neither.
    """
    if not (adapter / WEIGHTS).is_file() and (adapter / "config.json").is_file():
        return load_whole(base, adapter, device_map)
    _check_weights(adapter)
    model = PeftModel.from_pretrained(
        load_under(base, adapter, device_map), str(adapter), adapter_name=name, is_trainable=False
    )
    _as_trained(model, adapter, name)
    return cast(PreTrainedModel, model)  # PEFT's model hands on everything of it, but is no subclass


def add_tuned(model: PreTrainedModel, adapter: Path, name: str) -> PreTrainedModel:
    """Put another adapter on the base of ``model``, which :func:`load_tuned` loaded with one, and make it the one that
    answers; ``model.set_adapter`` changes that. Not for classifiers, whose heads differ.

    Raises:
        InputError: the folder has no adapter.
    """
    _check_weights(adapter)
    peft = cast(PeftModel, model)
    peft.load_adapter(str(adapter), adapter_name=name, is_trainable=False)
    _as_trained(peft, adapter, name)
    peft.set_adapter(name, inference_mode=True)
    return model


def _check_weights(adapter: Path) -> None:
    if not (adapter / WEIGHTS).is_file():
        raise InputError(f"{adapter}: no {WEIGHTS} in it (only safetensors are loaded, no .bin)")


def _as_trained(model: PeftModel, adapter: Path, name: str) -> None:
    """Give the adapter the precision that it was saved in.

    PEFT loads half-precision adapters as float32, so the tuned model would compute in another precision than the one it
    was trained in. Upcast and back is lossless; loading in the base model's dtype would not be.
    """
    with safe_open(adapter / WEIGHTS, framework="pt") as saved:
        dtypes = {key: saved.get_tensor(key).dtype for key in saved.keys()}  # noqa: SIM118 (not a dict)
    for key, parameter in model.named_parameters():
        parameter.data = parameter.data.to(dtypes.get(key.replace(f".{name}", ""), parameter.dtype))


def quantisation(base: BaseSection, classifier: bool) -> BitsAndBytesConfig | Mxfp4Config | None:
    """How the base's weights are read: into NF4, out of gpt-oss's four bits, or as they are."""
    if base.quantization == "nf4":
        return _nf4(getattr(torch, base.dtype), classifier)
    shipped = read_json(base_folder(base) / "config.json").get("quantization_config") or {}
    # gpt-oss is published in 4 bits that nothing trains through.
    return Mxfp4Config(dequantize=True) if shipped.get("quant_method") == "mxfp4" else None


def _nf4(dtype: torch.dtype, classifier: bool) -> BitsAndBytesConfig:
    # FSDP cannot shard uint8 storage and would keep a full copy on each rank; other set-ups want bitsandbytes' default.
    storage = dtype if parse_flag_from_env("ACCELERATE_USE_FSDP") else torch.uint8
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=storage,
        llm_int8_skip_modules=list(SEQ_CLS_HEAD_NAMES) if classifier else None,  # in 4 bits nothing learns
    )
