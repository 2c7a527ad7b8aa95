"""Which wordings of a finding training may use, and which are held out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from osler.storage import stable_unit
from osler.terminology.hpo import Ontology

HELD_OUT_SHARE = 0.4  # of each term's synonyms and layperson terms

# A word in front of one of these is a person's name more often than not.
NAMED_AFTER = {"anomaly", "bodies", "body", "contracture", "cyst", "deformity", "disease", "gyrus", "lymphoma"}
NAMED_AFTER |= {"membrane", "nodule", "nodules", "phenomenon", "ring", "rings", "sign", "spots", "spur", "syndrome"}


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
