"""The label trie: decisions where labels part, nothing elsewhere."""

from __future__ import annotations

import pytest

from osler.errors import InputError
from osler.scoring.label_trie import LabelTrie, Layout

EOS = 0
# "1 2 3", "1 2 4", "1 5", "6 7"
SEQUENCES = {"a": [1, 2, 3, EOS], "b": [1, 2, 4, EOS], "c": [1, 5, EOS], "d": [6, 7, EOS]}


def test_shared_beginnings_are_stored_once_and_only_where_labels_part_is_something_decided() -> None:
    trie = LabelTrie(SEQUENCES)
    assert len(trie.nodes) == 11  # 14 tokens, less "1" twice and "2" once
    assert all(node.parent < i for i, node in enumerate(trie.nodes))
    layout = Layout(trie, normalised=True)
    assert layout.node_tokens.tolist() == [1, 2]
    assert layout.choice_tokens.tolist() == [1, 6, 2, 5, 3, 4]
    paths = [[layout.choice_tokens[i].item() for i in path if i < 6] for path in layout.paths]
    assert paths == [[1, 2, 3], [1, 2, 4], [1, 5], [6]]


def test_the_whole_likelihood_needs_all_nodes_but_the_last() -> None:
    layout = Layout(LabelTrie(SEQUENCES), normalised=False)
    assert set(layout.node_tokens.tolist()) == {1, 2, 3, 4, 5, 6, 7}
    assert len(layout.choice_tokens) == 11


def test_a_label_that_begins_another_is_refused() -> None:
    with pytest.raises(InputError, match="begins one"):
        LabelTrie({"short": [1], "long": [1, 2]})


def test_two_labels_with_the_same_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="has the tokens of another label"):
        LabelTrie({"a": [1, EOS], "b": [1, EOS]})
