"""Forward passes over prompts and the tries of their answers, and the log-probabilities that a model gives these.

Shared: one pass over a prompt and the whole trie. Each trie node attends to the prompt and to its own ancestors only (a
4-D mask; position ids by depth), so it gets the logits that a separate pass over that answer's prefix would give.
Plain: that separate pass for every branch of the trie, without masks or padding, for models whose branches cannot
share one (:mod:`osler.scoring.proof` finds out). Either way the logits are the model's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from osler.models import Images, logits_at
from osler.scoring.label_trie import Layout
from osler.tasks import CaseImage

Way = Literal["shared", "plain"]

ATTENDED = 2**20  # pairs of tokens in one forward pass: eager attention holds one float a pair and head, 38 MB here
LOGITS = 2**26  # logits computed in one forward pass: 0.3 GB in float32
VOCABULARY_ROWS = 1024  # positions whose whole vocabulary is summed up at once: 0.2 GB for 49,152 tokens in float32


@dataclass(frozen=True)
class Seen:
    """The image of each prompt, and how the model reads images."""

    images: Images
    of: Sequence[CaseImage]


@dataclass(frozen=True)
class Piece:
    """What a model reads as one sequence: a case's prompt, then some nodes of its trie, parents first.

    Its states are counted as ``Layout.choice_states`` counts them: 0 is the prompt's last token.
    """

    case: int
    prompt: Sequence[int]
    layout: Layout
    nodes: torch.Tensor  # (nodes,)

    def __len__(self) -> int:
        return len(self.prompt) + len(self.nodes)

    @cached_property
    def deciding(self) -> torch.Tensor:
        """Where in 0 (the prompt's last token), 1 (the first of ``nodes``), … a choice is predicted."""
        return torch.isin(self.states, self.layout.choice_states).nonzero().flatten()

    @property
    def states(self) -> torch.Tensor:
        """(1 + nodes,) the states, in order."""
        return torch.cat([torch.zeros(1, dtype=torch.long), 1 + self.nodes])


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    layouts: Sequence[Layout],
    way: Way,
    seen: Seen | None = None,
) -> list[torch.Tensor]:
    """For each case, float32 log-probabilities of its labels, shape (labels,), on the CPU.

    ``layouts`` runs parallel to ``prompts``; several cases may share one. So does what is ``seen``, where there is
    something to see.
    """
    pieces = [
        Piece(case, prompt, layout, nodes)
        for case, (prompt, layout) in enumerate(zip(prompts, layouts, strict=True))
        for nodes in (layout.pieces if way == "shared" else layout.branches)
    ]
    choices = [torch.zeros(len(layout.choice_tokens)) for layout in layouts]
    config = model.config.get_text_config()
    alone = bool({"longrope", "dynamic"} & set(_rope_types(getattr(config, "rope_parameters", None))))
    for batch in _batches(pieces, way, config.vocab_size, alone):
        inputs_of = shared_inputs if way == "shared" else _plain_inputs
        inputs, starts = inputs_of(model, batch, seen)
        counts = [len(piece.deciding) for piece in batch]
        rows = torch.arange(len(batch)).repeat_interleave(torch.tensor(counts))
        columns = torch.cat([start + piece.deciding for start, piece in zip(starts, batch, strict=True)])
        logits = logits_at(model, model.get_output_embeddings(), rows, columns, **inputs, use_cache=False)
        for piece, rows_of_piece in zip(batch, logits.split(counts), strict=True):
            chosen, logp = choice_log_probabilities(rows_of_piece, piece.states[piece.deciding], piece.layout)
            choices[piece.case][chosen] = logp
    scores = []
    for logp, layout in zip(choices, layouts, strict=True):
        scores.append(torch.cat([logp, logp.new_zeros(1)])[layout.paths].sum(-1))  # the padding of a path adds nothing
    return scores


