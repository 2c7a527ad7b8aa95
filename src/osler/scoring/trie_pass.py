"""One forward pass over a prompt and the whole trie of its answers, and the log-probabilities it gives them.

Each trie node attends to the prompt and to its own ancestors only (a 4-D mask; position ids by depth), so its hidden
state is what a separate forward pass over that answer's prefix would give.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from osler.scoring.label_trie import Layout

VOCABULARY_ROWS = 1024  # positions whose whole vocabulary is looked at at once: 0.2 GB for 49,152 tokens in float32
ATTENDED = 2**20  # pairs of tokens in one forward pass: eager attention holds one float a pair and head, 38 MB here


@torch.inference_mode()
def score(model: PreTrainedModel, prompts: Sequence[Sequence[int]], layouts: Sequence[Layout]) -> list[torch.Tensor]:
    """For each case, float32 log-probabilities of its labels, shape (labels,), on the CPU.

    ``layouts`` runs parallel to ``prompts``; several cases may share one.
    """
    weight = model.get_output_embeddings().weight
    scores = []
    for hidden, layout in zip(_hidden_states(model, prompts, layouts), layouts, strict=True):
        logp = _choice_log_probabilities(hidden, weight, layout).cpu()
        scores.append(torch.cat([logp, logp.new_zeros(1)])[layout.paths].sum(-1))  # the padding of a path adds nothing
    return scores


def _choice_log_probabilities(hidden: torch.Tensor, weight: torch.Tensor, layout: Layout) -> torch.Tensor:
    """(choices,) float32, among siblings or over the whole vocabulary.

    ``hidden`` is (1 + nodes, hidden size), as :func:`_hidden_states` gives it, ``weight`` the head's.
    """
    state = layout.choice_states.to(hidden.device)
    logits = (hidden[state] * weight[layout.choice_tokens.to(weight.device)]).sum(-1).float()
    totals = _among_siblings(logits, state, len(hidden)) if layout.normalised else _over_vocabulary(hidden, weight)
    return logits - totals[state]


def _among_siblings(logits: torch.Tensor, state: torch.Tensor, n: int) -> torch.Tensor:
    """(n,) logsumexp of the logits that each of ``n`` hidden states predicts; -inf where it predicts none."""
    largest = logits.new_full((n,), -torch.inf).scatter_reduce(0, state, logits, "amax")
    return largest + logits.new_zeros(n).index_add(0, state, (logits - largest[state]).exp()).log()


def _over_vocabulary(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(states,) logsumexp of the logits of all tokens."""
    return torch.cat([(rows @ weight.T).float().logsumexp(-1) for rows in hidden.split(VOCABULARY_ROWS)])


def _hidden_states(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], layouts: Sequence[Layout]
) -> list[torch.Tensor]:
    """For each case (1 + nodes, hidden size): the state of the prompt's last token, then those of the trie's nodes."""
    sequences = [(case, piece) for case, layout in enumerate(layouts) for piece in layout.pieces]
    longest = max(len(p) for p in prompts) + max(len(piece) for _, piece in sequences)
    at_once = max(1, ATTENDED // longest**2)
    states: dict[int, torch.Tensor] = {}
    for start in range(0, len(sequences), at_once):
        batch = sequences[start : start + at_once]
        run = _forward(
            model,
            [prompts[case] for case, _ in batch],
            [layouts[case] for case, _ in batch],
            [piece for _, piece in batch],
        )
        for (case, piece), hidden in zip(batch, run, strict=True):
            if case not in states:
                states[case] = hidden.new_empty(1 + len(layouts[case].node_tokens), hidden.shape[-1])
            states[case][0], states[case][1 + piece] = hidden[0], hidden[1:]
    return [states[case] for case in range(len(prompts))]


def _forward(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    layouts: Sequence[Layout],
    pieces: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """For each sequence (1 + nodes of the piece, hidden size), in one pass."""
    ids, positions, attends = _padded(prompts, layouts, pieces)
    mask = torch.zeros(attends.shape, dtype=model.dtype).masked_fill(~attends, torch.finfo(model.dtype).min)
    states = _backbone(model)(
        input_ids=ids.to(model.device),
        attention_mask=mask[:, None].to(model.device),
        position_ids=positions.to(model.device),
        use_cache=False,
    ).last_hidden_state
    width = max(len(prompt) for prompt in prompts)
    return [hidden[width - 1 : width + len(piece)] for hidden, piece in zip(states, pieces, strict=True)]


def _padded(
    prompts: Sequence[Sequence[int]], layouts: Sequence[Layout], pieces: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token and position ids, (sequences, length), and which token attends to which, (sequences, length, length).

    Prompts are padded on the left so that all tries start in one column, tries on the right.
    """
    width, n = max(len(prompt) for prompt in prompts), max(len(piece) for piece in pieces)
    ids = torch.zeros(len(prompts), width + n, dtype=torch.long)
    positions = torch.zeros_like(ids)
    # Padding attends to itself: a row that attends to nothing would be NaN.
    attends = torch.eye(width + n, dtype=torch.bool).repeat(len(prompts), 1, 1)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    for row, (prompt, layout, piece) in enumerate(zip(prompts, layouts, pieces, strict=True)):
        start, end = width - len(prompt), width + len(piece)
        ids[row, start:width] = torch.tensor(prompt)
        ids[row, width:end] = layout.node_tokens[piece]
        positions[row, start:width] = torch.arange(len(prompt))
        positions[row, width:end] = len(prompt) + layout.node_depths[piece]
        attends[row, start:width, start:width] = causal[start:, start:]
        attends[row, width:end, start:width] = True
        attends[row, width:end, width:end] = layout.attends[piece][:, piece]
    return ids, positions, attends


def _backbone(model: PreTrainedModel) -> torch.nn.Module:
    """The transformer under the LM head, with any adapter's layers in place."""
    return getattr(model, "get_base_model", lambda: model)().base_model
