"""The smallest change that changes an answer."""

from __future__ import annotations

import pytest
from worded import HUMMING, ontology, toy

from osler.explanation import Explainer
from osler.explanation.contracts import Counterfactual
from osler.explanation.knowledge import Knowledge
from osler.terminology import Recogniser

TEXT = "She has glowing palms. Her father was tired."


@pytest.fixture(scope="module")
def known() -> Knowledge:
    read = ontology()
    return Knowledge(read, Recogniser(read), _common={"hum": [HUMMING]}, trained=object())  # type: ignore[arg-type]


def changes(known: Knowledge, **words: dict[str, float]) -> tuple[Counterfactual, ...]:
    subject = toy({word.replace("_", " "): adds for word, adds in words.items()})
    explainer = Explainer(subject, known)
    planned = explainer.plan(TEXT, 8)
    from osler.explanation.counterfactual import search

    scored = subject.ask([TEXT, *planned.texts])
    found = search(subject, known, TEXT, planned.units, scored[0], scored[1:])
    assert len(subject.asked) <= 40, "bounded"
    return found


def test_one_stretch_left_out_is_enough(known: Knowledge) -> None:
    (first, *_) = changes(known, glowing_palms={"lamp": 2.0}, father={"hum": 1.0})
    assert first.label == "hum"
    assert [edit.kind for edit in first.edits] == ["left_out"]
    assert TEXT[first.edits[0].start : first.edits[0].end] == "glowing palms"


def test_a_finding_told_the_other_way_round(known: Knowledge) -> None:
    (first,) = changes(known, glowing_palms={"lamp": 2.0}, no_glowing={"hum": 3.0})
    assert [edit.kind for edit in first.edits] == ["negated"]


def test_a_usual_finding_of_the_runner_up_added(known: Knowledge) -> None:
    (first,) = changes(known, glowing_palms={"lamp": 2.0}, she={"lamp": 0.5}, humming={"hum": 4.0})
    assert [edit.kind for edit in first.edits] == ["added"]
    assert first.edits[0].finding is not None
    assert first.edits[0].finding.name == "Humming"


def test_two_changes_where_one_is_not_enough_and_none_where_nothing_is(known: Knowledge) -> None:
    (first, *_) = changes(known, glowing_palms={"lamp": 2.0}, tired={"lamp": 2.0}, humming={"hum": 3.0})
    assert {edit.kind for edit in first.edits} == {"left_out", "added"}
    assert changes(known, glowing_palms={"lamp": 9.0}, tired={"lamp": 9.0}) == ()
