"""The adapter merged into its base: the same answers from a folder that plain transformers loads."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from project import environment, make, script
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from osler.errors import InputError
from osler.evaluation import results
from osler.models import loading, merging
from osler.recipe.sections import BaseSection
from osler.storage.contracts import plain
from osler.storage.files import model_fingerprint

TEXT = "A 72-year-old woman presents with crushing chest pain."
RUN = Path("runs/tiny-made-up/1.0.0")
TUNED, MERGED = "tiny-made-up@1.0.0", "tiny-made-up@1.0.0-merged"


def adapter_of(base: BaseSection, folder: Path) -> Path:
    """An adapter on every linear layer, as if it had been trained on the base as the recipe quantises it."""
    tuned = get_peft_model(
        loading.load_base(base), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", lora_alpha=32)
    )
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)) * 0.05
    tuned.save_pretrained(folder)
    return folder


@torch.no_grad()
def logits(network: torch.nn.Module, base: BaseSection) -> torch.Tensor:
    return network(**loading.load_tokenizer(base)(TEXT, return_tensors="pt")).logits.float()


@pytest.fixture(scope="module")
def gpt2(tiny_base: BaseSection, tmp_path_factory: pytest.TempPathFactory) -> BaseSection:
    """GPT-2, whose linear layers hold their weights the other way round."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.model)
    tokenizer.save_pretrained(folder)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = {"vocab_size": len(tokenizer), "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
        GPT2LMHeadModel(GPT2Config(**size, **ids)).save_pretrained(folder)
    return replace(tiny_base, model=str(folder))


# float32: rounding of sums taken in another order. bfloat16: a merged weight is rounded to 8 bits once more.
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("bfloat16", 0.05)])
@pytest.mark.parametrize("quantization", [None, "nf4"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_merged_model_is_the_adapter_on_its_base(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    architecture: str,
    quantization: str | None,
    dtype: str,
    bound: float,
) -> None:
    plain = request.getfixturevalue("tiny_base" if architecture == "llama" else "gpt2")
    base = replace(plain, quantization=quantization, dtype=dtype)
    adapter = adapter_of(base, tmp_path / "adapter")
    merging.merge(base, adapter, tmp_path / "merged")
    expected = logits(loading.load_tuned(base, adapter), base)
    merged = merging.load_merged(base, tmp_path / "merged")
    scale = expected.abs().max()
    assert (logits(merged, base) - expected).abs().max() < bound * scale
    assert (logits(loading.load_base(base), base) - expected).abs().max() > 0.1 * scale, "the adapter does something"
    assert {parameter.dtype for parameter in merged.parameters()} == {getattr(torch, dtype)}
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert not {"peft_config", "quantization_config", "_name_or_path"} & config.keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "merged"]


def test_an_adapter_trained_on_nf4_does_not_belong_on_the_weights_before_rounding(
    tiny_base: BaseSection, tmp_path: Path
) -> None:
    base = replace(tiny_base, quantization="nf4")
    adapter = adapter_of(base, tmp_path / "adapter")
    expected = logits(loading.load_tuned(base, adapter), base)
    far = {}
    for name, quantization in (("rounded", "nf4"), ("unrounded", None)):
        of = replace(base, quantization=quantization)
        merging.merge(of, adapter, tmp_path / name)
        far[name] = (logits(merging.load_merged(of, tmp_path / name), base) - expected).abs().max()
    assert far["unrounded"] > 1000 * far["rounded"]


@pytest.mark.parametrize(
    ("setting", "lora"),
    [
        ("lora.lora_bias true", {"lora_bias": True, "target_modules": ["q_proj"]}),
        ("lora.layer_replication", {"layer_replication": [[0, 2], [0, 2]], "target_modules": ["q_proj"]}),
        ("lora.target_modules has model.embed_tokens", {"target_modules": ["q_proj", "embed_tokens"]}),
    ],
)
def test_an_adapter_that_merged_would_be_another_model_is_refused_and_serves_unmerged(
    tiny_base: BaseSection, tmp_path: Path, setting: str, lora: dict[str, object]
) -> None:
    network = loading.load_base(tiny_base)
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight
    adapter = tmp_path / "adapter"
    get_peft_model(network, LoraConfig(task_type="CAUSAL_LM", **lora)).save_pretrained(adapter)
    with pytest.raises(InputError, match=r"^[^\n]*cannot be merged[^\n]*without --merged$") as refused:
        merging.merge(tiny_base, adapter, tmp_path / "merged")
    assert setting in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]
    assert logits(loading.load_tuned(tiny_base, adapter), tiny_base).isfinite().all()


