"""The trie of a closed label set's token sequences: where labels part, a model decides; everywhere else it cannot err.

Softmax over a node's children at every node a label branches at gives each label a probability, and these sum to one
over the panel by construction. The same decisions make the training loss (:mod:`osler.training.training`) and the score
(:mod:`osler.scoring.labels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

ROOT = -1  # the parent of a label's first token: the last token of the prompt


@dataclass(frozen=True)
class Node:
    """One token of one or more labels. ``parent`` is an index into ``LabelTrie.nodes`` or ``ROOT``."""

    token: int
    parent: int
    depth: int


class LabelTrie:
    """The trie of ``sequences``: label → its token ids, each ending in EOS so that no label is a prefix of another.

    Nodes are in breadth-first order: a parent's index is smaller than its children's.
    Raises ValueError where two labels have the same tokens or one is a prefix of another.
    """

    def __init__(self, sequences: Mapping[str, Sequence[int]]) -> None:
        self.sequences = {label: tuple(tokens) for label, tokens in sequences.items()}
        self.labels = list(self.sequences)
        self.nodes: list[Node] = []
        self.children: dict[int, dict[int, int]] = {ROOT: {}}  # node → token → child node
        self.paths: dict[str, list[int]] = {label: [] for label in self.labels}
        for depth in range(max(len(tokens) for tokens in self.sequences.values())):
            for label, tokens in self.sequences.items():
                if depth < len(tokens):
                    self._grow(label, tokens[depth], depth)
        ends = [path[-1] for path in self.paths.values()]
        for label, end in zip(self.labels, ends, strict=True):
            if ends.count(end) > 1 or self.children[end]:
                raise ValueError(
                    f"label {label!r} has the tokens of another label, or begins one: {self.sequences[label]}"
                )

    def _grow(self, label: str, token: int, depth: int) -> None:
        path = self.paths[label]
        parent = path[-1] if path else ROOT
        if token not in self.children[parent]:
            self.children[parent][token] = len(self.nodes)
            self.children[len(self.nodes)] = {}
            self.nodes.append(Node(token, parent, depth))
        path.append(self.children[parent][token])

    def decisions(self, label: str) -> list[tuple[int, list[int], int]]:
        """Where the label's path branches: (depth of the token decided, the children's tokens, index of the right one).

        The logits that decide depth ``d`` are those at the label's token ``d - 1`` (the prompt's last one for 0).
        """
        found = []
        for depth, (node, token) in enumerate(zip([ROOT, *self.paths[label]], self.sequences[label], strict=False)):
            tokens = list(self.children[node])
            if len(tokens) > 1:
                found.append((depth, tokens, tokens.index(token)))
        return found

    @cached_property
    def branching(self) -> list[int]:
        """The nodes (``ROOT`` first) with more than one child, in order."""
        return [node for node in [ROOT, *range(len(self.nodes))] if len(self.children[node]) > 1]

    def depth_first(self) -> list[int]:
        """All nodes, each followed by those below it."""
        order, rest = [], list(self.children[ROOT].values())[::-1]
        while rest:
            order.append(rest.pop())
            rest += list(self.children[order[-1]].values())[::-1]
        return order

    def kept(self, whole: bool) -> list[int]:
        """The nodes whose hidden state a score needs: all but the leaves if ``whole``, else only those on the way to
        a branching node, since a path without branches decides nothing."""
        if whole:
            return [node for node in range(len(self.nodes)) if self.children[node]]
        needed: set[int] = set()
        for node in self.branching:
            while node != ROOT and node not in needed:
                needed.add(node)
                node = self.nodes[node].parent
        return sorted(needed)