def _batches(pieces: Sequence[Piece], way: Way, vocabulary: int, alone: bool) -> Iterator[Sequence[Piece]]:
    """As many pieces as fit in memory; the plain way only those of one length, which need no padding.

    Only those of one case where the longest of a batch changes the positions of all (scaled rotary embeddings).
    """
    groups: defaultdict[tuple[int, int], list[Piece]] = defaultdict(list)
    for piece in pieces:
        groups[piece.case if alone else 0, len(piece) if way == "plain" else 0].append(piece)
    for group in groups.values():
        longest = max(len(piece.prompt) for piece in group) + max(len(piece.nodes) for piece in group)
        logits = vocabulary * max(len(piece.deciding) for piece in group)
        at_once = max(1, min(ATTENDED // longest**2, LOGITS // max(1, logits)))
        yield from (group[start : start + at_once] for start in range(0, len(group), at_once))


def _rope_types(parameters: Any) -> Iterator[str]:
    """How rotary embeddings are scaled, by kind of layer where these differ."""
    if isinstance(parameters, Mapping):
        for name, value in parameters.items():
            if name == "rope_type":
                yield value
            yield from _rope_types(value)


def choice_log_probabilities(
    logits: torch.Tensor, states: torch.Tensor, layout: Layout
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which choices ``states``, (states,), predict, and float32 log-probabilities of these, both (chosen,), on the CPU.

    ``logits`` is (states, vocabulary). A choice is taken among its siblings or from the whole vocabulary.
    """
    row_of_state = torch.full((1 + len(layout.node_tokens),), -1)
    row_of_state[states] = torch.arange(len(states))
    chosen = (row_of_state[layout.choice_states] >= 0).nonzero().flatten()
    rows = row_of_state[layout.choice_states[chosen]].to(logits.device)
    own = logits[rows, layout.choice_tokens[chosen].to(logits.device)].float()
    totals = _among_siblings(own, rows, len(states)) if layout.normalised else _over_vocabulary(logits)
    return chosen, (own - totals[rows]).cpu()


def _among_siblings(logits: torch.Tensor, rows: torch.Tensor, n: int) -> torch.Tensor:
    """(n,) logsumexp of the logits of each of ``n`` rows; -inf of a row without any."""
    largest = logits.new_full((n,), -torch.inf).scatter_reduce(0, rows, logits, "amax")
    return largest + logits.new_zeros(n).index_add(0, rows, (logits - largest[rows]).exp()).log()


def _over_vocabulary(logits: torch.Tensor) -> torch.Tensor:
    """(rows,) logsumexp of the logits of all tokens."""
    return torch.cat([rows.float().logsumexp(-1) for rows in logits.split(VOCABULARY_ROWS)])


# ── what the model is given, and in which column each prompt ends ────────────────────────────────────────────────────


def _plain_inputs(
    model: PreTrainedModel, pieces: Sequence[Piece], seen: Seen | None
) -> tuple[dict[str, Any], list[int]]:
    ids = torch.tensor([[*piece.prompt, *piece.layout.node_tokens[piece.nodes].tolist()] for piece in pieces])
    inputs = {"input_ids": ids, **_shown(pieces, seen, ids)}
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}, [len(p.prompt) - 1 for p in pieces]


def shared_inputs(
    model: PreTrainedModel, pieces: Sequence[Piece], seen: Seen | None = None
) -> tuple[dict[str, Any], list[int]]:
    """What ``model`` is called with for ``pieces``, and in which column the prompt of each ends."""
    ids, positions, attends = _padded(pieces, seen)
    tensors = {"input_ids": ids, "position_ids": positions, **_shown(pieces, seen, None)}
    inputs = {
        **{name: tensor.to(model.device) for name, tensor in tensors.items()},
        "attention_mask": _attention_mask(model, attends, positions),
    }
    return inputs, [max(len(piece.prompt) for piece in pieces) - 1] * len(pieces)


def _shown(pieces: Sequence[Piece], seen: Seen | None, ids: torch.Tensor | None) -> dict[str, torch.Tensor]:
    return seen.images.inputs([seen.of[piece.case] for piece in pieces], ids) if seen else {}


def _padded(pieces: Sequence[Piece], seen: Seen | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token and position ids, (pieces, length), and which token attends to which, (pieces, length, length).

    Prompts are padded on the left so that all tries start in one column, tries on the right.
    """
    width, n = max(len(piece.prompt) for piece in pieces), max(len(piece.nodes) for piece in pieces)
    ids = torch.zeros(len(pieces), width + n, dtype=torch.long)
    positions = torch.zeros_like(ids)
    # Padding attends to itself: a row that attends to nothing would be NaN.
    attends = torch.eye(width + n, dtype=torch.bool).repeat(len(pieces), 1, 1)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    for row, piece in enumerate(pieces):
        prompt, layout, nodes = piece.prompt, piece.layout, piece.nodes
        start, end = width - len(prompt), width + len(nodes)
        ids[row, start:width] = torch.tensor(prompt)
        ids[row, width:end] = layout.node_tokens[nodes]
        positions[row, start:width] = torch.arange(len(prompt))
        positions[row, width:end] = len(prompt) + layout.node_depths[nodes]
        attends[row, start:width, start:width] = causal[start:, start:]
        if seen is not None:
            attends[row, start:width, start:width] |= seen.images.attending(ids[row, start:width])
        attends[row, width:end, start:width] = True
        attends[row, width:end, width:end] = layout.attends[nodes][:, nodes]
    return ids, positions, attends


def _attention_mask(
    model: PreTrainedModel, attends: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor | dict[str, torch.Tensor]:
    """What attends to what, (pieces, 1, length, length) as numbers to add, by kind of layer where layers differ.

    transformers takes a 4-D mask as it is, so a layer's window has to be in it, too. Distances are those of positions:
    the columns of a trie's nodes say nothing about how far they are from the prompt.
    """
    config = model.config.get_text_config()
    window, chunk = getattr(config, "sliding_window", None), getattr(config, "attention_chunk_size", None)
    queries, keys = positions[:, :, None], positions[:, None, :]
    allowed = {"full_attention": attends}
    if window is not None:
        allowed["sliding_attention"] = attends & (queries - keys < window)
    if chunk is not None:
        allowed["chunked_attention"] = attends & (queries // chunk == keys // chunk)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention" if window is None else "sliding_attention"])
    zeros = torch.zeros(attends.shape, dtype=model.dtype)
    masks = {
        kind: zeros.masked_fill(~pairs, torch.finfo(model.dtype).min)[:, None].to(model.device)
        for kind, pairs in allowed.items()
    }
    return masks if len(kinds) > 1 else masks.get(kinds.pop(), masks["full_attention"])