@pytest.mark.parametrize(
    "lora",
    [
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        {"trainable_token_indices": [5, 6, 7]},
    ],
)
def test_tied_embeddings_trained_otherwise_are_merged_as_they_were_trained(
    tiny_base: BaseSection, tmp_path: Path, lora: dict[str, object]
) -> None:
    network = get_peft_model(
        loading.load_base(tiny_base), LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], **lora)
    )
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)) * 0.05
    network.save_pretrained(tmp_path / "adapter")
    merging.merge(tiny_base, tmp_path / "adapter", tmp_path / "merged")
    expected = logits(loading.load_tuned(tiny_base, tmp_path / "adapter"), tiny_base)
    assert (logits(merging.load_merged(tiny_base, tmp_path / "merged"), tiny_base) - expected).abs().max() < 1e-4


@pytest.mark.slow
def test_plain_transformers_loads_it_without_osler_peft_or_bitsandbytes(tiny_base: BaseSection, tmp_path: Path) -> None:
    base = replace(tiny_base, quantization="nf4")
    adapter = adapter_of(base, tmp_path / "adapter")
    merging.merge(base, adapter, tmp_path / "merged")
    code = f"""
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("merged")
network = AutoModelForCausalLM.from_pretrained("merged")
chat = tokenizer.apply_chat_template([{{"role": "user", "content": "x"}}], tokenize=False)
logits = network(**tokenizer({TEXT!r}, return_tensors="pt")).logits
assert not {{"osler", "bitsandbytes"}} & sys.modules.keys()
print(json.dumps([chat, str(network.dtype), logits.argmax(-1)[0].tolist(), logits.max().item()]))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    chat, dtype, answers, largest = json.loads(done.stdout)
    expected = logits(loading.load_tuned(base, adapter), base)
    assert chat == "<|im_start|>user\nx<|im_end|>\n"
    assert dtype == "torch.float32"
    assert answers == expected.argmax(-1)[0].tolist()
    assert largest == pytest.approx(expected.max().item(), abs=1e-4)


def test_a_killed_merge_leaves_nothing_that_could_be_taken_for_a_model(tiny_base: BaseSection, tmp_path: Path) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter")
    code = f"""
import os, pathlib
from osler.models import merging
from osler.recipe import BaseSection
merging.write_json = lambda path, value: os.kill(os.getpid(), 9)  # the last file
merging.merge(BaseSection({tiny_base.model!r}), pathlib.Path("adapter"), pathlib.Path("merged"))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path), timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "merged").exists()
    (tmp_path / ".merged" / "model-00009-of-00009.safetensors").write_bytes(b"of the killed one")
    merging.merge(tiny_base, adapter, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "merged"]
    assert len(list((tmp_path / "merged").glob("*.safetensors"))) == 1


