"""GGUF files: what cannot be written is refused by name; what is written answers in llama.cpp as in transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import save_tiny_base
from finished import edit_json
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from osler.errors import InputError
from osler.export import gguf_writer

WORDS = gguf_writer.LLAMA3_WORDS


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    save_tiny_base(folder)
    return folder


def of_family(folder: Path, model_type: str, **values: Any) -> Path:
    """The tiny model as one of another family, with random weights of the same shape and biases that are not 0."""
    old = AutoConfig.from_pretrained(folder)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=old.vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.08,
        bos_token_id=old.bos_token_id,
        eos_token_id=old.eos_token_id,
        **values,
    )
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config)
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    made.save_pretrained(folder)
    return folder


def test_an_architecture_that_cannot_be_written_is_named(model: Path) -> None:
    edit_json(model / "config.json", architectures=["Gemma3ForCausalLM"])
    with pytest.raises(InputError, match="--to gguf: Gemma3ForCausalLM cannot be written; LlamaForCausalLM, Qwen2"):
        gguf_writer.check_architecture(model)


def test_a_tokenizer_that_cannot_be_written_is_described(model: Path) -> None:
    path = model / "tokenizer.json"
    content = json.loads(path.read_text())
    content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    path.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"its tokenizer \(BPE: .*Metaspace.* is none that can be written \(gpt-2, smo"
    ):
        gguf_writer.check_architecture(model)


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([{"type": "Digits", "individual_digits": True}], "smollm"),
        ([{"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}], "llama-bpe"),
        (
            [
                {
                    "type": "Split",
                    "pattern": {"Regex": WORDS.replace("{1,3}", "")},
                    "behavior": "Isolated",
                    "invert": False,
                }
            ],
            "qwen2",
        ),
    ],
)
def test_how_text_is_split_is_told_by_llama_cpps_name(model: Path, steps: list[dict[str, Any]], name: str) -> None:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": name == "smollm"}
    edit_json(model / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [*steps, level]})
    assert gguf_writer._words(model) == name


@pytest.mark.parametrize(
    ("family", "values"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "head_dim": 32}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "rope_theta": 10000.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 32,
                }
            },
        ),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 16}),
    ],
)
@pytest.mark.parametrize("quantization", ["f16", "q8_0", "q4_k_m"])
def test_llama_cpp_gives_the_logits_of_transformers(
    model: Path, tmp_path: Path, family: str, values: dict[str, Any], quantization: str
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it has no wheels")
    from osler.export.runtimes import LlamaCpp

    of_family(model, family, **values)
    gguf_writer.write(model, tmp_path / "m.gguf", quantization)
    llama = LlamaCpp(tmp_path / "m.gguf", context=128)
    prompt, branches = list(range(20, 60)), [[61, 62, 63], [61, 70], [], [80]]
    whole = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).requires_grad_(False)
    expected = [whole(input_ids=torch.tensor([[*prompt, *branch]])).logits[0, len(prompt) - 1 :] for branch in branches]
    found = llama.logits(prompt, branches)
    assert [len(rows) for rows in found] == [4, 3, 1, 2]
    off = max(float((a.log_softmax(-1) - b.log_softmax(-1)).abs().max()) for a, b in zip(found, expected, strict=True))
    assert off < {"f16": 0.01, "q8_0": 0.1, "q4_k_m": 1.0}[quantization]
    assert llama.logits(prompt, branches[:1])[0].equal(llama.logits(prompt, branches[:1])[0])


def test_llama_cpp_reads_the_same_tokens_and_has_the_template(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it has no wheels")
    from osler.export.runtimes import LlamaCpp

    gguf_writer.write(model, tmp_path / "m.gguf", "f16")
    llama, tokenizer = LlamaCpp(tmp_path / "m.gguf", context=64), AutoTokenizer.from_pretrained(model)
    text = "<|im_start|>user\nA 72-year-old woman; 38,5 °C, TSH↑, Fuß, 熱.\n\n It's  worse<|im_end|>\n"
    assert llama.tokenize(text) == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert llama.chat_template == tokenizer.chat_template
