"""Candidates that share one pass get the scores, and the gradients, of a pass of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from osler.errors import InputError
from osler.models.loading import load_classifier, load_tokenizer
from osler.recipe.sections import BaseSection
from osler.scoring.reranker import LABEL, Candidates, RerankerScorer, candidate_scores, prove_reranker
from osler.tasks import Case, Prompt

PROMPTS = [[5, 6, 7, 8], [9, 10, 11, 12, 13, 14]]
CANDIDATES = [[[20, 21, 22], [20, 21], [23, 24, 25, 26]], [[30], [31, 32]]]


@pytest.fixture(scope="module")
def model(tiny_base: BaseSection) -> Any:
    torch.manual_seed(0)
    loaded = load_classifier(tiny_base, [LABEL])
    with torch.no_grad():
        loaded.score.weight.normal_()
    return loaded


def test_shared_scores_are_those_of_each_candidate_alone(model: Any) -> None:
    candidates = [Candidates(tokens) for tokens in CANDIDATES]
    shared, plain = (candidate_scores(model, PROMPTS, candidates, way) for way in ("shared", "plain"))
    for case, alone, tokens in zip(shared, plain, CANDIDATES, strict=True):
        assert case.shape == (len(tokens),)
        assert torch.allclose(case, alone, atol=1e-5)
        assert len({round(score, 4) for score in case.tolist()}) == len(tokens), "they differ"


def test_so_are_the_gradients(model: Any) -> None:
    candidates = [Candidates(tokens) for tokens in CANDIDATES]
    gradients = []
    for way in ("shared", "plain"):
        model.zero_grad()
        torch.stack(
            [of.log_softmax(-1)[0] for of in candidate_scores(model, PROMPTS, candidates, way)]
        ).sum().backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    assert gradients[0].abs().max() > 0
    assert gradients[0] == pytest.approx(gradients[1], abs=1e-5)


def test_many_candidates_are_cut_into_pieces_and_lose_nothing(model: Any) -> None:
    tokens = [[20 + n % 40, 60 + n // 40, *range(5, 5 + n % 9)] for n in range(90)]
    candidates = Candidates(tokens)
    assert len(candidates.layout.pieces) > 1
    shared, plain = (candidate_scores(model, PROMPTS[:1], [candidates], way)[0] for way in ("shared", "plain"))
    assert torch.allclose(shared, plain, atol=1e-5)


def test_two_candidates_that_read_the_same_get_the_same_score(model: Any) -> None:
    (scores,) = candidate_scores(model, PROMPTS[:1], [Candidates([[20, 21], [22], [20, 21]])])
    assert scores[0] == scores[2]


def test_the_faster_way_is_proved(model: Any) -> None:
    assert prove_reranker(model) == "shared"


def test_a_case_that_has_no_room_for_a_candidate_is_refused(
    model: Any, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osler.scoring.reranker.context_length", lambda model: 12)
    scorer = RerankerScorer(model, load_tokenizer(tiny_base), Prompt("{{ text }}", ""))
    case = Case("ada", "", "a", options={"a": "one two three", "b": "two " * 20})
    with pytest.raises(InputError, match=r"^ada: with a candidate its prompt has \d+ tokens, and the base reads 12"):
        scorer.answer([[5, 6, 7]], [case])


def test_an_encoder_has_no_head_that_reads_every_position(tiny_encoder: BaseSection) -> None:
    encoder = load_classifier(tiny_encoder, [LABEL])
    with pytest.raises(InputError, match="take a decoder"):
        candidate_scores(encoder, PROMPTS[:1], [Candidates([[20], [21]])])
