"""The adapter merged into its base: one model folder that plain transformers loads, without PEFT or quantization.

An adapter trained on NF4 has learnt to correct the *rounded* weights, so it is merged into those, written out in
``base.dtype``. Merged into the weights they were rounded from, or rounded again afterwards (what PEFT makes of 4-bit
layers), it would be another model.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from osler.errors import InputError
from osler.models import loading
from osler.recipe import BaseSection, Recipe
from osler.runs import ADAPTER, MERGED_FROM, Run, merged_name
from osler.storage import model_fingerprint, write_json

PROCESSOR = "processor_config.json"  # how a base of images and text reads images


def merge(base: BaseSection, adapter: Path, folder: Path) -> None:
    """Save the base in ``base.dtype`` with the adapter merged into it as ``folder``, all or nothing.

    In it: safetensors, configuration, tokenizer with its chat template, and ``merged_from.json``, the fingerprints of
    the adapter and of what was made of it.

    Raises:
        InputError: ``folder`` exists, ``adapter`` holds no adapter or one that cannot be merged, or the base cannot be
            loaded.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists already; move it away to merge again")
    if not (adapter / ADAPTER).is_file():
        raise InputError(f"{adapter}: no {ADAPTER} in it; a recipe without lora: trains a whole model: use it as it is")
    model = loading.load_under(replace(base, quantization=None), adapter)
    if base.quantization is not None:
        _round(model, loading.load_under(base, adapter))
    tuned = PeftModel.from_pretrained(model, str(adapter))  # the adapter is float32 here
    if hindrance := _hindrance(tuned):
        raise InputError(f"{adapter}: {hindrance}; evaluate and publish the adapter itself, without --merged")
    merged = tuned.merge_and_unload()
    # Made under another name beside the folder: what a killed merge leaves there, the next one deletes.
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        merged.save_pretrained(part)
        loading.load_tokenizer(base).save_pretrained(part)
        if (processor := adapter / PROCESSOR).is_file():
            shutil.copy(processor, part)
        hashes = {"adapter_sha256": model_fingerprint(adapter), "weights_sha256": model_fingerprint(part)}
        write_json(part / MERGED_FROM, hashes)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _hindrance(tuned: PeftModel) -> str | None:
    """Why no plain model of the base's architecture computes what ``tuned`` does; None where one can."""
    config: Any = tuned.active_peft_config
    if config.layer_replication:
        return f"lora.layer_replication {config.layer_replication} cannot be merged: the layers share their weights"
    head: Any = tuned.get_output_embeddings()
    for name, layer in tuned.named_modules():
        if isinstance(layer, LoraLayer):
            base: Any = layer.get_base_layer()
            name = name.removeprefix("base_model.model.")
            if config.lora_bias and getattr(base, "bias", None) is None:
                return f"lora.lora_bias true cannot be merged: {name} has no bias to add it to"
            if isinstance(base, torch.nn.Embedding) and head is not None and head.weight is base.weight:
                return f"lora.target_modules has {name}, which cannot be merged: its weights are the head's too"
    return None


def _round(model: PreTrainedModel, quantised: PreTrainedModel) -> None:
    """Give the linear layers of ``model`` the values that those of ``quantised`` stand for.

    transformers' own ``dequantize()`` makes a ``Linear`` of every layer, also of GPT-2's ``Conv1D``, whose saved
    weights it thereby transposes (seen in transformers 5.23).
    """
    layers = dict(model.named_modules())
    for name, module in quantised.named_modules():
        if isinstance(module, Linear4bit):
            packed: Any = module.weight
            weight, layer = dequantize_4bit(packed.data, packed.quant_state), layers[name]
            with torch.no_grad():
                layer.weight.copy_(weight.T if isinstance(layer, Conv1D) else weight)


def merge_run(run: Run, recipe: Recipe) -> None:
    """Make ``run.merged_path`` with :func:`merge`, in the main process; the others wait.

    Deletes the answers of an earlier merged model, which must not pass for this one's. Raises :class:`InputError` as
    :func:`merge` does.
    """
    state = PartialState()
    if state.is_main_process:
        run.delete_predictions(merged_name(recipe))
        merge(recipe.base, run.adapter_path, run.merged_path)
    state.wait_for_everyone()


def load_merged(base: BaseSection, folder: Path, device_map: str | dict[str, Any] | None = None) -> PreTrainedModel:
    """Load the merged model in ``folder`` as :func:`osler.models.loading.load_base` loads the base it was made of."""
    return loading.load_whole(base, folder, device_map)
