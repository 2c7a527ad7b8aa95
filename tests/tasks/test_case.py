"""A case may have several right labels: one of them is told."""

from __future__ import annotations

import pytest

from osler.tasks import Case, told_as

CASE = Case("c", "a text", "OMIM:1", equivalent=("OMIM:2", "OMIM:3"))


def test_any_right_label_is_told_as_the_cases_own_with_the_probability_of_all() -> None:
    ranked, probabilities = told_as(CASE, ["OMIM:9", "OMIM:2", "OMIM:1"], [0.45, 0.35, 0.2])
    assert ranked == ("OMIM:1", "OMIM:9")
    assert probabilities == pytest.approx((0.55, 0.45))


def test_without_probabilities_it_stands_where_the_first_of_them_stood() -> None:
    assert told_as(CASE, ["OMIM:9", "OMIM:3", "OMIM:8", "OMIM:2"], None) == (("OMIM:9", "OMIM:1", "OMIM:8"), None)


def test_a_case_with_one_right_label_is_answered_as_it_is() -> None:
    assert told_as(Case("c", "a text", "A"), ["B", "A"], [0.6, 0.4]) == (("B", "A"), (0.6, 0.4))


def test_what_is_as_right_is_part_of_what_should_be_answered() -> None:
    assert CASE.sha256 != Case("c", "a text", "OMIM:1").sha256
