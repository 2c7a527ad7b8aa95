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
from osler.serving.requests import EXAMPLE
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


def test_the_example_of_the_server_is_read(ontology: Ontology, lexicon: Recogniser) -> None:
    read = {ontology.terms[one.hpo_id].name: one.status for one in findings(EXAMPLE, lexicon)}
    assert read == {"Ectopia lentis": "present", "Arachnodactyly": "present", "Scoliosis": "absent"}


def test_there_are_enough_notes_of_every_kind(ontology: Ontology) -> None:
    every = [note for part in divided(ontology).values() for note in part]
    assert len(every) >= 150
    said = Counter(one.status for note in every for one in note.findings)
    assert said["absent"] >= 80
    assert said["relative"] >= 25


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("development", {"marked": 177, "found": 133, "right": 122, "right and as said": 122}),
        ("held-out", {"marked": 339, "found": 253, "right": 241, "right and as said": 241}),
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
        ("Absence of seizures was noted.", ["absent"]),
        ("He has not yet had seizures.", ["absent"]),
        ("She was not found to have scoliosis.", ["absent"]),
        ("He did not later develop cataract.", ["absent"]),
        ("No patient had seizures.", ["absent"]),
        ("There was no evidence in this patient of scoliosis.", ["absent"]),
        ("Seizures have not been observed.", ["absent"]),
        ("Seizures were never seen.", ["absent"]),
        ("Scoliosis has never been noted.", ["absent"]),
        ("Scoliosis was not evident.", ["absent"]),
        ("Scoliosis wasn't seen.", ["absent"]),
        ("Seizures did not occur.", ["absent"]),
        ("Seizures: denied.", ["absent"]),
        ("Scoliosis: not present.", ["absent"]),
        ("Seizures (-)", ["absent"]),
        ("Seizures - no", ["absent"]),
        ("Intellectual disability, no.", ["absent"]),
        ("He is seizure-free.", ["absent"]),
        ("He lacks scoliosis.", ["absent"]),
        ("There weren't any seizures.", ["absent"]),
        ("He can't have scoliosis.", ["absent"]),
        ("He is free from seizures.", ["absent"]),
        ("Denies: seizures.", ["absent"]),
        ("Negative: seizures, scoliosis.", ["absent", "absent"]),
        ("Absent: seizures.", ["absent"]),
        ("No: seizures.", ["absent"]),
        ("No cataract, scoliosis, and seizures.", ["absent", "absent", "absent"]),
        ("He is without ataxia, nystagmus.", ["absent", "absent"]),
        ("Scoliosis and cataract were absent.", ["absent", "absent"]),
        ("Sleep apnea and seizures were both ruled out.", ["absent", "absent"]),
        ("There was no\nscoliosis. He denied\nseizures.", ["absent", "absent"]),
        ("He could not walk because of spasticity.", ["present"]),
        ("He is not able to walk due to muscle weakness.", ["present"]),
        ("He never walked due to spasticity.", ["present"]),
        ("He does not speak and has scoliosis.", ["present"]),
        ("She is not dysmorphic and has seizures.", ["present"]),
        ("No cataract - scoliosis.", ["absent", "present"]),
        ("No change in his scoliosis.", ["present"]),
        ("There was no improvement in seizures.", ["present"]),
        ("No treatment helped his seizures.", ["present"]),
        ("She had no fever when the seizures began.", ["absent", "present"]),
        ("There is no cure for his scoliosis.", ["present"]),
        ("He was not born with scoliosis.", ["present"]),
        ("His son has ectopia lentis.", ["relative"]),
        ("Her daughter has seizures.", ["relative"]),
        ("Husband has scoliosis.", ["relative"]),
        ("Family members have scoliosis.", ["relative"]),
        ("Paternal history of scoliosis.", ["relative"]),
        ("The sister of the patient has scoliosis.", ["relative"]),
        ("Mother of the child has scoliosis.", ["relative"]),
        ("Scoliosis in one brother.", ["relative"]),
        ("Scoliosis was seen in two brothers.", ["relative"]),
        ("Scoliosis affects the mother.", ["relative"]),
        ("Scoliosis in both parents.", ["relative"]),
        ("Mother: diabetes mellitus; migraine.", ["relative", "relative"]),
        ("A twin boy with scoliosis.", ["present"]),
        ("The mother brought the boy with seizures.", ["present"]),
        ("Scoliosis is suspected.", ["uncertain"]),
        ("He may have scoliosis.", ["uncertain"]),
        ("?scoliosis", ["uncertain"]),
        ("Scoliosis is unlikely.", ["uncertain"]),
        ("Evaluated for scoliosis.", ["uncertain"]),
        ("At risk for scoliosis.", ["uncertain"]),
        ("Seizures and ataxia.", ["present", "present"]),
        ("No seizures\nScoliosis", ["absent", "present"]),
        ("no seizures\nscoliosis", ["absent", "present"]),
        ("He has seizures, no ataxia, and scoliosis.", ["present", "absent", "present"]),
        ("The patient has scoliosis but no seizures.", ["present", "absent"]),
        ("Mother healthy, the boy has seizures.", ["present"]),
        ("Seizures in infancy.", ["present"]),
        ("Not walking at 2 years, with hypotonia and seizures.", ["present", "present"]),
        ("No fever, had seizures.", ["absent", "present"]),
        ("The boy never had seizures, but had ataxia.", ["absent", "present"]),
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
        ("Blood was collected.", None),
        ("An MRI was ordered.", None),
        ("Neutrophils were counted.", None),
        ("The resting heart rate", None),
        ("the little finger", None),
        ("cataracts", "Cataract"),
        ("non-progressive ataxia", None),
    ],
)
def test_other_forms_of_a_wording_are_found(
    lexicon: Recogniser, ontology: Ontology, text: str, name: str | None
) -> None:
    assert [ontology.terms[one.hpo_id].name for one in findings(text, lexicon)] == ([name] if name else [])
