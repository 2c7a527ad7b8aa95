"""What carried an answer, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest
from worded import PALMS, ontology, toy

from osler.explanation import Explainer
from osler.explanation.contracts import ABOUT
from osler.explanation.knowledge import Knowledge
from osler.terminology import Recogniser

WORDS = {"glowing palms": {"lamp": 3.0}, "humming": {"hum": 1.0}, "tired": {"lamp": 0.5}}
TEXT = "The hands are odd: glowing palms. There is humming at night, too. She is tired of it all."


@pytest.fixture(scope="module")
def known() -> Knowledge:
    read = ontology()
    return Knowledge(read, Recogniser(read))


def test_a_stretch_weighs_what_leaving_it_out_takes_from_the_first_answer(known: Knowledge) -> None:
    explained = Explainer(toy(WORDS), known).explain(TEXT)
    assert explained.label == "lamp"
    assert explained.runner_up == "hum"
    assert explained.about == ABOUT
    weights = {TEXT[one.start : one.end]: one.weight for one in explained.units}
    strongest = max(weights, key=lambda part: weights[part])
    assert strongest == "glowing palms"
    assert weights["humming at night"] < 0 < weights["She is tired of it all"]
    # By hand: the scores are 3.5 and 1.
    assert weights["glowing palms"] == pytest.approx(np.log1p(np.exp(0.5)) - np.log1p(np.exp(-2.5)), abs=1e-6)
    (palms,) = [one for one in explained.units if one.weight == weights["glowing palms"]]
    assert palms.findings[0].finding.id == PALMS


def test_the_text_and_what_is_left_out_of_it_are_asked_together_and_once(known: Knowledge) -> None:
    subject = toy(WORDS)
    explainer = Explainer(subject, known)
    planned = explainer.plan(TEXT, 3)
    scored = subject.ask([TEXT, *planned.texts])
    asked = len(subject.asked)
    explained = explainer.read(planned, scored[0], scored[1:])
    assert asked == len(subject.asked) == 1 + len(explained.units) <= 4
    assert any("joined to 3" in note for note in explained.notes)


def test_without_an_ontology_clauses_are_left_out_and_it_is_said_why() -> None:
    explained = Explainer(toy(WORDS), Knowledge(missing=("findings: no file",))).explain(TEXT)
    assert "findings: no file" in explained.notes
    assert not explained.ontology
    assert not explained.patients
    assert len(explained.units) > 2
