"""Patients into words: which wording of a finding may be used where, and the clinical sentences around it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from osler.patients.patient import Patient
from osler.terminology import Vocabulary

MAX_PRESENT = 20  # findings a description names; published case tables can list sixty
MAX_ABSENT = 4

ONSETS = {
    "HP:0030674": "before birth",
    "HP:0011460": "before birth",
    "HP:0011461": "before birth",
    "HP:0003577": "at birth",
    "HP:0003623": "in the first weeks of life",
    "HP:0003593": "in the first year of life",
    "HP:0011463": "in childhood",
    "HP:0003621": "in adolescence",
    "HP:0003581": "in adult life",
    "HP:0011462": "in early adult life",
    "HP:0025708": "in early adult life",
    "HP:0025709": "in early adult life",
    "HP:0025710": "in early adult life",
    "HP:0003596": "in middle age",
    "HP:0003584": "late in life",
}


def describe(
    patient: Patient, vocabulary: Vocabulary, rng: random.Random, unseen: bool = False, varied: bool = False
) -> str:
    """The patient as a clinician might write it, in one to four sentences.

    With ``varied`` every finding is worded at random among its *trainable* wordings (training); otherwise by its name,
    or, with ``unseen``, by a wording that training never used where the term has one.

    Its three steps are public, because a perturbation changes the outcome of one and leaves the others alone.
    """
    patient = mentioned(patient, rng)
    return sentences(patient, worded(patient, vocabulary, rng, unseen, varied), rng)


def mentioned(patient: Patient, rng: random.Random) -> Patient:
    """The patient reduced to the findings a description names, in the order in which it names them."""
    present, absent = list(patient.present), list(patient.absent)
    rng.shuffle(present)
    rng.shuffle(absent)
    return replace(patient, present=tuple(present[:MAX_PRESENT]), absent=tuple(absent[:MAX_ABSENT]))


def worded(
    patient: Patient, vocabulary: Vocabulary, rng: random.Random, unseen: bool = False, varied: bool = False
) -> dict[str, str]:
    """HPO id → wording of every finding of ``patient``; ``unseen`` and ``varied`` as in :func:`describe`."""

    def word(hpo_id: str) -> str:
        if varied:
            wordings = vocabulary.trainable[hpo_id]
            # HPO's own name half of the time: it is what a case table uses.
            return wordings[0] if len(wordings) == 1 or rng.random() < 0.5 else rng.choice(wordings[1:])
        return (vocabulary.unseen(hpo_id) if unseen else None) or vocabulary.name[hpo_id]

    return {hpo_id: word(hpo_id) for hpo_id in (*patient.present, *patient.absent)}


TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "presentation": ("{} with {}.", "{} presents with {}.", "{} has {}.", "{}. Findings: {}.", "{}: two sentences"),
    "onset": ("Onset {}.", "First signs {}.", "Symptoms began {}."),
    "absent": ("There was no {}.", "No {}.", "No evidence of {}.", "Absent: {}."),
}


def sentences(
    patient: Patient, words: Mapping[str, str], rng: random.Random, templates: Mapping[str, Sequence[str]] = TEMPLATES
) -> str:
    """All findings of ``patient``, in their order and in ``words``, with sex, age and onset around them.

    ``templates`` are those of each kind of sentence, one of which is drawn.
    """
    findings = list(dict.fromkeys(words[i] for i in patient.present))
    missing = list(dict.fromkeys(words[i] for i in patient.absent))
    who = subject(patient.sex, patient.age)
    told = [_presentation(who, findings, rng.choice(templates["presentation"]))]
    if patient.onset in ONSETS:
        told.append(rng.choice(templates["onset"]).format(ONSETS[patient.onset]))
    if missing:
        told.append(rng.choice(templates["absent"]).format(_list(missing, "or")))
    return " ".join(told)


def _presentation(who: str, findings: list[str], opening: str) -> str:
    half = len(findings) // 2
    if opening != "{}: two sentences":
        return opening.format(who, _list(findings, "and"))
    if half < 3:
        return f"{who} with {_list(findings, 'and')}."
    first, rest = _list(findings[:half], "and"), _list(findings[half:], "and")
    return f"{who} presents with {first}. Examination also shows {rest}."


def _list(items: list[str], conjunction: str) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def subject(sex: str | None, age: float | None) -> str:
    """``A 6-year-old girl``, ``A newborn boy``, ``A woman``… from sex and age in years, either of them unknown."""
    adult = {"female": "woman", "male": "man"}.get(sex or "", "patient")
    child = {"female": "girl", "male": "boy"}.get(sex or "", "child")
    if age is None:
        return {"female": "A female patient", "male": "A male patient"}.get(sex or "", "A patient")
    if age < 1 / 12:
        return f"A newborn {child}" if sex else "A newborn"
    if age < 2:
        months = round(age * 12)
        return f"{article(months)} {months}-month-old {child}"
    return f"{article(int(age))} {int(age)}-year-old {adult if age >= 18 else child}"


def article(number: int) -> str:
    """``An`` where the number begins with a vowel when spoken, else ``A``."""
    return "An" if number in (8, 11, 18) or 80 <= number <= 89 else "A"
