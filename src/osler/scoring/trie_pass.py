"""One forward pass over a prompt and the whole trie of its answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from osler.tasks import ROOT, LabelTrie

VOCABULARY_ROWS = 1024  # positions whose whole vocabulary is looked at at once: 0.2 GB for 49,152 tokens in float32
PIECE = 256  # trie nodes in one sequence: attention costs their square, so a large trie is run in pieces
ATTENDED = 2**20  # pairs of tokens in one forward pass: eager attention holds one float a pair and head, 38 MB here


class Layout:
    """A trie as tensors: the nodes to run, and how to add up labels from what they predict.

    Attributes:
        tokens, depths: (nodes,) of the nodes that are run, parents first.
        sees: (nodes, nodes), True where a node attends to another: itself and its ancestors.
        pieces: which nodes make up each sequence that is run, parents first; between them all of them, and of each
            node its ancestors.
        decided: (tokens,) the tokens whose log-probability is asked for, by id.
        source: (tokens,) whose hidden state predicts each: 0 is the prompt's last token, ``i + 1`` the node ``i``.
        paths: (labels, longest) which of ``decided`` make up each label, padded with ``len(decided)``.
    """

    def __init__(self, trie: LabelTrie, normalised: bool) -> None:
        self.normalised = normalised
        nodes = trie.kept(whole=not normalised)
        column = {node: i for i, node in enumerate(nodes)}
        self.tokens = torch.tensor([trie.nodes[i].token for i in nodes], dtype=torch.long)
        self.depths = torch.tensor([trie.nodes[i].depth for i in nodes], dtype=torch.long)
        self.sees = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
        for node, i in column.items():
            while node != ROOT:
                self.sees[i, column[node]] = True
                node = trie.nodes[node].parent
        self.pieces = self._pieces([column[node] for node in trie.depth_first() if node in column])
        sources = [node for node in [ROOT, *nodes] if len(trie.children[node]) > (1 if normalised else 0)]
        decided = [(child, source) for source in sources for child in trie.children[source].values()]
        self.decided = torch.tensor([trie.nodes[child].token for child, _ in decided], dtype=torch.long)
        self.source = torch.tensor([0 if s == ROOT else 1 + column[s] for _, s in decided], dtype=torch.long)
        place = {child: i for i, (child, _) in enumerate(decided)}
        paths = [torch.tensor([place[n] for n in path if n in place], dtype=torch.long) for path in trie.paths.values()]
        self.paths = torch.nn.utils.rnn.pad_sequence(paths, batch_first=True, padding_value=len(decided))

    def _pieces(self, depth_first: Sequence[int]) -> list[torch.Tensor]:
        """Nodes near one another in pieces of ``PIECE``, and what is above them as often as it is needed."""
        cut = [depth_first[start : start + PIECE] for start in range(0, len(depth_first), PIECE)] or [[]]
        return [self.sees[list(piece)].any(0).nonzero().flatten() for piece in cut]


@torch.inference_mode()
def score(model: PreTrainedModel, prompts: Sequence[Sequence[int]], layouts: Sequence[Layout]) -> list[torch.Tensor]:
    """For each case, float32 log-probabilities of its labels, shape (labels,), on the CPU.

    ``layouts`` runs parallel to ``prompts``; several cases may share one.
    """
    states, weight = _states(model, prompts, layouts), model.get_output_embeddings().weight
    scores = []
    for hidden, layout in zip(states, layouts, strict=True):
        source = layout.source.to(hidden.device)
        logits = (hidden[source] * weight[layout.decided.to(weight.device)]).sum(-1).float()
        totals = _among_siblings(logits, source, len(hidden)) if layout.normalised else _over_vocabulary(hidden, weight)
        logp = torch.cat([logits - totals[source], logits.new_zeros(1)]).cpu()
        scores.append(logp[layout.paths].sum(-1))
    return scores


def _among_siblings(logits: torch.Tensor, source: torch.Tensor, n: int) -> torch.Tensor:
    """(n,) logsumexp of the logits that each of ``n`` hidden states predicts; -inf where it predicts none."""
    largest = logits.new_full((n,), -torch.inf).scatter_reduce(0, source, logits, "amax")
    return largest + logits.new_zeros(n).index_add(0, source, (logits - largest[source]).exp()).log()


def _over_vocabulary(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(sources,) logsumexp of the logits of all tokens."""
    return torch.cat([(rows @ weight.T).float().logsumexp(-1) for rows in hidden.split(VOCABULARY_ROWS)])


def _states(model: PreTrainedModel, prompts: Sequence[Sequence[int]], layouts: Sequence[Layout]) -> list[torch.Tensor]:
    """For each case (1 + nodes, hidden size): the state of the prompt's last token, then those of the trie's nodes."""
    sequences = [(case, piece) for case, layout in enumerate(layouts) for piece in layout.pieces]
    longest = max(len(p) for p in prompts) + max(len(piece) for _, piece in sequences)
    at_once = max(1, ATTENDED // longest**2)
    found: dict[int, torch.Tensor] = {}
    for start in range(0, len(sequences), at_once):
        some = sequences[start : start + at_once]
        states = _forward(
            model,
            [prompts[case] for case, _ in some],
            [layouts[case] for case, _ in some],
            [piece for _, piece in some],
        )
        for (case, piece), hidden in zip(some, states, strict=True):
            if case not in found:
                found[case] = hidden.new_empty(1 + len(layouts[case].tokens), hidden.shape[-1])
            found[case][0], found[case][1 + piece] = hidden[0], hidden[1:]
    return [found[case] for case in range(len(prompts))]


def _forward(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    layouts: Sequence[Layout],
    pieces: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """For each sequence (1 + nodes of the piece, hidden size), in one pass.

    Prompts are padded on the left so that all tries start in one column, tries on the right.
    """
    width, n = max(len(p) for p in prompts), max(len(piece) for piece in pieces)
    ids = torch.zeros(len(prompts), width + n, dtype=torch.long)
    positions = torch.zeros_like(ids)
    # Padding attends to itself: a row that attends to nothing would be NaN.
    allowed = torch.eye(width + n, dtype=torch.bool).repeat(len(prompts), 1, 1)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    for row, (prompt, layout, piece) in enumerate(zip(prompts, layouts, pieces, strict=True)):
        start, end = width - len(prompt), width + len(piece)
        ids[row, start:width] = torch.tensor(prompt)
        ids[row, width:end] = layout.tokens[piece]
        positions[row, start:width] = torch.arange(len(prompt))
        positions[row, width:end] = len(prompt) + layout.depths[piece]
        allowed[row, start:width, start:width] = causal[start:, start:]
        allowed[row, width:end, start:width] = True
        allowed[row, width:end, width:end] = layout.sees[piece][:, piece]
    mask = torch.zeros(allowed.shape, dtype=model.dtype).masked_fill(~allowed, torch.finfo(model.dtype).min)
    states = _backbone(model)(
        input_ids=ids.to(model.device),
        attention_mask=mask[:, None].to(model.device),
        position_ids=positions.to(model.device),
        use_cache=False,
    ).last_hidden_state
    return [hidden[width - 1 : width + len(piece)] for hidden, piece in zip(states, pieces, strict=True)]


def _backbone(model: PreTrainedModel) -> torch.nn.Module:
    """The transformer under the LM head, with any adapter's layers in place."""
    return getattr(model, "get_base_model", lambda: model)().base_model
