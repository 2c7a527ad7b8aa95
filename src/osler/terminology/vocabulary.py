"""Divide the wordings of every finding into those that training may use and those that are held out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from osler.storage import stable_unit
from osler.terminology.hpo import Ontology

HELD_OUT_SHARE = 0.4  # of each term's synonyms and layperson terms

# A word in front of one of these nouns is usually a person's name.
EPONYM_NOUNS = {"anomaly", "bodies", "body", "contracture", "cyst", "deformity", "disease", "gyrus", "lymphoma"}
EPONYM_NOUNS |= {"membrane", "nodule", "nodules", "phenomenon", "ring", "rings", "sign", "spots", "spur", "syndrome"}


class Vocabulary:
    """The wordings of every phenotype: those that training may use and those that are held out.

    About ``HELD_OUT_SHARE`` of each term's wordings are held out, chosen by a hash of the wording. A term's own name is
    never held out, and neither is a wording that occurs inside the name of any term. A wording that *is* the name of
    another term means that term and is not used at all. Once held out, a wording is held out for every term, and so is
    every wording that contains it.

    Attributes:
        name: HPO id → the term's name, as written inside a sentence.
        trainable: HPO id → the wordings that training may use, the name first.
        held_out: HPO id → the wordings that training never uses.
    """

    def __init__(self, ontology: Ontology) -> None:
        phenotypes = [ontology.terms[i] for i in sorted(ontology.phenotypes)]
        names = {word_key(term.name) for term in phenotypes}
        name_parts = {part for term in phenotypes for part in _parts(term.name)}
        proper = _proper_nouns(w for term in phenotypes for w in (term.name, *term.wordings, term.definition))
        self.name = {term.id: _lower_first(term.name, proper) for term in phenotypes}
        synonyms = {term.id: [_lower_first(w, proper) for w in term.wordings] for term in phenotypes}
        self.held_out = {i: _held_out([w for w in ws if word_key(w) not in name_parts]) for i, ws in synonyms.items()}
        forbidden = {word_key(w) for wordings in self.held_out.values() for w in wordings}
        self._held_out_by_first_word: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for wording in sorted(forbidden):
            self._held_out_by_first_word[wording.split()[0]].append(tuple(wording.split()))
        self.trainable = {
            i: [self.name[i], *(w for w in wordings if word_key(w) not in names and forbidden.isdisjoint(_parts(w)))]
            for i, wordings in synonyms.items()
        }

    def wordings(self, hpo_id: str) -> list[str]:
        """All wordings of this term, trainable and held out."""
        return [*self.trainable[hpo_id], *self.held_out[hpo_id]]

    def held_out_in(self, text: str) -> set[str]:
        """The held-out wordings, of any term, that occur in ``text``, each as its :func:`word_key`."""
        words = word_key(text).split()
        return {
            " ".join(wording)
            for position, word in enumerate(words)
            for wording in self._held_out_by_first_word.get(word, ())
            if tuple(words[position : position + len(wording)]) == wording
        }

    def held_out_wording(self, hpo_id: str) -> str | None:
        """The wording of this term that a test uses and training never does; None if the term has none."""
        wordings = self.held_out[hpo_id]
        return wordings[0] if wordings else None


def _held_out(wordings: Sequence[str]) -> list[str]:
    """About ``HELD_OUT_SHARE`` of the wordings: the first ones by hash; a single one if its hash is low enough."""
    if len(wordings) == 1:
        return [w for w in wordings if stable_unit(word_key(w)) < HELD_OUT_SHARE]
    ranked = sorted(wordings, key=lambda w: stable_unit(word_key(w)))
    return ranked[: max(1, round(HELD_OUT_SHARE * len(ranked)))] if ranked else []


def word_key(wording: str) -> str:
    """The key of a wording: its words in lower case with one space between them. Punctuation makes no difference."""
    return " ".join(re.findall(r"[^\W_]+", wording.lower()))


def _parts(wording: str) -> Iterator[str]:
    """The keys of all runs of words in ``wording``, including the whole."""
    words = word_key(wording).split()
    return (" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))


def _proper_nouns(phrases: Iterable[str]) -> frozenset[str]:
    """Words that are capitalised inside a phrase (Babinski) or name a sign (Raynaud phenomenon), and never lower case.

    They are returned in lower case.
    """
    lower: set[str] = set()
    capitalised: set[str] = set()
    for phrase in (sentence for text in phrases for sentence in re.split(r"[.:;!?]\s+", text)):
        words = re.findall(r"[^\s,.;:()\[\]]+", phrase)
        lower.update(word for word in words if word.islower())
        capitalised.update(word.lower() for word in words[1:] if word[0].isupper())
        capitalised.update(word.lower() for word, following in pairwise(words) if following in EPONYM_NOUNS)
    return frozenset(capitalised - lower)


def _lower_first(phrase: str, proper: frozenset[str]) -> str:
    first = re.split(r"[ ,/]", phrase, maxsplit=1)[0]
    plain = first[1:].islower() and not re.match(r"[A-Z]-", first) and first.lower() not in proper
    return phrase[0].lower() + phrase[1:] if plain else phrase


def mid_sentence_case(phrase: str) -> str:
    """``phrase`` as written inside a sentence: its first letter in lower case, unless the word looks like a name.

    With the ontology at hand, use its :class:`Vocabulary`: it knows more names.
    """
    return _lower_first(phrase, _proper_nouns([phrase]))
