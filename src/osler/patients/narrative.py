"""Describe patients in sentences: choose the findings, their wordings and the sentences around them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from osler.patients.patient import Patient
from osler.terminology import Vocabulary

MAX_PRESENT = 20  # present findings in a description; published case tables can list sixty
MAX_ABSENT = 4

# HPO onset term → how a description puts it.
ONSET_PHRASES = {
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

    The three steps are public because a perturbation changes the outcome of one and leaves the others as they are.

    Args:
        unseen: use wordings that training never uses, where a finding has one (for tests).
        varied: draw the wording of every finding from its *trainable* ones (for training). By default, findings are
            called by their HPO names.
    """
    patient = select_findings(patient, rng)
    return write_sentences(patient, choose_wordings(patient, vocabulary, rng, unseen, varied), rng)


def select_findings(patient: Patient, rng: random.Random) -> Patient:
    """The patient reduced to the findings that a description names, in the order in which it names them."""
    present, absent = list(patient.present), list(patient.absent)
    rng.shuffle(present)
    rng.shuffle(absent)
    return replace(patient, present=tuple(present[:MAX_PRESENT]), absent=tuple(absent[:MAX_ABSENT]))


def choose_wordings(
    patient: Patient, vocabulary: Vocabulary, rng: random.Random, unseen: bool = False, varied: bool = False
) -> dict[str, str]:
    """HPO id → wording, for every finding of ``patient``; ``unseen`` and ``varied`` as in :func:`describe`."""

    def wording(hpo_id: str) -> str:
        if varied:
            wordings = vocabulary.trainable[hpo_id]
            # HPO's own name half of the time: case tables use it.
            return wordings[0] if len(wordings) == 1 or rng.random() < 0.5 else rng.choice(wordings[1:])
        return (vocabulary.held_out_wording(hpo_id) if unseen else None) or vocabulary.name[hpo_id]

    return {hpo_id: wording(hpo_id) for hpo_id in (*patient.present, *patient.absent)}


TWO_SENTENCES = "{}: two sentences"  # stands for an opening that is split over two sentences
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "presentation": ("{} with {}.", "{} presents with {}.", "{} has {}.", "{}. Findings: {}.", TWO_SENTENCES),
    "onset": ("Onset {}.", "First signs {}.", "Symptoms began {}."),
    "absent": ("There was no {}.", "No {}.", "No evidence of {}.", "Absent: {}."),
}


def write_sentences(
    patient: Patient,
    wordings: Mapping[str, str],
    rng: random.Random,
    templates: Mapping[str, Sequence[str]] = TEMPLATES,
) -> str:
    """All findings of ``patient``, in their order and in ``wordings``, with sex, age and onset.

    One of the ``templates`` is drawn for each kind of sentence.
    """
    present = list(dict.fromkeys(wordings[i] for i in patient.present))
    absent = list(dict.fromkeys(wordings[i] for i in patient.absent))
    sentences = [_presentation(subject(patient.sex, patient.age), present, rng.choice(templates["presentation"]))]
    if patient.onset in ONSET_PHRASES:
        sentences.append(rng.choice(templates["onset"]).format(ONSET_PHRASES[patient.onset]))
    if absent:
        sentences.append(rng.choice(templates["absent"]).format(_enumerate(absent, "or")))
    return " ".join(sentences)


def _presentation(who: str, findings: list[str], template: str) -> str:
    half = len(findings) // 2
    if template != TWO_SENTENCES:
        return template.format(who, _enumerate(findings, "and"))
    if half < 3:
        return f"{who} with {_enumerate(findings, 'and')}."
    first, rest = _enumerate(findings[:half], "and"), _enumerate(findings[half:], "and")
    return f"{who} presents with {first}. Examination also shows {rest}."


def _enumerate(items: list[str], conjunction: str) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def subject(sex: str | None, age: float | None) -> str:
    """``A 6-year-old girl``, ``A newborn boy``, ``A patient`` …, from sex and age in years; both may be None."""
    adult = {"female": "woman", "male": "man"}.get(sex or "", "patient")
    child = {"female": "girl", "male": "boy"}.get(sex or "", "child")
    if age is None:
        return {"female": "A female patient", "male": "A male patient"}.get(sex or "", "A patient")
    if age < 1 / 12:
        return f"A newborn {child}" if sex else "A newborn"
    if age < 2:
        months = round(age * 12)
        return f"{indefinite_article(months)} {months}-month-old {child}"
    return f"{indefinite_article(int(age))} {int(age)}-year-old {adult if age >= 18 else child}"


def indefinite_article(number: int) -> str:
    """``An`` if the spoken number begins with a vowel, else ``A``."""
    return "An" if number in (8, 11, 18) or 80 <= number <= 89 else "A"
