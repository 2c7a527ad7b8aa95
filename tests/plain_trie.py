"""Where a label of a closed set has to be decided, from the token sequences alone: what tries are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def decisions(sequences: Mapping[str, Sequence[int]], label: str) -> list[tuple[int, list[int], int]]:
    """(depth of the token decided, the next tokens of all labels that begin as this one does, index of its own)."""
    own, decided = list(sequences[label]), []
    for depth, token in enumerate(own):
        same = [list(tokens) for tokens in sequences.values() if list(tokens[:depth]) == own[:depth]]
        children = list(dict.fromkeys(tokens[depth] for tokens in same))
        if len(children) > 1:
            decided.append((depth, children, children.index(token)))
    return decided
