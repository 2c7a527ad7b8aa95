"""The label trie: decisions where labels part, nothing elsewhere."""

from __future__ import annotations

import pytest

from osler.tasks.label_trie import ROOT, LabelTrie

EOS = 0
# "1 2 3", "1 2 4", "1 5", "6 7"
SEQUENCES = {"a": [1, 2, 3, EOS], "b": [1, 2, 4, EOS], "c": [1, 5, EOS], "d": [6, 7, EOS]}


def test_a_label_is_decided_only_where_others_share_its_beginning() -> None:
    trie = LabelTrie(SEQUENCES)
    assert trie.decisions("a") == [(0, [1, 6], 0), (1, [2, 5], 0), (2, [3, 4], 0)]
    assert trie.decisions("c") == [(0, [1, 6], 0), (1, [2, 5], 1)]
    assert trie.decisions("d") == [(0, [1, 6], 1)]


def test_shared_beginnings_are_stored_once() -> None:
    trie = LabelTrie(SEQUENCES)
    assert len(trie.nodes) == 11  # 14 tokens, less "1" twice and "2" once
    assert all(node.parent < i for i, node in enumerate(trie.nodes))


def test_only_nodes_on_the_way_to_a_branch_are_needed_for_the_normalised_score() -> None:
    trie = LabelTrie(SEQUENCES)
    assert [trie.nodes[i].token for i in trie.kept(whole=False)] == [1, 2]
    assert {trie.nodes[i].token for i in trie.kept(whole=True)} == {1, 2, 3, 4, 5, 6, 7}
    assert trie.branching[0] == ROOT


def test_a_label_that_begins_another_is_refused() -> None:
    with pytest.raises(ValueError, match="begins one"):
        LabelTrie({"short": [1], "long": [1, 2]})


def test_two_labels_with_the_same_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="has the tokens of another label"):
        LabelTrie({"a": [1, EOS], "b": [1, EOS]})
