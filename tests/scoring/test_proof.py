"""Whatever the architecture: a score is the model's own, or the model is refused."""

from __future__ import annotations

import logging

import pytest
import torch
from architectures import ARCHITECTURES, NOT_CAUSAL, NOT_REPEATABLE, tiny

from osler.errors import InputError
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.scoring.proof import prove

PROMPTS = [[11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21], [22, 23]]
LABELS = {"a": [5, 6, 7, 8, 2], "b": [5, 6, 9, 2], "c": [5, 10, 2], "d": [30, 31, 32, 33, 34, 2]}
# Only these are refused: each position of a prompt sees the rest of it, hashes are drawn anew, several tokens at once.
REFUSED = {*NOT_CAUSAL, *NOT_REPEATABLE, "prophetnet"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_have_the_probabilities_that_the_model_gives_them_one_by_one(architecture: str) -> None:
    model = tiny(architecture)
    if architecture in REFUSED:
        with pytest.raises(InputError, match="take another base"):
            prove(model)
        return
    found = score(model, PROMPTS, [Layout(LabelTrie(LABELS), normalised=False)] * len(PROMPTS), prove(model))
    for prompt, scores in zip(PROMPTS, found, strict=True):
        expected = []
        for tokens in LABELS.values():
            with torch.no_grad():
                logp = model(torch.tensor([prompt + tokens]), use_cache=False).logits[0].log_softmax(-1)
            expected.append(logp[range(len(prompt) - 1, len(prompt) + len(tokens) - 1), tokens].sum())
        assert (scores.softmax(-1) - torch.stack(expected).softmax(-1)).abs().max() <= 1e-6


@pytest.mark.parametrize("architecture", ["mamba2", "gpt_neo", "qwen3_next"])
def test_a_model_whose_labels_cannot_share_a_pass_says_that_it_takes_longer(
    architecture: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert prove(tiny(architecture)) == "plain"
    assert "its labels cannot share one forward pass" in caplog.text
    assert "takes longer" in caplog.text


def test_a_score_that_is_not_the_models_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    monkeypatch.setattr(
        "osler.scoring.passes.logits_at",
        lambda model, head, rows, columns, **inputs: torch.zeros(len(rows), model.config.vocab_size),
    )
    with pytest.raises(InputError, match="LlamaForCausalLM does not score labels as it does") as error:
        prove(model)
    assert "\n" not in str(error.value)
