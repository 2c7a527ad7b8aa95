"""Every label of a closed set scored exactly, in one forward pass over prompt + label trie.

Each trie node attends to the prompt and to its own ancestors only (a 4-D mask; position ids by depth), so its hidden
state is what a separate forward pass over that label's prefix would give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel

from osler.trie import ROOT, LabelTrie


class TrieScorer:
    """Log-probabilities of every label of ``trie`` after a prompt.

    ``normalised`` (the scorer ``label_trie``): softmax over the children at each branching node; the labels'
    probabilities sum to one. Otherwise (``label_likelihood``): the joint log-likelihood of the whole label, EOS
    included, under the model's full vocabulary.
    """

    def __init__(self, model: PreTrainedModel, trie: LabelTrie, normalised: bool = True) -> None:
        self.model, self.trie, self.normalised = model, trie, normalised
        self.nodes = trie.kept(whole=not normalised)
        column = {node: i for i, node in enumerate(self.nodes)}
        n = len(self.nodes)
        self.tokens = torch.tensor([trie.nodes[i].token for i in self.nodes], dtype=torch.long)
        self.depths = torch.tensor([trie.nodes[i].depth for i in self.nodes], dtype=torch.long)
        self.sees = torch.zeros(n, n, dtype=torch.bool)  # node × the nodes it attends to: itself and its ancestors
        for node, i in column.items():
            while node != ROOT:
                self.sees[i, column[node]] = True
                node = trie.nodes[node].parent
        # The hidden state that predicts a node's children sits at column 0 (prompt end) for ROOT, else 1 + its column.
        self.sources = [node for node in ([ROOT, *self.nodes]) if len(trie.children[node]) > (1 if normalised else 0)]
        self.rows = torch.tensor([0 if node == ROOT else 1 + column[node] for node in self.sources])

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """(cases, labels) float32 log-probabilities, labels in the order of ``trie.labels``, for tokenised prompts."""
        hidden = self._hidden(prompts)
        head = self.model.get_output_embeddings()
        logp = torch.full((len(prompts), len(self.trie.nodes)), 0.0)
        for i, node in enumerate(self.sources):
            children = self.trie.children[node]
            weight = head.weight[list(children)]
            logits = torch.nn.functional.linear(hidden[:, i], weight).float()
            if self.normalised:
                total = logits.logsumexp(-1, keepdim=True)
            else:
                total = torch.nn.functional.linear(hidden[:, i], head.weight).float().logsumexp(-1, keepdim=True)
            logp[:, list(children.values())] = (logits - total).cpu()
        return torch.stack([logp[:, path].sum(-1) for path in self.trie.paths.values()], dim=-1)

    def _hidden(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """(cases, sources, hidden size): prompts are padded on the left so that the trie starts in one column."""
        device, n = self.model.device, len(self.nodes)
        width = max(len(p) for p in prompts)
        ids = torch.zeros(len(prompts), width + n, dtype=torch.long)
        positions = torch.zeros_like(ids)
        allowed = torch.zeros(len(prompts), width + n, width + n, dtype=torch.bool)
        causal = torch.ones(width, width, dtype=torch.bool).tril()
        for row, prompt in enumerate(prompts):
            start = width - len(prompt)
            ids[row, start:width] = torch.tensor(prompt)
            positions[row, start:width] = torch.arange(len(prompt))
            allowed[row, :width, start:width] = causal[:, start:]
            allowed[row, width:, start:width] = True
            positions[row, width:] = len(prompt) + self.depths
            allowed[row, :start, :start] |= torch.eye(start, dtype=torch.bool)  # a padded row must attend to something
        ids[:, width:] = self.tokens
        allowed[:, width:, width:] = self.sees
        dtype = self.model.dtype
        mask = torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
        states = _backbone(self.model)(
            input_ids=ids.to(device),
            attention_mask=mask[:, None].to(device),
            position_ids=positions.to(device),
            use_cache=False,
        ).last_hidden_state
        return states[:, (width - 1 + self.rows).to(device)]

    def batches(self, prompts: Sequence[Sequence[int]], size: int) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Score in batches of similar length: yields (indices into ``prompts``, their log-probabilities)."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            yield indices, self.score([prompts[i] for i in indices])


def _backbone(model: PreTrainedModel) -> torch.nn.Module:
    """The transformer under the LM head, with any adapter's layers in place."""
    return getattr(model, "get_base_model", lambda: model)().base_model
