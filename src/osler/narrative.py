"""Patients into words: which wording of a finding may be used where, and the clinical sentences around it."""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from osler.hpo import Ontology
from osler.patient import Patient

HELD_OUT_SHARE = 0.4  # of each term's synonyms and layperson terms
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

# A word in front of one of these is a person's name more often than not.
NAMED_AFTER = {"anomaly", "bodies", "body", "contracture", "cyst", "deformity", "disease", "gyrus", "lymphoma"}
NAMED_AFTER |= {"membrane", "nodule", "nodules", "phenomenon", "ring", "rings", "sign", "spots", "spur", "syndrome"}


def stable_unit(text: str) -> float:
    """A number in [0, 1) that depends on ``text`` only, on every machine and in every Python."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


class Vocabulary:
    """The wordings of every phenotype, divided once and for all into those training may use and those it may not.

    Of each term's wordings about ``HELD_OUT_SHARE`` are held out, chosen by a hash of the wording. A term's own name is
    never held out, nor is a wording that stands inside some term's name; a wording that *is* another term's name means
    that term and is not used at all. A wording held out for one term is used in training for no other, and neither is
    any wording that contains it.
    """

    def __init__(self, ontology: Ontology) -> None:
        phenotypes = [ontology.terms[i] for i in sorted(ontology.phenotypes)]
        names = {words_of(term.name) for term in phenotypes}
        named = {part for term in phenotypes for part in _parts(term.name)}
        proper = _proper_words(w for term in phenotypes for w in (term.name, *term.wordings, term.definition))
        self.name = {term.id: _lower_first(term.name, proper) for term in phenotypes}
        spoken = {term.id: [_lower_first(w, proper) for w in term.wordings] for term in phenotypes}
        self.held_out = {i: _held_out([w for w in ws if words_of(w) not in named]) for i, ws in spoken.items()}
        forbidden = {words_of(w) for wordings in self.held_out.values() for w in wordings}
        self._held_out_by_first_word: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for wording in sorted(forbidden):
            self._held_out_by_first_word[wording.split()[0]].append(tuple(wording.split()))
        self.trainable = {
            i: [self.name[i], *(w for w in wordings if words_of(w) not in names and forbidden.isdisjoint(_parts(w)))]
            for i, wordings in spoken.items()
        }

    def wordings(self, hpo_id: str) -> list[str]:
        """Every wording of this term, trainable or held out."""
        return [*self.trainable[hpo_id], *self.held_out[hpo_id]]

    def held_out_in(self, text: str) -> set[str]:
        """The words of every held-out wording that stands in ``text``, of whatever term."""
        words = words_of(text).split()
        return {
            " ".join(wording)
            for at, word in enumerate(words)
            for wording in self._held_out_by_first_word.get(word, ())
            if tuple(words[at : at + len(wording)]) == wording
        }

    def unseen(self, hpo_id: str) -> str | None:
        """The wording of this term that training never sees, or None where it has none."""
        wordings = self.held_out[hpo_id]
        return wordings[0] if wordings else None


def _held_out(wordings: Sequence[str]) -> list[str]:
    """About ``HELD_OUT_SHARE`` of the wordings: of several, the first in hash order; a single one, by its hash."""
    if len(wordings) == 1:
        return [w for w in wordings if stable_unit(words_of(w)) < HELD_OUT_SHARE]
    ranked = sorted(wordings, key=lambda w: stable_unit(words_of(w)))
    return ranked[: max(1, round(HELD_OUT_SHARE * len(ranked)))] if ranked else []


def words_of(wording: str) -> str:
    """The words of a wording in small letters, one space between them: case, hyphens and commas make no other one."""
    return " ".join(re.findall(r"[^\W_]+", wording.lower()))


def _parts(wording: str) -> Iterator[str]:
    """Every run of words inside ``wording``, itself included, as keys."""
    words = words_of(wording).split()
    return (" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))


def _proper_words(phrases: Iterable[str]) -> frozenset[str]:
    """Words never written small that are large inside a phrase (Babinski) or name a sign (Raynaud phenomenon)."""
    small: set[str] = set()
    large: set[str] = set()
    for phrase in (sentence for text in phrases for sentence in re.split(r"[.:;!?]\s+", text)):
        words = re.findall(r"[^\s,.;:()\[\]]+", phrase)
        small.update(word for word in words if word.islower())
        large.update(word.lower() for word in words[1:] if word[0].isupper())
        large.update(word.lower() for word, following in pairwise(words) if following in NAMED_AFTER)
    return frozenset(large - small)


def _lower_first(phrase: str, proper: frozenset[str]) -> str:
    first = re.split(r"[ ,/]", phrase, maxsplit=1)[0]
    plain = first[1:].islower() and not re.match(r"[A-Z]-", first) and first.lower() not in proper
    return phrase[0].lower() + phrase[1:] if plain else phrase


def inside_sentence(phrase: str) -> str:
    """``phrase`` as it stands in the middle of a sentence, small unless its first word looks like a name. Who has the
    ontology asks its :class:`Vocabulary`, which knows names better."""
    return _lower_first(phrase, _proper_words([phrase]))


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