def test_a_full_disk_leaves_nothing_behind(
    tiny_base: BaseSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    adapter = adapter_of(tiny_base, tmp_path / "adapter")
    monkeypatch.setattr(merging, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        merging.merge(tiny_base, adapter, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_what_cannot_be_merged_is_refused_with_the_way_out(tiny_base: BaseSection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a recipe without lora: trains a whole model: use it as it is"):
        merging.merge(tiny_base, Path(tiny_base.model), tmp_path / "merged")
    adapter = adapter_of(tiny_base, tmp_path / "adapter")
    with pytest.raises(InputError, match="adapter: exists already; move it away"):
        merging.merge(tiny_base, adapter, adapter)


# ── scripts/evaluate.py RUN --merged ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A small QLoRA project whose run was evaluated with its merged model."""
    folder: Path = tmp_path_factory.mktemp("project")
    path = make(
        folder,
        tiny_base,
        base={"quantization": "nf4"},
        train={"max_steps": 30, "save_strategy": "no"},
        evaluation={"baselines": ["base_model", "majority"]},
    )
    for name, *arguments in (("train", path), ("evaluate", RUN, "--merged")):
        done = script(folder, name, *arguments)
        assert done.returncode == 0, done.stderr
    (folder / "table.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def merged(project: Path) -> Iterator[Path]:
    """The merged model, put back after a test that changes it."""
    folder = project / RUN / "merged"
    shutil.copytree(folder, project / "kept")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    (project / "kept").rename(folder)


def test_the_merged_model_is_one_more_system_that_nothing_is_compared_with(project: Path) -> None:
    found = json.loads((project / RUN / "results.json").read_text())
    (record,) = found["records"]
    assert list(record["systems"]) == [TUNED, MERGED, "base_model", "majority"]
    assert [row["b"] for row in record["comparisons"]] == ["base_model", "majority"]
    ours, theirs = (record["systems"][system]["metrics"]["accuracy"] for system in (TUNED, MERGED))
    assert ours == theirs
    assert found["weights_sha256"] == {
        TUNED: model_fingerprint(project / RUN / "adapter"),
        MERGED: model_fingerprint(project / RUN / "merged"),
    }


def test_it_answers_as_the_adapter_does_and_the_results_table_and_page_say_how_nearly(project: Path) -> None:
    (record,) = json.loads((project / RUN / "results.json").read_text())["records"]
    found = record["parity"]
    assert 0 < found["max_probability_difference"] < 1e-5, "other weights, the same answers"
    assert (found["system"], found["n"], found["same_first_label"], found["holds"]) == (MERGED, 24, 24, True)
    said = f"Merged: same first answer in 24 of 24, ranking in {found['same_ranking']}; probabilities within "
    assert said in (project / "table.txt").read_text()
    assert said in (project / RUN / "report.html").read_text()


def test_parity_can_be_computed_again_from_the_predictions_alone(project: Path, tmp_path: Path) -> None:
    files = sorted((project / RUN / "predictions").glob(f"*{TUNED}*.jsonl"))
    assert len(files) == 2
    assert MERGED in files[0].name, "in a shell's order the merged model comes first"
    again = results.score(files, tmp_path / "again.json", resamples=20)
    (first,) = json.loads((project / RUN / "results.json").read_text())["records"]
    assert plain(again.records[0])["parity"] == first["parity"]
    assert again.records[0].comparisons == ()
    assert again.weights_sha256 is None


def test_it_stays_among_the_systems_and_nothing_is_done_twice(project: Path) -> None:
    run = project / RUN
    made = [*(run / "predictions").iterdir(), *(run / "merged").iterdir()]
    before = {path: path.stat().st_mtime_ns for path in made}
    scored = (run / "results.json").read_bytes()
    assert script(project, "evaluate", RUN).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in made} == before
    assert (run / "results.json").read_bytes() == scored


def test_another_merged_model_does_not_inherit_what_the_first_one_answered(project: Path, merged: Path) -> None:
    file = project / RUN / "predictions" / f"made_up-test-{MERGED}.jsonl"
    answers = file.read_bytes()
    file.write_bytes(answers.replace(b'"text": null', b'"text": "of the first one"'))
    shutil.rmtree(merged)
    done = script(project, "evaluate", RUN, "--merged")
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == answers
    assert model_fingerprint(merged) == model_fingerprint(project / "kept"), "merging twice gives the same weights"


@pytest.mark.parametrize(("file", "key"), [("model.safetensors", "weights"), ("merged_from.json", "adapter")])
def test_a_merged_model_of_other_weights_is_refused_before_a_model_is_loaded(
    project: Path, merged: Path, file: str, key: str
) -> None:
    path = merged / file
    if key == "weights":
        with path.open("r+b") as weights:
            weights.seek(-1, 2)
            weights.write(b"\x7f")
    else:
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "adapter_sha256": "0" * 64}))
    refused = script(project, "evaluate", RUN)
    assert refused.returncode == 2
    assert f"merged_from.json: {key}_sha256 is " in refused.stderr
    assert f"move {RUN / 'merged'} away" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("other", [["--benchmark", "medqa"], ["--robustness"], ["--limit", "3"]])
def test_it_answers_the_splits_of_the_recipe_alone(project: Path, other: list[str]) -> None:
    refused = script(project, "evaluate", RUN, "--merged", *other)
    assert refused.returncode == 2
    assert "--merged is of the recipe's own splits" in refused.stderr
