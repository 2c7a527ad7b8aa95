"""One pass over the trie gives what a separate pass over every label would."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from osler.model import load_base
from osler.recipe import BaseSection
from osler.scoring import TrieScorer
from osler.trie import LabelTrie

EOS = 2
SEQUENCES = {"a": [10, 20, 30, EOS], "b": [10, 20, 40, EOS], "c": [10, 50, EOS], "d": [60, EOS]}
PROMPTS = [[5, 6, 7, 8, 9, 11], [12, 13], [5, 6, 7, 70]]


@pytest.fixture(scope="module")
def model(tiny_base: BaseSection) -> PreTrainedModel:
    return load_base(tiny_base)


@torch.inference_mode()
def one_by_one(model: PreTrainedModel, prompt: list[int], trie: LabelTrie, normalised: bool) -> list[float]:
    """The plain way: one forward pass for each label, its tokens' log-probabilities added up."""
    scores = []
    for label, tokens in trie.sequences.items():
        logits = model(torch.tensor([prompt + list(tokens)])).logits[0, len(prompt) - 1 :].float()
        if normalised:
            chosen = [(logits[d, c].log_softmax(-1), right) for d, c, right in trie.decisions(label)]
            scores.append(sum(float(values[right]) for values, right in chosen))
        else:
            logp = logits.log_softmax(-1)
            scores.append(sum(float(logp[i, token]) for i, token in enumerate(tokens)))
    return scores


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("normalised", [True, False])
def test_scores_equal_those_of_a_pass_for_each_label(model: PreTrainedModel, normalised: bool, attention: str) -> None:
    model.set_attn_implementation(attention)
    trie = LabelTrie(SEQUENCES)
    scores = TrieScorer(model, trie, normalised).score(PROMPTS)  # prompts of different lengths in one batch
    expected = torch.tensor([one_by_one(model, prompt, trie, normalised) for prompt in PROMPTS])
    assert (scores - expected).abs().max() < 1e-4


def test_normalised_probabilities_sum_to_one(model: PreTrainedModel) -> None:
    scores = TrieScorer(model, LabelTrie(SEQUENCES)).score(PROMPTS)
    assert torch.allclose(scores.exp().sum(-1), torch.ones(len(PROMPTS)), atol=1e-5)


def test_the_batch_a_case_is_scored_in_does_not_matter(model: PreTrainedModel) -> None:
    scorer = TrieScorer(model, LabelTrie(SEQUENCES))
    together = scorer.score(PROMPTS)
    for indices, scores in scorer.batches(PROMPTS, size=2):
        assert (together[indices] - scores).abs().max() < 1e-5
