"""Whatever the architecture: a score is the model's own, or the model is refused."""

from __future__ import annotations

import logging

import pytest
import torch
from architectures import ARCHITECTURES, NOT_CAUSAL, NOT_REPEATABLE, tiny
from own_numbers import score_difference
from transformers import LlamaConfig, LlamaForCausalLM

from osler.errors import InputError
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.scoring.proof import prove, reference

# Only these are refused: each position of a prompt sees the rest of it, hashes are drawn anew, several tokens at once.
REFUSED = {*NOT_CAUSAL, *NOT_REPEATABLE, "prophetnet"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_have_the_probabilities_that_the_model_gives_them_one_by_one(architecture: str) -> None:
    off = score_difference(architecture).off
    assert (off is None) == (architecture in REFUSED)
    assert off is None or off <= 1e-6


@pytest.mark.parametrize("architecture", ["mamba2", "gpt_neo", "qwen3_next"])
def test_a_model_whose_labels_cannot_share_a_pass_says_that_it_takes_longer(
    architecture: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert prove(tiny(architecture)) == "plain"
    assert "its labels do not share one forward pass" in caplog.text
    assert "takes longer" in caplog.text


@pytest.mark.parametrize("architecture", ["llama4", "gpt_neo", "mpt", "recurrent_gemma"])
def test_a_fault_smaller_than_rounding_in_half_precision_is_seen(architecture: str) -> None:
    model = tiny(architecture).bfloat16()
    assert prove(model) == "plain"
    assert model.dtype == torch.bfloat16


def test_a_long_prompt_does_not_change_the_scores_of_a_short_one_in_its_batch() -> None:
    factors = {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32, **factors}
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        rope_parameters=rope,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config).eval()
    layout = Layout(LabelTrie({"a": [5, 6, 2], "b": [5, 7, 2], "c": [8, 2]}), normalised=False)
    short, long = list(range(10, 30)), [*range(10, 90)]
    together = score(model, [short, long], [layout, layout], prove(model))
    for prompt, scores in zip((short, long), together, strict=True):
        for tokens, found in zip(([5, 6, 2], [5, 7, 2], [8, 2]), scores.tolist(), strict=True):
            assert found == pytest.approx(reference(model, prompt, tokens), abs=1e-4)


def test_without_room_for_float32_the_way_that_needs_no_proof_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("osler.scoring.proof.score", full)
    assert prove(tiny("llama")) == "plain"
    assert "there is no room to prove that they can" in caplog.text


def test_a_score_that_is_not_the_models_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    monkeypatch.setattr(
        "osler.scoring.passes.logits_at",
        lambda model, head, rows, columns, **inputs: torch.zeros(len(rows), model.config.vocab_size),
    )
    with pytest.raises(InputError, match="LlamaForCausalLM does not score labels as it does") as error:
        prove(model)
    assert "\n" not in str(error.value)
