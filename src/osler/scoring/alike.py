"""Prompts that are alike, such as one with parts of its text left out: what they share is read once."""

from __future__ import annotations

from collections.abc import Sequence

ALIKE = 4096  # tokens of prompts that are alike in one pass


def common_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all ``prompts`` begin with; each has one more at least."""
    most = min(map(len, prompts)) - 1
    return next((n for n in range(most) if len({prompt[n] for prompt in prompts}) > 1), most)


def tree_size(prompts: Sequence[Sequence[int]]) -> int:
    """How many nodes the tree of ``prompts`` has."""
    nodes: dict[tuple[int, int], int] = {}
    for prompt in prompts:
        node = -1
        for token in prompt:
            node = nodes.setdefault((node, token), len(nodes))
    return len(nodes)
