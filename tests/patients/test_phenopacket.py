"""Which disease a phenopacket says the patient has, and how sure it is."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict
from phenopackets import Phenopacket

from osler.patients import find_diagnosis


def interpretation(status: str, disease: str) -> dict[str, object]:
    return {"id": "i", "progressStatus": status, "diagnosis": {"disease": {"id": disease}}}


@pytest.mark.parametrize(
    ("diseases", "interpretations", "expected"),
    [
        (["A", "A"], [], (["A"], "confirmed")),
        (["A", "B"], [], (["A", "B"], "confirmed")),
        (["comorbid"], [("SOLVED", "A"), ("UNSOLVED", "B")], (["A"], "confirmed")),
        (["comorbid"], [("IN_PROGRESS", "A"), ("UNSOLVED", "B")], (["A"], "suspected")),
        (["comorbid"], [("UNSOLVED", "A")], ([], "unsolved")),
        (["A"], [("COMPLETED", "B")], (["A"], "confirmed")),
        ([], [("COMPLETED", "A"), ("UNKNOWN_PROGRESS", "B")], (["A", "B"], "suspected")),
        ([], [], ([], "suspected")),
    ],
)
def test_the_diagnosis_is_that_of_the_solved_interpretation(
    diseases: list[str], interpretations: list[tuple[str, str]], expected: tuple[list[str], str]
) -> None:
    content = {
        "diseases": [{"term": {"id": "excluded"}, "excluded": True}, *({"term": {"id": i}} for i in diseases)],
        "interpretations": [interpretation(*i) for i in interpretations],
    }
    terms, status = find_diagnosis(ParseDict(content, Phenopacket()))
    assert ([term.id for term in terms], status) == expected
