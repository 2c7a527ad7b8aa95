"""What a note says of the findings it names, measured on notes written for this."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from project import GOLDEN, ROOT

from osler.errors import InputError
from osler.recipe.strict_yaml import read_yaml
from osler.storage import stable_unit, wheels
from osler.terminology import Finding, Ontology, Recogniser, findings, read_ontology

NOTES = GOLDEN / "notes.txt"
MARKED = re.compile(r"\{([-~]?)([^=}]*)=([^}]*)\}")
SAID = {"": "present", "-": "absent", "~": "relative"}


class Note(NamedTuple):
    """A text, and the findings that a reader finds in it."""

    text: str
    findings: list[Finding]


def notes(ids: dict[str, str]) -> Iterator[Note]:
    for line in NOTES.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        text, marked, last = "", [], 0
        for found in MARKED.finditer(line):
            text += line[last : found.start()]
            marked.append(Finding(len(text), len(text) + len(found[2]), ids[found[3]], SAID[found[1]]))  # type: ignore[arg-type]
            text, last = text + found[2], found.end()
        yield Note(text + line[last:], marked)


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    try:
        return read_ontology(
            wheels.fetch(read_yaml(ROOT / "tasks" / "rare_disease" / "task.yaml")["source"]["ontology"])
        )
    except InputError as error:
        pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")


@pytest.fixture(scope="module")
def lexicon(ontology: Ontology) -> Recogniser:
    return Recogniser(ontology)


def divided(ontology: Ontology) -> dict[str, list[Note]]:
    """A third of the notes to write rules with, the others to measure on."""
    ordered = sorted(notes({t.name: i for i, t in ontology.terms.items()}), key=lambda note: stable_unit(note.text))
    return {"development": ordered[:51], "held-out": ordered[51:]}


def measured(some: Sequence[Note], lexicon: Recogniser) -> Counter[str]:
    counts: Counter[str] = Counter()
    for note in some:
        left = list(note.findings)
        counts["marked"] += len(left)
        for found in findings(note.text, lexicon):
            if found.status == "uncertain":
                continue
            counts["found"] += 1
            overlapping = [one for one in left if one.start < found.end and found.start < one.end]
            right = [one for one in overlapping if one.hpo_id == found.hpo_id]
            if right:
                left.remove(right[0])
                counts["right"] += 1
                counts["right and as said"] += right[0].status == found.status
    return counts


def test_there_are_enough_notes_of_every_kind(ontology: Ontology) -> None:
    every = [note for part in divided(ontology).values() for note in part]
    assert len(every) >= 150
    said = Counter(one.status for note in every for one in note.findings)
    assert said["absent"] >= 80
    assert said["relative"] >= 25


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("development", {"marked": 177, "found": 137, "right": 124, "right and as said": 124}),
        ("held-out", {"marked": 339, "found": 255, "right": 243, "right and as said": 243}),
    ],
)
def test_precision_and_recall_are_these(
    ontology: Ontology, lexicon: Recogniser, part: str, counts: dict[str, int]
) -> None:
    assert measured(divided(ontology)[part], lexicon) == counts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No seizures, ataxia or dystonia.", ["absent", "absent", "absent"]),
        ("No seizures, ataxia since March.", ["absent", "present"]),
        ("Without seizures but with ataxia.", ["absent", "present"]),
        ("Not only seizures but also ataxia.", ["present", "present"]),
        ("Seizures were ruled out. Ataxia.", ["absent", "present"]),
        ("Seizures: none. Ataxia: yes.", ["absent", "present"]),
        ("Her mother has seizures. She has ataxia.", ["relative", "present"]),
        ("Mother reports seizures.", ["present"]),
        ("Seizures (brother), ataxia.", ["relative", "present"]),
        ("FH: seizures, ataxia.", ["relative", "relative"]),
        ("If seizures occur, call us.", ["uncertain"]),
        ("Seizures; no ataxia", ["present", "absent"]),
    ],
)
def test_what_is_said_of_a_finding(lexicon: Recogniser, text: str, said: list[str]) -> None:
    assert [one.status for one in findings(text, lexicon)] == said


def test_a_finding_has_its_place_in_the_text(lexicon: Recogniser) -> None:
    text = "The boy has ataxia."
    (found,) = findings(text, lexicon)
    assert text[found.start : found.end] == "ataxia"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("His tongue was enlarged.", None),
        ("enlarged tongue", "Macroglossia"),
        ("He is anaemic.", "Anemia"),
        ("The gait is spastic.", "Spastic gait"),
        ("swelling of the joints", "Joint swelling"),
        ("She sleeps well.", None),
    ],
)
def test_other_forms_of_a_wording_are_found(
    lexicon: Recogniser, ontology: Ontology, text: str, name: str | None
) -> None:
    assert [ontology.terms[one.hpo_id].name for one in findings(text, lexicon)] == ([name] if name else [])
