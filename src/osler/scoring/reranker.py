"""The scorer of a reranker: one number for each candidate of a case, read after the case and the candidate's text.

Shared: one pass over a prompt and all candidates, each of which sees the prompt and itself alone, so it gets the number
that a pass of its own would give. Plain: that pass. :class:`Reranker` finds out whether they agree.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.errors import InputError
from osler.models import context_length, in_float32, outputs_of_head
from osler.scoring.answer import Answer
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.labels import ranking
from osler.scoring.passes import Piece, Way, shared_inputs
from osler.scoring.proof import BOUND, WAYS
from osler.tasks import Case, Prompt, candidate_tokens, encode_classified

END = -1  # what every candidate ends in, so that none begins another; never run
LABEL = "fits"  # the one output of the head


class Candidates:
    """The candidates of one case as token ids, and the tree of them that a model runs in one pass, or in pieces of
    ``piece`` nodes (None: :data:`osler.scoring.label_trie.PIECE`).

    Attributes:
        layout: of the tree; candidates with the same tokens are one.
        ends: (candidates,) the state that each ends at, counted as ``Layout.choice_states`` counts.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], piece: int | None = None) -> None:
        self.tokens = tokens
        distinct = {str(one): [*one, END] for one in {tuple(one): None for one in tokens}}
        trie = LabelTrie(distinct)
        self.layout = Layout(trie, normalised=False, piece=piece)
        column = {node: place for place, node in enumerate(trie.inner())}
        self.ends = torch.tensor([1 + column[trie.paths[str(tuple(one))][-2]] for one in tokens])


def candidate_scores(
    model: Any, prompts: Sequence[Sequence[int]], candidates: Sequence[Candidates], way: Way = "shared"
) -> list[torch.Tensor]:
    """For each case float32 scores of its candidates, (candidates,); gradients flow."""
    return [outputs[:, 0] for outputs in outputs_at_ends(model, prompts, candidates, way)]


def outputs_at_ends(
    model: Any, prompts: Sequence[Sequence[int]], candidates: Sequence[Candidates], way: Way
) -> list[torch.Tensor]:
    """For each case what the head gives at the end of its candidates, float32 (candidates, outputs); gradients flow."""
    if way == "plain":
        return [_plain(model, prompt, of.tokens) for prompt, of in zip(prompts, candidates, strict=True)]
    pieces = [
        Piece(case, prompt, of.layout, nodes)
        for case, (prompt, of) in enumerate(zip(prompts, candidates, strict=True))
        for nodes in of.layout.pieces
    ]
    inputs, starts = shared_inputs(model, pieces)
    outputs = outputs_of_head(model, **inputs)
    width = outputs.shape[-1]
    scores = [outputs.new_zeros(len(of.tokens), width, dtype=torch.float32) for of in candidates]
    for row, (piece, start) in enumerate(zip(pieces, starts, strict=True)):
        ends = candidates[piece.case].ends
        place = {int(state): n for n, state in enumerate(piece.states)}
        here = [n for n, end in enumerate(ends.tolist()) if end in place]
        columns = [start + place[int(ends[n])] for n in here]
        found = torch.zeros(len(ends), width, device=outputs.device).index_put(
            (torch.tensor(here, device=outputs.device, dtype=torch.long),), outputs[row, columns].float()
        )
        first = torch.zeros(len(ends), 1, dtype=torch.bool, device=outputs.device)
        first[here] = True
        scores[piece.case] = torch.where(first, found, scores[piece.case])
    return scores


def _plain(model: Any, prompt: Sequence[int], tokens: Sequence[Sequence[int]]) -> torch.Tensor:
    scores = []
    for one in tokens:
        ids = torch.tensor([[*prompt, *one]]).to(model.device)
        scores.append(outputs_of_head(model, input_ids=ids)[0, -1].float())
    return torch.stack(scores)


class RerankerScorer:
    """The scorer ``reranker``: a softmax over a case's candidates.

    Raises :class:`InputError` where ``model`` has another head, or scores candidates neither way.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, ways: Sequence[Way] = WAYS
    ) -> None:
        self._model, self._tokenizer, self._prompt = model, tokenizer, prompt
        if tuple((model.config.id2label or {}).values()) != (LABEL,):
            raise InputError("the model is a classifier, and no reranker: its head has other outputs")
        self._way, self._context = prove_reranker(model, ways), context_length(model)

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.answer.Scorer`."""
        return encode_classified(self._prompt, self._tokenizer, case.text)[0]

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.answer.Scorer`."""
        return max(len(candidate_tokens(self._tokenizer, text)) for text in (case.options or {"": ""}).values())

    @torch.inference_mode()
    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.answer.Scorer`."""
        answers = []
        for prompt, case in zip(prompts, cases, strict=True):
            options = case.options or {}
            candidates = Candidates([candidate_tokens(self._tokenizer, text) for text in options.values()])
            longest = len(prompt) + max(map(len, candidates.tokens))
            if self._context is not None and longest > self._context:
                raise InputError(
                    f"{case.case_id}: with a candidate its prompt has {longest:,} tokens, and the base reads"
                    f" {self._context:,}; shorten it, or take a base with a longer context"
                )
            (scores,) = candidate_scores(self._model, [prompt], [candidates], self._way)
            answers.append(ranking(list(options), scores.cpu().log_softmax(-1)))
        return answers


@torch.no_grad()
def prove_reranker(model: Any, ways: Sequence[Way] = WAYS) -> Way:
    """The first of ``ways`` that scores random candidates as a pass of their own does, tried in float32."""
    config = model.config.get_text_config()
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> list[int]:
        return (3 + torch.randint(config.vocab_size // 2 - 3, (n,), generator=generator)).tolist()

    prompts = [draw(7), draw(12)]
    shared = draw(2)
    candidates = [Candidates([[*shared, *draw(3)], [*shared, *draw(1)], draw(5)]) for _ in prompts]
    with in_float32(model):
        alone = candidate_scores(model, prompts, candidates, "plain")
        for way in ways:
            if way == "plain":
                return way
            found = candidate_scores(model, prompts, candidates, way)
            off = max(float((a - b).abs().max()) for a, b in zip(found, alone, strict=True))
            if off <= BOUND * max(1.0, max(float(a.abs().max()) for a in alone)):
                return way
    logging.getLogger(__name__).warning(
        "%s: its candidates do not share one pass (a score is off by %.2g); each is scored in its own",
        type(model).__name__,
        off,
    )
    return "plain"
