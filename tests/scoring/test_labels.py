"""One pass over the trie gives what a separate pass over every label would."""

from __future__ import annotations

import pytest
import torch
from plain_trie import decisions
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from osler.models.loading import load_base, load_tokenizer
from osler.recipe.sections import BaseSection
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.labels import ChoiceScorer, batches
from osler.scoring.passes import Way, score
from osler.scoring.proof import WAYS
from osler.tasks.case import Case
from osler.tasks.prompt import Prompt, completion

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
            chosen = [(logits[d, c].log_softmax(-1), right) for d, c, right in decisions(trie.sequences, label)]
            scores.append(sum(float(values[right]) for values, right in chosen))
        else:
            logp = logits.log_softmax(-1)
            scores.append(sum(float(logp[i, token]) for i, token in enumerate(tokens)))
    return scores


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_scores_equal_those_of_a_pass_for_each_label(
    model: PreTrainedModel, way: Way, normalised: bool, attention: str
) -> None:
    model.set_attn_implementation(attention)
    trie = LabelTrie(SEQUENCES)
    # Prompts of different lengths in one batch.
    scores = torch.stack(score(model, PROMPTS, [Layout(trie, normalised)] * 3, way))
    expected = torch.tensor([one_by_one(model, prompt, trie, normalised) for prompt in PROMPTS])
    assert (scores - expected).abs().max() < 1e-4


@pytest.mark.parametrize("normalised", [True, False])
def test_a_trie_run_in_pieces_gives_what_it_gives_as_a_whole(
    model: PreTrainedModel, normalised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [LabelTrie(SEQUENCES), LabelTrie({"only": [10, EOS]}), LabelTrie({"x": [10, EOS], "y": [11, 12, EOS]})]
    whole = score(model, PROMPTS, [Layout(trie, normalised) for trie in tries], "shared")
    monkeypatch.setattr("osler.scoring.label_trie.PIECE", 2)
    monkeypatch.setattr("osler.scoring.passes.ATTENDED", 200)  # a few sequences at once
    layouts = [Layout(trie, normalised) for trie in tries]
    assert normalised or len(layouts[0].pieces) > 1
    for expected, found in zip(whole, score(model, PROMPTS, layouts, "shared"), strict=True):
        assert (found - expected).abs().max() < 1e-5


def test_normalised_probabilities_sum_to_one(model: PreTrainedModel) -> None:
    scores = torch.stack(score(model, PROMPTS, [Layout(LabelTrie(SEQUENCES), True)] * 3, "shared"))
    assert torch.allclose(scores.exp().sum(-1), torch.ones(len(PROMPTS)), atol=1e-5)


def test_the_batch_a_case_is_scored_in_does_not_matter(model: PreTrainedModel) -> None:
    layout = Layout(LabelTrie(SEQUENCES), True)
    together = score(model, PROMPTS, [layout] * 3, "shared")
    for indices in batches(PROMPTS, size=2):
        for i, alone in zip(
            indices, score(model, [PROMPTS[i] for i in indices], [layout] * len(indices), "shared"), strict=True
        ):
            assert (together[i] - alone).abs().max() < 1e-5


def test_cases_of_one_batch_may_have_answers_of_their_own(model: PreTrainedModel) -> None:
    tries = [LabelTrie(SEQUENCES), LabelTrie({"x": [10, EOS], "y": [11, 12, EOS]}), LabelTrie({"only": [10, EOS]})]
    for normalised in (True, False):
        scores = score(model, PROMPTS, [Layout(trie, normalised) for trie in tries], "shared")
        for prompt, trie, found in zip(PROMPTS, tries, scores, strict=True):
            assert found.tolist() == pytest.approx(one_by_one(model, prompt, trie, normalised), abs=1e-4)


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_read_behind_a_prompt_is_counted_to_the_token(way: Way, normalised: bool) -> None:
    layout = Layout(LabelTrie(SEQUENCES), normalised)
    assert layout.behind == (2 if normalised else 3)
    # Its positions are learned, so that there is none behind the last.
    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_positions=16, n_embd=16, n_layer=1, n_head=2)).eval()
    fits = 16 - layout.behind
    (scores,) = score(model, [[5] * fits], [layout], way)
    assert scores.isfinite().all()
    with pytest.raises(IndexError):
        score(model, [[5] * (fits + 1)], [layout], way)


def test_an_option_is_scored_by_its_letter_or_by_its_text(model: PreTrainedModel, tiny_base: BaseSection) -> None:
    tokenizer = load_tokenizer(tiny_base)
    prompt = Prompt("{{ text }}\n{{ options }}", "")
    rows = [
        Case(case_id="1", text="Red toe?", label="A", options={"A": "gout", "B": "migraine"}),
        Case(case_id="2", text="Thirst?", label="C", options={"A": "x", "B": "y y", "C": "x"}),
    ]
    for letters in (True, False):
        scorer = ChoiceScorer(model, tokenizer, prompt, letters)
        for row, answer in zip(rows, scorer.answer([scorer.encode(row) for row in rows], rows), strict=True):
            texts = {o: o if letters else text for o, text in row.options.items()}
            trie = LabelTrie({text: completion(tokenizer, text) for text in texts.values()})
            by_text = dict(zip(trie.labels, one_by_one(model, scorer.encode(row), trie, letters), strict=True))
            expected = torch.tensor([by_text[text] for text in texts.values()]).softmax(-1)
            assert set(answer.ranked) == set(row.options)
            assert dict(zip(answer.ranked, answer.probabilities or (), strict=True)) == pytest.approx(
                dict(zip(texts, expected.tolist(), strict=True)), abs=1e-4
            )
