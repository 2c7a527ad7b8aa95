"""Changed copies of training rows, for a model to learn from what its own rows do not show.

================  ===========================================  =====================================================
name              of a patient, a list of findings             of a text, a list of sentences
================  ===========================================  =====================================================
synonyms          findings told in another training wording    HPO's findings in it, told in another training wording
dropout           findings left out, one stays                 sentences left out, one stays
ancestors         findings told as a more general term         (nothing says what its findings are)
negations         unrelated findings told as absent            sentences denying what other diagnoses' texts mention
templates         sentences built in another way               phrases exchanged for others that say the same
typos             keys beside the right one, swapped, missed   the same
back_translation  sentences into another language and back     the same
================  ===========================================  =====================================================

The strength is the share of findings, sentences, phrases or words that is changed, of those that can be, and one at
least. Each copy is of one row and by one augmentation, those that are on in turn, so that it can say where it is from:
its case id is ``<row>#<name>-<number of the copy>``, its source ``<source>+<name>``. Copies are made once, not once a
pass, so that baselines learn from the very same rows, and only of training rows.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from osler.patients import MAX_ABSENT, TEMPLATES, Patient
from osler.tasks.perturbation import Perturbation, share_of, split_sentences
from osler.terminology import PHENOTYPIC_ABNORMALITY, Lexicon, Ontology

if TYPE_CHECKING:
    from osler.tasks.case import Case


# What robustness is tested with, and training may learn from.
PERTURBATIONS = {"synonyms": "paraphrased", "dropout": "dropped", "typos": "typos"}


@dataclass(frozen=True)
class Augmentation:
    """What is done to a copy of a training row, and how much of it."""

    name: str
    strength: float
    seed: int

    def dice(self, copy_id: str) -> random.Random:
        """Of one copy: the same whatever other copies there are."""
        return random.Random(f"augmentation/{self.name}/{self.seed}/{copy_id}")

    @property
    def perturbation(self) -> Perturbation:
        """The perturbation that does it. Raises KeyError where there is none."""
        return Perturbation(PERTURBATIONS[self.name], self.strength, self.seed)


# ── patients ─────────────────────────────────────────────────────────────────────────────────────────────────────────

FURTHER_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "presentation": (
        "{} is seen because of {}.",
        "{} was referred with {}.",
        "{} shows {}.",
        "{} was found to have {}.",
    ),
    "onset": ("It began {}.", "The first symptoms appeared {}.", "This was first noticed {}."),
    "absent": ("There are no signs of {}.", "Negative for {}.", "Not found: {}.", "The patient does not have {}."),
}


def generalised(patient: Patient, ontology: Ontology, strength: float, dice: random.Random) -> Patient:
    """The patient with ``strength`` of the present findings replaced by one of their parents in the ontology."""
    above = {i: [p for p in ontology.terms[i].parents if p != PHENOTYPIC_ABNORMALITY] for i in patient.present}
    can = [i for i in patient.present if above[i]]
    general = {i: dice.choice(above[i]) for i in share_of(can, strength, dice)}
    return replace(patient, present=tuple(dict.fromkeys(general.get(i, i) for i in patient.present)))


def denying(patient: Patient, irrelevant: Iterable[str], strength: float) -> Patient:
    """The patient with the first of ``irrelevant`` absent, ``strength`` times as many as findings are present, as far
    as a description names so many."""
    number = min(max(1, round(strength * len(patient.present))), MAX_ABSENT - len(patient.absent))
    return replace(patient, absent=(*patient.absent, *islice(irrelevant, max(0, number))))


def templates(strength: float, dice: random.Random) -> Mapping[str, Sequence[str]]:
    """Templates for :func:`write_sentences`, other ones for ``strength`` of the kinds of sentences."""
    # The presentation comes first: it is the only sentence that every description has.
    kinds = ["presentation", *dice.sample(["onset", "absent"], 2)][: max(1, round(strength * len(TEMPLATES)))]
    return {**TEMPLATES, **{kind: FURTHER_TEMPLATES[kind] for kind in kinds}}


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

DENIALS = ("There is no {}.", "No {}.", "There has been no {}.")
FRAMES = ("It is like this: {}", "What there is to say: {}", "To describe it: {}")
_SAME = (  # each is exchanged for the next in its line, the last for the first
    ("I am", "I'm"),
    ("I have been", "I've been"),
    ("it is", "it's"),
    ("cannot", "can't"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("is not", "isn't"),
    ("have not", "haven't"),
    ("a lot of", "much"),
    ("sometimes", "at times", "now and then"),
    ("recently", "lately", "of late"),
    ("really", "very", "quite"),
    ("often", "frequently", "many times"),
    ("I feel", "I am feeling"),
    ("I think", "it seems to me that"),
    ("started", "began"),
    ("hard", "difficult"),
    ("all the time", "constantly", "without end"),
    ("because of", "due to"),
    ("because", "since"),
    ("all over", "everywhere on"),
)
_INSTEAD = {phrase.lower(): line[(n + 1) % len(line)] for line in _SAME for n, phrase in enumerate(line)}
_PHRASE = re.compile(
    rf"(?<![\w'])(?:{'|'.join(sorted(map(re.escape, _INSTEAD), key=len, reverse=True))})(?![\w'])", re.I
)


class TextAugmenter:
    """Tells training texts again, changed. ``lexicon`` reads what finds findings in them, where something needs to."""

    def __init__(self, rows: Sequence[Case], labels: Mapping[str, str], lexicon: Callable[[], Lexicon]) -> None:
        self._rows, self._labels, self._read = rows, labels, lexicon

    def __call__(self, row: Case, augmentation: Augmentation, copy_id: str) -> str:
        """The text of ``row`` for the copy ``copy_id``; as it was where nothing can be changed."""
        text, label, strength = row.text, self._labels[row.label], augmentation.strength
        dice = augmentation.dice(copy_id)
        if augmentation.name in ("dropout", "typos"):
            return augmentation.perturbation.text(copy_id, text, label)
        if augmentation.name == "synonyms":
            return self._reworded(text, label, strength, dice)
        if augmentation.name == "negations":
            return self._denying(text, row.label, strength, dice)
        return rephrased(text, strength, dice)

    @cached_property
    def _lexicon(self) -> Lexicon:
        return self._read()

    def _reworded(self, text: str, label: str, strength: float, dice: random.Random) -> str:
        others = {
            m: self._lexicon.alternatives(m.hpo_id, text[m.start : m.end], label) for m in self._lexicon.mentions(text)
        }
        chosen = share_of([mention for mention in others if others[mention]], strength, dice)
        for mention in sorted(chosen, key=lambda mention: mention.start, reverse=True):
            text = text[: mention.start] + dice.choice(others[mention]) + text[mention.end :]
        return text

    def _denying(self, text: str, label: str, strength: float, dice: random.Random) -> str:
        sentences = split_sentences(text)
        wordings = [self._lexicon.alternatives(hpo_id, "", self._labels[label]) for hpo_id in self._deniable[label]]
        wordings = [wording for wording in wordings if wording]
        number = min(len(wordings), max(1, round(strength * len(sentences))))
        for names in dice.sample(wordings, number):
            denial = dice.choice(DENIALS).format(dice.choice(names))
            sentences.insert(dice.randint(0, len(sentences)), denial)
        return " ".join(sentences)

    @cached_property
    def _deniable(self) -> dict[str, list[str]]:
        """Label → the findings that training texts of other labels mention, unrelated to those its own texts do."""
        mentioned: defaultdict[str, set[str]] = defaultdict(set)
        for row in self._rows:
            mentioned[row.label].update(mention.hpo_id for mention in self._lexicon.mentions(row.text))
        ancestors = self._lexicon.ontology.ancestors
        every = set().union(*mentioned.values())
        deniable = {}
        for label, own in mentioned.items():
            implied = {above for hpo_id in own for above in ancestors(hpo_id)}
            deniable[label] = sorted(i for i in every - implied if own.isdisjoint(ancestors(i)))
        return deniable


def rephrased(text: str, strength: float, dice: random.Random) -> str:
    """``strength`` of the sentences with a phrase exchanged for one that says the same; framed where none is known."""
    sentences = split_sentences(text)
    for position in share_of(range(len(sentences)), strength, dice):
        sentence = sentences[position]
        phrases = list(_PHRASE.finditer(sentence))
        if phrases:
            phrase = dice.choice(phrases)
            other = _INSTEAD[phrase[0].lower()]
            other = other[0].upper() + other[1:] if phrase[0][0].isupper() else other
            sentences[position] = sentence[: phrase.start()] + other + sentence[phrase.end() :]
        else:
            sentences[position] = dice.choice(FRAMES).format(sentence)
    return " ".join(sentences)
