"""A merged model as a GGUF file, the format of llama.cpp, Ollama and LM Studio.

The names of metadata and tensors are those of the ``gguf`` package. What is written here is what that package leaves to
a converter: which values of a configuration they hold, how Llama's queries and keys are permuted, and which of
llama.cpp's ways to split text into words a tokenizer has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from osler.errors import InputError, one_line
from osler.export import runtimes
from osler.storage import read_json, safetensors

# Architecture of transformers → gguf's. Others differ in norms, masks or heads that are not written here.
ARCHITECTURES = {
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
}
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
# llama.cpp's name of a pre-tokenizer → its steps, as tokenizer.json has them (:func:`_steps`).
WORDS: Mapping[str, Sequence[str]] = {
    "gpt-2": ("ByteLevel regex",),
    "smollm": ("Digits single", "ByteLevel regex"),
    "llama-bpe": (f"Split {LLAMA3_WORDS}", "ByteLevel"),
    "qwen2": (f"Split {LLAMA3_WORDS.replace('{1,3}', '')}", "ByteLevel"),
}


def check_architecture(folder: Path) -> gguf.MODEL_ARCH:
    """The architecture of the model in ``folder``, in gguf's words.

    Raises :class:`InputError` where it, its rotary embeddings or its tokenizer cannot be written.
    """
    config = AutoConfig.from_pretrained(folder)
    name = (config.architectures or ["unknown"])[0]
    if name not in ARCHITECTURES:
        raise InputError(
            f"--to gguf: {name} cannot be written; {', '.join(ARCHITECTURES)} can; take --to onnx or merged"
        )
    scaling = (config.rope_parameters or {}).get("rope_type", "default")
    if scaling not in ("default", "llama3"):
        raise InputError(f"--to gguf: rotary embeddings of type {scaling} cannot be written; take --to onnx or merged")
    if getattr(config, "use_sliding_window", False):
        raise InputError("--to gguf: a sliding window (use_sliding_window) cannot be written; take --to onnx or merged")
    _words(folder)
    return ARCHITECTURES[name]


def write(folder: Path, path: Path, quantization: str) -> None:
    """Write the model in ``folder`` as ``path``; quantization is ``f16``, ``q8_0`` or, by llama.cpp, ``q4_k_m``.

    Raises :class:`InputError` as :func:`check_architecture`, or where llama.cpp cannot quantise it.
    """
    if quantization != "q4_k_m":
        _write(folder, path, quantization)
        return
    import llama_cpp

    whole = path.with_suffix(".f16")
    _write(folder, whole, "f16")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    parameters.nthread = runtimes.threads()
    runtimes.silence_llama_cpp()
    if status := llama_cpp.llama_model_quantize(str(whole).encode(), str(path).encode(), parameters):
        raise InputError(f"--to gguf --quantization q4_k_m: llama.cpp cannot quantise {folder} (status {status})")
    whole.unlink()


def _write(folder: Path, path: Path, quantization: str) -> None:
    """Norms and biases are float32; what does not come in whole blocks of 32 stays f16."""
    architecture = check_architecture(folder)
    config = AutoConfig.from_pretrained(folder)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_name(path.stem)
    _add_shape(writer, config)
    _add_tokenizer(writer, folder, config)
    kind = gguf.GGMLQuantizationType[quantization.upper()]
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{quantization.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    tensors = list(_tensors(folder, config, architecture))
    for tensor_name, shape, _ in tensors:
        as_kind = _kind(shape, kind)
        blocks, size = gguf.GGML_QUANT_SIZES[as_kind]
        stored = (*shape[:-1], shape[-1] // blocks * size) if as_kind == gguf.GGMLQuantizationType.Q8_0 else shape
        dtype = {"F32": np.float32, "F16": np.float16}.get(as_kind.name, np.uint8)
        count = int(np.prod(stored)) * np.dtype(dtype).itemsize
        raw = as_kind if as_kind == gguf.GGMLQuantizationType.Q8_0 else None
        writer.add_tensor_info(tensor_name, stored, np.dtype(dtype), count, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, shape, read in tensors:  # one tensor in memory at a time
        writer.write_tensor_data(gguf.quants.quantize(read(), _kind(shape, kind)))
    writer.close()


def _kind(shape: Sequence[int], wanted: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    return wanted if shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else gguf.GGMLQuantizationType.F16


def _add_shape(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────

Read = Callable[[], npt.NDArray[np.float32]]  # the tensor as it is written, before quantization


def _tensors(
    folder: Path, config: PreTrainedConfig, architecture: gguf.MODEL_ARCH
) -> Iterator[tuple[str, tuple[int, ...], Read]]:
    """gguf's name of every tensor, its shape, and what reads it."""
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for file in safetensors(folder):
        with safe_open(file, framework="pt") as saved:
            for name in saved.keys():  # noqa: SIM118 (not a dict)
                if name == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                written = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if written is None:
                    raise InputError(f"--to gguf: {file.name} has {name}, which llama.cpp has no place for")
                part = name.split(".")[-2]
                permuted = heads.get(part) if architecture == gguf.MODEL_ARCH.LLAMA else None
                yield written, tuple(saved.get_slice(name).get_shape()), _reader(file, name, permuted)
    if (config.rope_parameters or {}).get("rope_type") == "llama3":
        factors = _rope_factors(config)
        yield "rope_freqs.weight", factors.shape, lambda: factors


