"""The training loss over a closed label set: only where the trie of the labels branches is anything to be learnt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from osler.scoring import LabelTrie, Layout


class LabelTrieLoss(torch.nn.Module):
    """Minus the log-probability of a label, where a model only chooses among the trie's children at branching nodes.

    ``tries`` are those of the tasks that are learnt. A label is given by its index among the labels of all of them, the
    first trie's first: two tasks may share a label, and decide about it between others.
    """

    tokens: torch.Tensor  # (choices,)
    groups: torch.Tensor  # (choices,): siblings have the same
    depths: torch.Tensor  # (choices,)
    paths: torch.Tensor  # (labels, longest): the choices on the way to each label

    def __init__(self, tries: Sequence[LabelTrie]) -> None:
        super().__init__()
        # Choice 0 pads the paths: it has no sibling, so it is certain and adds nothing.
        padding = torch.zeros(1, dtype=torch.long)
        tokens, groups, depths, paths = [padding], [padding], [padding], []
        choices = states = 1
        for layout in (Layout(trie, normalised=True) for trie in tries):
            n = len(layout.choice_tokens)
            tokens.append(layout.choice_tokens)
            groups.append(layout.choice_states + states)
            depths.append(layout.choice_depths)
            paths += [path[path < n] + choices for path in layout.paths]
            choices, states = choices + n, states + 1 + len(layout.node_tokens)
        self.register_buffer("tokens", torch.cat(tokens), persistent=False)
        self.register_buffer("groups", torch.cat(groups), persistent=False)
        self.register_buffer("depths", torch.cat(depths), persistent=False)
        self.register_buffer("paths", pad_sequence(paths, batch_first=True), persistent=False)

    def positions(self, prompt_ends: torch.Tensor, label_indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows and columns of a batch that decide about its labels, both (batch × longest,).

        ``prompt_ends`` are the columns of the prompts' last tokens, (batch,).
        """
        columns = prompt_ends[:, None] + self.depths[self.paths[label_indices]]
        rows = torch.arange(len(columns), device=columns.device)[:, None].expand_as(columns)
        return rows.flatten(), columns.flatten()

    def forward(
        self, logits: torch.Tensor, label_indices: torch.Tensor, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss summed over the batch, in float32; how many decisions are right; how many there are.

        All decisions of a batch are taken at once: each among the choices of all tries, of which those that are no
        siblings are masked. Nothing waits for the device.

        Args:
            logits: the model's at :meth:`positions`, (batch × longest, vocabulary).
            label_indices: (batch,).
            weights: how often each row counts, (batch,); None: once.
        """
        paths = self.paths[label_indices].flatten()
        siblings = self.groups[paths][:, None] == self.groups  # (batch × longest, choices)
        choices = logits[:, self.tokens].float().masked_fill(~siblings, -torch.inf)
        if weights is None:
            loss = torch.nn.functional.cross_entropy(choices, paths, reduction="sum")
        else:
            decisions = torch.nn.functional.cross_entropy(choices, paths, reduction="none")
            loss = (decisions.view(len(label_indices), -1).sum(1) * weights).sum()
        decided = paths > 0
        return loss, ((choices.argmax(-1) == paths) & decided).sum(), decided.sum()
