"""Find findings in notes, in other forms of HPO's wordings: "enlarged tongue", "hypotonic", "swelling of the knees"."""

from __future__ import annotations

import re
from collections import defaultdict

from osler.terminology.hpo import PHENOTYPIC_ABNORMALITY, Ontology
from osler.terminology.mentions import Lexicon, Mention
from osler.terminology.vocabulary import Vocabulary

PASSED_OVER = {"a", "an", "and", "at", "by", "his", "her", "in", "is", "of", "on", "the", "their", "to", "with"}
ALIKE = {
    "large": ("enlarged", "big", "abnormally large", "increased size"),
    "small": ("tiny",),
    "low": ("reduced", "decreased", "diminished", "lower"),
    "high": ("raised", "elevated", "increased"),
    "absent": ("missing", "lack"),
    "swelling": ("swollen",),
    "pain": ("painful", "ache", "aching", "pains"),
    "weakness": ("weak",),
    "fit": ("seizure", "fits", "seizing"),
    "foot": ("feet",),
    "tooth": ("teeth",),
    "tumor": ("tumour",),
}
WORDS_ALIKE = {form: word for word, forms in ALIKE.items() for form in forms if " " not in form}
ENDINGS = re.compile(r"(?:icity|ivity|iness|ities|ness|ical|(?<=at)ions?|ity|ies|ing|ous|ive|ed|es|ia|ic|al|[seya])$")
SHORTEST = 4  # letters of a stem
LONG = 7  # letters of a word that is a finding by itself
ADJECTIVE = (
    "ic",
    "ous",
)  # "ataxic" is ataxia; "ordered", "resting" and "neutrophils" are no disorder, restlessness, excess
LONGEST = 6  # words that are looked at together


class Recogniser:
    """What :class:`Lexicon` finds, and wordings whose words stand in another form or order, close together.

    Words are compared by their stems; "and" and "or" are not crossed, so that "thin skin and thin nails" are two. Two
    terms that have the same stems are both left out.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._lexicon = Lexicon(ontology)
        vocabulary = Vocabulary(ontology)
        ids: defaultdict[frozenset[str], set[str]] = defaultdict(set)
        names: defaultdict[frozenset[str], set[str]] = defaultdict(set)
        self._alone: set[str] = set()  # words that are a wording, and their plurals
        for hpo_id in ontology.phenotypes - {PHENOTYPIC_ABNORMALITY}:
            for number, wording in enumerate(vocabulary.wordings(hpo_id)):
                stems = frozenset(stem(word) for word in words(wording) if word not in PASSED_OVER)
                if len(told := words(wording)) == 1:
                    self._alone |= {told[0], f"{told[0]}s", f"{told[0]}es", f"{told[0][:-1]}ies"}
                if stems and len(stems) <= LONGEST:
                    ids[stems].add(hpo_id)
                    if not number:
                        names[stems].add(hpo_id)
        certain = {stems: names[stems] if len(names.get(stems, ())) == 1 else of for stems, of in ids.items()}
        self._id_by_stems = {stems: min(of) for stems, of in certain.items() if len(of) == 1}

    def mentions(self, text: str) -> list[Mention]:
        """The findings that ``text`` names, in order; of overlapping ones the longest."""
        found = list(self._lexicon.mentions(text))
        found += self._in_other_forms(text)
        found = [one for one in found if text[max(0, one.start - 4) : one.start].lower() not in ("non-", "non ")]
        taken = bytearray(len(text))
        kept: list[Mention] = []
        for one in sorted(found, key=lambda one: (one.start - one.end, one.start)):
            if not any(taken[one.start : one.end]):
                taken[one.start : one.end] = b"\1" * (one.end - one.start)
                kept.append(one)
        return sorted(kept, key=lambda one: one.start)

    def _in_other_forms(self, text: str) -> list[Mention]:
        found = []
        for clause in re.finditer(r"(?:(?!\b(?:and|or)\b)[^.,;:!?()\n])+", text, re.IGNORECASE):
            tokens = [
                (match.start() + clause.start(), match.end() + clause.start(), match[0].lower())
                for match in re.finditer(r"[^\W_]+", clause[0])
            ]
            for first in range(len(tokens)):
                two = [word for _, _, word in tokens[first : first + 2]]
                if two[0] in PASSED_OVER or two == ["absence", "of"]:
                    continue
                stems: set[str] = set()
                for _, end, word in tokens[first : first + LONGEST]:
                    if word in PASSED_OVER or stem(word) in stems:
                        continue
                    stems.add(stem(word))
                    hpo_id = self._id_by_stems.get(frozenset(stems))
                    if hpo_id and (len(stems) > 1 or self._is_finding(word)):
                        found.append(Mention(tokens[first][0], end, hpo_id))
        return found

    def _is_finding(self, word: str) -> bool:
        return len(word) >= LONG and (word in self._alone or word.endswith(ADJECTIVE))


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def stem(word: str) -> str:
    """A word without its ending; words that mean the same have one stem. British digraphs are American."""
    word = WORDS_ALIKE.get(word, word)
    word = word.replace("aem", "em").replace("oe", "e").replace("haem", "hem").replace("ae", "e")
    shorter = ENDINGS.sub("", word)
    shorter = ENDINGS.sub("", shorter) if len(shorter) > 6 else shorter
    return shorter if len(shorter) >= SHORTEST else word