def _reader(file: Path, name: str, heads: int | None) -> Read:
    def read() -> npt.NDArray[np.float32]:
        with safe_open(file, framework="pt") as saved:
            tensor = saved.get_tensor(name).float()
        if heads is not None:  # transformers turns halves of a head against each other, llama.cpp neighbours
            tensor = tensor.reshape(heads, 2, -1, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
        return tensor.contiguous().numpy()

    return read


def _rope_factors(config: PreTrainedConfig) -> npt.NDArray[np.float32]:
    """(half a head,) what Llama 3 divides its rotary frequencies by."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    plain = config.rope_parameters["rope_theta"] ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    return (plain / scaled).float().numpy()


# ── tokenizer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _words(folder: Path) -> str:
    """llama.cpp's name of how the tokenizer in ``folder`` splits text. Raises :class:`InputError` for none of them."""
    path = folder / "tokenizer.json"
    content = read_json(path) if path.is_file() else {}
    kind = (content.get("model") or {}).get("type")
    steps = tuple(_steps(content.get("pre_tokenizer")))
    if kind == "BPE" and not content["model"].get("byte_fallback") and content.get("normalizer") is None:
        for name, known in WORDS.items():
            if tuple(known) == steps:
                return name
    described = one_line(f"{kind or 'no tokenizer.json'}: {' + '.join(steps) or 'nothing'}")[:150]
    raise InputError(f"--to gguf: its tokenizer ({described}) is none that can be written ({', '.join(WORDS)})")


def _steps(section: Mapping[str, Any] | None) -> Iterator[str]:
    """What a pre-tokenizer does, one step a text."""
    if section is None:
        return
    kind = section["type"]
    if kind == "Sequence":
        for step in section["pretokenizers"]:
            yield from _steps(step)
    elif kind == "ByteLevel":
        yield f"ByteLevel{' spaced' if section['add_prefix_space'] else ''}{' regex' if section['use_regex'] else ''}"
    elif kind == "Digits":
        yield f"Digits {'single' if section['individual_digits'] else 'together'}"
    elif kind == "Split" and section["behavior"] == "Isolated" and not section["invert"]:
        yield f"Split {next(iter(section['pattern'].values()))}"
    else:
        yield json.dumps(section)


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: PreTrainedConfig) -> None:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, types = [], []
    for index in range(config.vocab_size):
        tokens.append(by_id.get(index, f"[PAD{index}]"))
        if index not in by_id:
            types.append(gguf.TokenType.UNUSED)
        elif index in added:
            types.append(gguf.TokenType.CONTROL if added[index].special else gguf.TokenType.USER_DEFINED)
        else:
            types.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_words(folder))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = read_json(folder / "tokenizer.json")["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for kind in ("bos", "eos", "pad", "unk"):
        if (token := getattr(tokenizer, f"{kind}_token_id")) is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    begins = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins)
    writer.add_chat_template(tokenizer.get_chat_template())
