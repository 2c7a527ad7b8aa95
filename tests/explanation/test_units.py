"""What is left out of a text, and what is left then."""

from __future__ import annotations

import pytest

from osler.explanation.units import Unit, units_of, without
from osler.terminology import Finding

TEXT = "A tall 12-year-old boy with a dislocated lens of the eye and long, slender fingers. No scoliosis."


def unit(text: str, part: str) -> Unit:
    start = text.index(part)
    end = start + len(part)
    return Unit(start, end, (Finding(start, end, "HP:0000001", "present"),))


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (["dislocated lens of the eye"], "A tall 12-year-old boy with long, slender fingers. No scoliosis."),
        (["long, slender fingers"], "A tall 12-year-old boy with a dislocated lens of the eye. No scoliosis."),
        (["dislocated lens of the eye", "long, slender fingers"], "A tall 12-year-old boy. No scoliosis."),
        (["scoliosis"], "A tall 12-year-old boy with a dislocated lens of the eye and long, slender fingers."),
    ],
)
def test_a_finding_goes_with_its_commas_and_the_sentence_that_only_says_whether_it_is_there(
    gone: list[str], left: str
) -> None:
    assert without(TEXT, [unit(TEXT, part) for part in gone]) == left


def test_without_nothing_a_text_is_as_it_was_and_without_everything_it_is_empty() -> None:
    text = "I have a rash.\n\nIt  itches,\tall day ."
    assert without(text, []) == text
    assert without(text, [Unit(0, len(text))]) == ""


def test_a_text_that_names_no_finding_is_taken_apart_by_clauses() -> None:
    text = "My neck hurts and my arms feel weak. Yesterday I was dizzy, nauseous and tired; today it is better."
    units = units_of(text, None, 99)
    assert [text[one.start : one.end] for one in units] == [
        "My neck hurts",
        "and my arms feel weak",
        "Yesterday I was dizzy",
        "nauseous and tired",
        "today it is better",
    ]
    assert without(text, units[1:2]).startswith("My neck hurts. Yesterday")


def test_one_clause_is_taken_apart_by_words_that_say_something() -> None:
    text = "the burning pain"
    assert [text[one.start : one.end] for one in units_of(text, None, 99)] == ["burning", "pain"]


def test_too_many_units_are_joined_to_neighbours_and_none_is_lost() -> None:
    text = "One is red. Two is blue. Three is the longest colour of all. Four is green."
    units = units_of(text, None, 2)
    assert [text[one.start : one.end] for one in units] == [
        "One is red. Two is blue",
        "Three is the longest colour of all. Four is green",
    ]
    assert len(units_of(text, None, 4)) == 4


@pytest.mark.parametrize("text", ["", " ", "?!", "\n\n", "x", "👶🏽", "a, and of the"])
def test_texts_that_say_little_do_not_end_it(text: str) -> None:
    units = units_of(text, None, 6)
    assert without(text, units) is not None
    assert all(0 <= one.start < one.end <= len(text) for one in units)
