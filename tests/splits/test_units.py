"""Cases that cite several publications are of one unit with all that any of them links."""

from __future__ import annotations

import random

import pytest

from osler.splits.units import unit_names


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([["a"], ["b"]], ["a", "b"]),
        ([["a", "b"], ["b"]], ["a", "a"]),
        ([["a"], ["c"], ["b"], ["c", "b"], ["b", "a"]], ["a"] * 5),
        ([["PMID:1000", "PMID:999"]], ["PMID:999"]),  # the shortest, which is the oldest
        ([], []),
    ],
)
def test_a_chain_of_shared_groups_is_one_unit(groups: list[list[str]], names: list[str]) -> None:
    assert unit_names(groups) == names


def test_units_are_the_connected_components_in_any_order() -> None:
    draw = random.Random(0)
    for _ in range(200):
        groups = [draw.sample([f"PMID:{n}" for n in range(14)], draw.randint(1, 3)) for _ in range(draw.randint(1, 12))]
        merged = [set(own) for own in groups]
        for _ in groups:  # grow every case's set by those it touches, until nothing more can be reached
            merged = [set().union(*(other for other in merged if other & own)) for own in merged]
        expected = [min(unit, key=lambda name: (len(name), name)) for unit in merged]
        assert unit_names(groups) == expected
        order = draw.sample(range(len(groups)), len(groups))
        assert unit_names([groups[n] for n in order]) == [expected[n] for n in order]
