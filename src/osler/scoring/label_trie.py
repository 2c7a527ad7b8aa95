"""The trie of a closed label set's token sequences: where labels part, a model decides; everywhere else it cannot err.

Softmax over a node's children at every node a label branches at gives each label a probability, and these sum to one
over the panel by construction. The training loss (:mod:`osler.training.trainer`) and the scorers
(:mod:`osler.scoring.labels`) read the same tensors of it, :class:`Layout`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from osler.errors import InputError

ROOT = -1  # the parent of a label's first token: the last token of the prompt
PIECE = 256  # trie nodes in one sequence: attention costs their square, so a large trie is run in pieces


@dataclass(frozen=True)
class Node:
    """One token of one or more labels. ``parent`` is an index into ``LabelTrie.nodes`` or ``ROOT``."""

    token: int
    parent: int
    depth: int


class LabelTrie:
    """The trie of ``sequences``: label → its token ids, each ending in EOS so that no label is a prefix of another.

    Nodes are in breadth-first order: a parent's index is smaller than its children's.
    Raises :class:`InputError` where two labels have the same tokens or one is a prefix of another.
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
                raise InputError(
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

    def branching(self) -> list[int]:
        """The nodes (``ROOT`` first) with more than one child, in order."""
        return [node for node in [ROOT, *range(len(self.nodes))] if len(self.children[node]) > 1]

    def inner(self) -> list[int]:
        """The nodes (without ``ROOT``) with a child, in order."""
        return [node for node in range(len(self.nodes)) if self.children[node]]

    def above(self, nodes: Sequence[int]) -> list[int]:
        """``nodes`` and all their ancestors, without ``ROOT``, in order."""
        reached: set[int] = set()
        for node in nodes:
            while node != ROOT and node not in reached:
                reached.add(node)
                node = self.nodes[node].parent
        return sorted(reached)

    def depth_first(self) -> list[int]:
        """All nodes, each followed by those below it."""
        order, rest = [], list(self.children[ROOT].values())[::-1]
        while rest:
            order.append(rest.pop())
            rest += list(self.children[order[-1]].values())[::-1]
        return order


class Layout:
    """A trie as tensors, made once: the nodes a model has to run, and the choices that make up each label.

    A choice is one child of a node, among its siblings. A model's state at the node (for the first token, at the
    prompt's last one) predicts them. ``normalised``, only the children of branching nodes are choices, and only the
    nodes on the way to a branching one are run: a path without branches decides nothing. No more than ``piece`` nodes
    (``PIECE``), and what is above them, are run at once.

    Attributes:
        labels: in the order of ``paths``.
        node_tokens, node_depths: (nodes,) of the nodes that are run, parents first.
        behind: how many tokens are read behind a prompt, at most.
        attends: (nodes, nodes), True where a node attends to another: itself and its ancestors.
        pieces: which nodes make up each sequence that is run, parents first; between them all nodes, and of each node
            its ancestors.
        branches: the same nodes as paths, each from the top to a node below which none is run.
        choice_tokens: (choices,) the token ids.
        choice_states: (choices,) the state that predicts each: 0 is the prompt's last token, ``i + 1`` node
            ``i``. Siblings are those with the same one.
        choice_depths: (choices,) how many tokens after the prompt's last one that state stands.
        paths: (labels, longest) which choices make up each label, padded with ``len(choice_tokens)``.
    """

    def __init__(self, trie: LabelTrie, normalised: bool, piece: int | None = None) -> None:
        self.normalised = normalised
        self.labels = trie.labels
        nodes = trie.above(trie.branching()) if normalised else trie.inner()
        column = {node: i for i, node in enumerate(nodes)}
        self.node_tokens = _integers(trie.nodes[node].token for node in nodes)
        self.node_depths = _integers(trie.nodes[node].depth for node in nodes)
        self.behind = 1 + max((trie.nodes[node].depth for node in nodes), default=-1)
        self.attends = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
        for node, i in column.items():
            self.attends[i, [column[ancestor] for ancestor in trie.above([node])]] = True
        self.pieces = self._pieces([column[node] for node in trie.depth_first() if node in column], piece or PIECE)
        last = set(column.values()) - {column.get(trie.nodes[node].parent) for node in nodes}
        self.branches = [self.attends[node].nonzero().flatten() for node in sorted(last)] or [_integers([])]
        parents = trie.branching() if normalised else [ROOT, *nodes]
        choices = [(child, parent) for parent in parents for child in trie.children[parent].values()]
        self.choice_tokens = _integers(trie.nodes[child].token for child, _ in choices)
        self.choice_states = _integers(0 if parent == ROOT else 1 + column[parent] for _, parent in choices)
        self.choice_depths = _integers(trie.nodes[child].depth for child, _ in choices)
        place = {child: i for i, (child, _) in enumerate(choices)}
        paths = [_integers(place[node] for node in path if node in place) for path in trie.paths.values()]
        self.paths = pad_sequence(paths, batch_first=True, padding_value=len(choices))

    def _pieces(self, depth_first: Sequence[int], size: int) -> list[torch.Tensor]:
        """Nodes near one another in pieces of ``size``, and what is above them as often as it is needed."""
        cut = [depth_first[start : start + size] for start in range(0, len(depth_first), size)] or [[]]
        return [self.attends[list(piece)].any(0).nonzero().flatten() for piece in cut]


def _integers(values: Iterable[int]) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.long)
