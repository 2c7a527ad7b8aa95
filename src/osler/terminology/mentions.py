"""Find the findings of HPO that a text mentions, and other wordings for them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from osler.terminology.hpo import PHENOTYPIC_ABNORMALITY, Ontology
from osler.terminology.vocabulary import Vocabulary, word_key


@dataclass(frozen=True)
class Mention:
    """``text[start:end]`` names the finding ``hpo_id``, affirmed or denied."""

    start: int
    end: int
    hpo_id: str


class Lexicon:
    """The names, exact synonyms and layperson terms of all phenotypes; a wording that two terms share is left out."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._vocabulary = Vocabulary(ontology)
        ids_by_key: defaultdict[str, set[str]] = defaultdict(set)
        for hpo_id in ontology.phenotypes - {PHENOTYPIC_ABNORMALITY}:
            for wording in self._vocabulary.wordings(hpo_id):
                ids_by_key[word_key(wording)].add(hpo_id)
        self._id_by_key = {key: min(ids) for key, ids in ids_by_key.items() if len(ids) == 1}
        self._max_words = max(len(key.split()) for key in self._id_by_key)

    def mentions(self, text: str) -> list[Mention]:
        """The findings that ``text`` names, in order. Of overlapping ones the first is taken, then the longest."""
        words = list(re.finditer(r"[^\W_]+", text))
        mentions: list[Mention] = []
        for position, first in enumerate(words):
            if mentions and first.start() < mentions[-1].end:
                continue
            for last in reversed(words[position : position + self._max_words]):
                phrase = text[first.start() : last.end()]
                hpo_id = self._id_by_key.get(word_key(phrase))
                if hpo_id and not re.search(r"[.:;!?]\s", phrase):
                    mentions.append(Mention(first.start(), last.end(), hpo_id))
                    break
        return mentions

    def alternatives(self, hpo_id: str, wording: str, without: str = "") -> list[str]:
        """Other wordings of the finding that training may use, except those that contain the words of ``without``."""
        others = [w for w in self._vocabulary.trainable[hpo_id] if word_key(w) != word_key(wording)]
        return [w for w in others if not without or f" {word_key(without)} " not in f" {word_key(w)} "]
