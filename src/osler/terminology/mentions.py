"""HPO's findings in running text: which words of it name one, and what else training may call it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from osler.terminology.hpo import PHENOTYPIC_ABNORMALITY, Ontology
from osler.terminology.vocabulary import Vocabulary, words_of


@dataclass(frozen=True)
class Mention:
    """``text[start:end]`` names the finding ``hpo_id``, affirmed or not."""

    start: int
    end: int
    hpo_id: str


class Lexicon:
    """Finds the names, exact synonyms and layperson terms of phenotypes; a wording of two terms names neither."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._vocabulary = Vocabulary(ontology)
        meant: defaultdict[str, set[str]] = defaultdict(set)
        for hpo_id in ontology.phenotypes - {PHENOTYPIC_ABNORMALITY}:
            for wording in self._vocabulary.wordings(hpo_id):
                meant[words_of(wording)].add(hpo_id)
        self._finding = {words: min(ids) for words, ids in meant.items() if len(ids) == 1}
        self._longest = max(len(words.split()) for words in self._finding)

    def mentions(self, text: str) -> list[Mention]:
        """The findings named in ``text``, in order; where two overlap, the first and then the longer one."""
        words = list(re.finditer(r"[^\W_]+", text))
        found: list[Mention] = []
        for at, word in enumerate(words):
            if found and word.start() < found[-1].end:
                continue
            for last in reversed(words[at : at + self._longest]):
                said = text[word.start() : last.end()]
                hpo_id = self._finding.get(words_of(said))
                if hpo_id and not re.search(r"[.:;!?]\s", said):
                    found.append(Mention(word.start(), last.end(), hpo_id))
                    break
        return found

    def others(self, hpo_id: str, said: str, without: str = "") -> list[str]:
        """What training may call a finding instead of ``said``; nothing that holds the words of ``without``."""
        wordings = [w for w in self._vocabulary.trainable[hpo_id] if words_of(w) != words_of(said)]
        return [w for w in wordings if not without or f" {words_of(without)} " not in f" {words_of(w)} "]
