"""A merged model as a graph for ONNX Runtime or OpenVINO, by transformers' own exporters.

A language model takes and returns its KV cache: ``input_ids`` after an empty cache are a prompt, after a filled one
what follows it. A classifier has none.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from osler.errors import InputError, one_line


def write_graph(model: PreTrainedModel, folder: Path, format_name: str, quantization: str | None) -> None:
    """Write ``model``, in float32, as ``folder``.

    Raises :class:`InputError` where the exporter cannot, or the installed transformers has none.
    """
    try:
        from transformers import exporters
    except ImportError:
        raise InputError(f"--to {format_name}: the installed transformers has no exporters: 5.23 has") from None
    name = type(model).__name__
    # The exporters say by the line what they do, and that they were tested with other versions: the answers tell.
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            exported = _exported(exporters, model, format_name, quantization)
    except Exception as error:  # whatever tracing an architecture that it was not written for ends with
        reason = one_line(f"{type(error).__name__}: {error}")[:200]
        raise InputError(f"--to {format_name}: {name} cannot be written: {reason}") from None
    finally:
        logging.disable(logging.NOTSET)
    exported.save_pretrained(folder)


def _exported(exporters: Any, model: PreTrainedModel, format_name: str, quantization: str | None) -> Any:
    if format_name == "openvino":
        config = exporters.OpenVINOConfig(dynamic=True, stateful=False, compress_to_fp16=quantization == "fp16")
        return exporters.OpenVINOExporter().export(model, _sample(model), config)
    quantizer = None
    if quantization == "int8":
        # A scale a row of weights; and 7 bits: without VNNI, processors add products of 8 bits up in 16, and saturate.
        scales = exporters.OnnxRuntimeDynamicConfig(per_channel=True, reduce_range=True)
        quantizer = exporters.OnnxRuntimeQuantizer(scales)
    config = exporters.OnnxConfig(dynamic=True, quantizer=quantizer)
    return exporters.OnnxExporter().export(model, _sample(model), config)


@torch.no_grad()
def _sample(model: PreTrainedModel) -> dict[str, Any]:
    """What the model is traced with. No two lengths are the same, so that none is taken for another."""
    ids = torch.arange(10).reshape(2, 5) + 3
    if name_of_head(model) is not None:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    cache = DynamicCache(config=model.config)
    past = 7
    model(input_ids=torch.ones(2, past, dtype=torch.long), past_key_values=cache, use_cache=True)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones(2, past + 5, dtype=torch.long),
        "position_ids": torch.arange(past, past + 5).repeat(2, 1),
        "past_key_values": cache,
        "use_cache": True,
    }


def name_of_head(model: PreTrainedModel) -> str | None:
    """The class of a classifier; None for a language model."""
    name = type(model).__name__
    return name if name.endswith("ForSequenceClassification") else None
