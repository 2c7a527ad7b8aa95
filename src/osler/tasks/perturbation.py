"""Held-out cases changed on purpose, to see whether the answer changes with them.

============  ========================================  ==================================================
name          of a patient, a list of findings          of a text, a list of sentences
============  ========================================  ==================================================
typos         as of a text, in the description          keys beside the right one, swapped or missed
dropped       findings left out, one stays              sentences left out, one stays
reordered     findings told in another order            sentences in another order
irrelevant    findings added that the disease lacks     sentences added that say nothing about health
negated       present findings told as absent, and back  what a sentence affirms is denied, and back
sex_swap      the other sex                             words for the patient's sex exchanged
age_swap      a child grown up, an adult made a child   ages, and words for them, exchanged
paraphrased   findings told in another wording          (no synonyms to do it with)
============  ========================================  ==================================================

The strength, in (0, 1], is the share of words, findings or sentences changed, of those that can be, and one at least;
what is changed at one strength is changed at a greater one, too. The swaps are all or nothing, their strength is 1. The
label stays what it was, although a ``negated`` case may not deserve it any more: a model that never changes its answer
there does not read negations.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from osler.errors import InputError
from osler.patients import ONSET_PHRASES, Patient, indefinite_article

T = TypeVar("T")

TEXT_PERTURBATIONS: tuple[str, ...] = ("typos", "dropped", "reordered", "irrelevant", "negated", "sex_swap", "age_swap")
SWAPS = ("sex_swap", "age_swap")
PATIENT_PERTURBATIONS: tuple[str, ...] = (*TEXT_PERTURBATIONS, "paraphrased")
ADULT_AGE = 18
CHILD_YEARS, ADULT_YEARS = (3, 12), (30, 70)  # from and to: the new age of somebody who was in the other group


@dataclass(frozen=True)
class Perturbation:
    """What is done to a case, and how much of it. Raises :class:`InputError` for a strength that is out of range."""

    name: str
    strength: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise InputError(f"strength {self.strength} of {self.name}: expected a share above 0 and not above 1")
        if self.name in SWAPS and self.strength != 1:
            raise InputError(f"strength {self.strength} of {self.name}: a swap is all or nothing, its strength is 1")

    @property
    def folder(self) -> str:
        """The name of the folder that a run keeps the answers to perturbed cases in."""
        return f"{self.name}-{self.strength:g}"

    def check(self, names: Sequence[str]) -> None:
        """Raise :class:`InputError` unless ``names`` has the name."""
        if self.name not in names:
            raise InputError(f"no perturbation {self.name!r} of this task's cases; there are {', '.join(names)}")

    def patient(self, patient: Patient, irrelevant: Iterable[str]) -> Patient:
        """The patient with other findings, sex or age; as it was where nothing can be changed, or only words are.

        ``irrelevant`` are the HPO ids to add, the first of them are taken.
        """
        rng = self._rng(patient.case_id)
        if self.name in ("dropped", "reordered", "irrelevant"):
            return replace(patient, present=tuple(self._items(patient.present, irrelevant, rng)))
        if self.name == "negated":
            return negated(patient, self.strength, rng)
        if self.name == "sex_swap" and patient.sex:
            return replace(patient, sex="male" if patient.sex == "female" else "female")
        # A child of eight whose symptoms began in middle age is nobody: who tells an onset keeps the age.
        if self.name == "age_swap" and patient.age is not None and patient.onset not in ONSET_PHRASES:
            return replace(patient, age=float(rng.randint(*_other_years(patient.age >= ADULT_AGE))))
        return patient

    def words(self, case_id: str, words: Mapping[str, str], others: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """``words`` (HPO id → wording), where the name is ``paraphrased`` with one of ``others`` for some of them."""
        if self.name != "paraphrased":
            return dict(words)
        rng = self._rng(case_id)
        can = [hpo_id for hpo_id in words if others[hpo_id]]
        return {**words, **{i: rng.choice(others[i]) for i in share_of(can, self.strength, rng)}}

    def text(self, case_id: str, text: str, label: str) -> str:
        """The text, changed; as it was where nothing can be. Typos spare the ``label`` where it stands in the text."""
        rng = self._rng(case_id)
        if self.name in ("dropped", "reordered", "irrelevant"):
            irrelevant = random.Random(rng.random()).sample(IRRELEVANT, len(IRRELEVANT))
            return " ".join(self._items(split_sentences(text), irrelevant, rng))
        if self.name == "typos":
            return mistyped(text, label, self.strength, rng)
        if self.name == "negated":
            sentences = split_sentences(text)
            for position in share_of([n for n, s in enumerate(sentences) if flip(s) != s], self.strength, rng):
                sentences[position] = flip(sentences[position])
            return " ".join(sentences)
        if self.name == "sex_swap":
            return swap_sex(text)
        return swap_age(text, rng) if self.name == "age_swap" else text

    def _rng(self, case_id: str) -> random.Random:
        """Of one case: the same whatever other cases there are, and at every strength."""
        return random.Random(f"{self.name}/{self.seed}/{case_id}")

    def _items(self, items: Sequence[T], irrelevant: Iterable[T], rng: random.Random) -> list[T]:
        """Findings or sentences: without some, with some in another place, or with some more."""
        chosen = share_of(range(len(items)), self.strength, rng)
        if self.name == "dropped":
            gone = set(chosen[: len(items) - 1])
            return [item for position, item in enumerate(items) if position not in gone]
        result = list(items)
        if self.name == "reordered":
            if len(chosen) == 1 < len(items):
                chosen += [(chosen[0] + 1) % len(items)]
            for position, other in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):  # each to the next one's place
                result[position] = items[other]
        else:
            for item in islice(irrelevant, len(chosen)):
                result.insert(rng.randint(0, len(result)), item)
        return result


def share_of(items: Sequence[T], strength: float, rng: random.Random) -> list[T]:
    """``strength`` of ``items``, one at least, at random: a smaller share is the beginning of a larger one."""
    return rng.sample(items, len(items))[: max(1, round(strength * len(items)))]


def _other_years(adult: bool) -> tuple[int, int]:
    return CHILD_YEARS if adult else ADULT_YEARS


def negated(patient: Patient, strength: float, rng: random.Random) -> Patient:
    """The patient with ``strength`` of the findings present made absent or the other way round; one stays present."""
    flipped = share_of([*patient.present, *patient.absent], strength, rng)
    if set(flipped) == set(patient.present):
        flipped = flipped[:-1]
    present = [i for i in patient.present if i not in flipped] + [i for i in patient.absent if i in flipped]
    absent = [i for i in patient.absent if i not in flipped] + [i for i in patient.present if i in flipped]
    return replace(patient, present=tuple(present), absent=tuple(absent))


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

IRRELEVANT = (
    "The waiting room was full.",
    "It was raining on the way here.",
    "The bus was late today.",
    "The appointment was made by telephone.",
    "The neighbours have a new dog.",
    "Last weekend there was a football match on television.",
    "The kitchen is being painted.",
    "The next holiday is booked already.",
)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bvs\.)\s+")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space between them."""
    return _SENTENCE_END.split(text)


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {  # a key's neighbours in its row, and those it touches above and below
    key: "".join(
        _ROWS[r][c]
        for r, c in ((row, at - 1), (row, at + 1), (row - 1, at), (row - 1, at + 1), (row + 1, at - 1), (row + 1, at))
        if 0 <= r < len(_ROWS) and 0 <= c < len(_ROWS[r])
    )
    for row, keys in enumerate(_ROWS)
    for at, key in enumerate(keys)
}


def mistyped(text: str, label: str, strength: float, rng: random.Random) -> str:
    """One typo in each of ``strength`` of the words of four letters or more; first and last letter stay."""
    label_or_word = rf"(?<!\w)(?P<label>{re.escape(label)})(?!\w)|[^\W\d_]{{4,}}"
    words = [match for match in re.finditer(label_or_word, text, re.IGNORECASE) if match["label"] is None]
    typos = {match.span(): _mistype(match[0], rng) for match in share_of(words, strength, rng)}
    for (start, end), typo in sorted(typos.items(), reverse=True):
        text = text[:start] + typo + text[end:]
    return text


def _mistype(word: str, rng: random.Random) -> str:
    kind, at = rng.choice(("beside", "swapped", "missed")), rng.randint(1, len(word) - 2)
    letter, following = word[at], word[at + 1]
    if kind == "beside" and letter in _BESIDE:
        return word[:at] + rng.choice(_BESIDE[letter]) + word[at + 1 :]
    if kind == "swapped" and letter != following and at + 2 < len(word):
        return word[:at] + following + letter + word[at + 2 :]
    return word[:at] + word[at + 1 :]


def _rules(*rules: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern, re.IGNORECASE), other) for pattern, other in rules]


_NEGATIONS = _rules(  # pattern, what it says when affirmed
    (r"\bcan(?:'t|not)\b", "can"),
    (r"\bwon't\b", "will"),
    (r"(?<=[a-z])n't\b", ""),
    (r"\s(?:not|never)\b", ""),
    (r"\bno\s(?!longer\b)", ""),
    (r"\bwithout\b", "with"),
    (r"\bdenies\b", "reports"),
    (r"\bdenied\b", "reported"),
    (r"\bnegative for\b", "positive for"),
)
_VERBS = "ache|experience|feel|get|hurt|itch|look|need|notice|report|see|show|suffer|swell|taste"
_PARTICIPLE = r"(?=\s(?:\w+ly\s|also\s|just\s)?(?:been|become|felt|got|gotten|had|lost|noticed|seen|started|tried)\b)"
_AFFIRMATIONS = _rules(  # the one that begins first is denied
    (r"\b(there (?:is|are|was|were))(?: an?| some)?\b", r"\1 no"),
    (r"'m\b", " am not"),
    (r"'ve\b", " have not"),
    (rf"(?<=\bit)'s\b{_PARTICIPLE}", " has not"),
    (r"(?<=\bit)'s\b", " is not"),
    (r"\b(am|is|are|was|were|can|could|will|would)\b", r"\1 not"),
    (rf"\b(have|has|had)\b{_PARTICIPLE}", r"\1 not"),
    (r"\bhave\b", "do not have"),
    (r"\bhas\b", "does not have"),
    (r"\bhad\b", "did not have"),
    (r"\bwith\b", "without"),
    (rf"\b({_VERBS})\b", r"do not \1"),
    (rf"\b({_VERBS})e?s\b", r"does not \1"),
)


def flip(sentence: str) -> str:
    """A sentence without its negations or, where it has none, with one; as it is where it asks, or no rule fits."""
    if sentence.endswith("?"):
        return sentence
    affirmed = sentence
    for pattern, positive in _NEGATIONS:
        affirmed = pattern.sub(positive, affirmed)
    if affirmed != sentence:
        return affirmed[:1].upper() + affirmed[1:] if sentence[:1].isupper() else affirmed
    searches = [(pattern.search(sentence), negative) for pattern, negative in _AFFIRMATIONS]
    matches = [(match, negative) for match, negative in searches if match]
    if not matches:
        return sentence
    # Of two at one place, the more special comes first.
    match, negative = min(matches, key=lambda pair: pair[0].start())
    return sentence[: match.start()] + match.expand(negative) + sentence[match.end() :]


_OTHER_SEX = {
    **{"man": "woman", "boy": "girl", "male": "female", "gentleman": "lady", "he": "she", "himself": "herself"},
    **{"woman": "man", "girl": "boy", "female": "male", "lady": "gentleman", "she": "he", "herself": "himself"},
    **{"his": "her", "him": "her", "hers": "his", "her": "his", "mr": "ms", "ms": "mr", "mrs": "mr"},
}
# Where a text names one of these, the other sex cannot have it.
_OF_ONE_SEX = re.compile(
    r"\b(pregnan|menstr|menopaus|uter(us|ine)|ovar|vagin|cervix|prostat|testic|testes|scrot|penis|penile|erectile)",
    re.IGNORECASE,
)
# "her" before one of these, or before no word, is "him".
_OBJECT = r"(?!\s\w)|(?=\s(?:a|about|after|an|and|as|at|because|before|by|for|from|in|into|on|or|the|to|when|with)\b)"


_SEXED = re.compile(rf"\b(?:(?P<object>her)\b(?:{_OBJECT})|(?:{'|'.join(_OTHER_SEX)})\b)", re.IGNORECASE)


def swap_sex(text: str) -> str:
    """The text with the words for a sex exchanged; as it is where it names what only one sex can have.

    Relatives keep their sex: a patient's mother says nothing about the patient.
    """
    if _OF_ONE_SEX.search(text):
        return text

    def other(match: re.Match[str]) -> str:
        word = match[0]
        # MS and MRS are a disease and a method, the bundle of His is named after a man.
        if word.isupper() or (word == "His" and text[: match.start()].endswith("of ")):
            return word
        return _cased("him" if match["object"] else _OTHER_SEX[word.lower()], word)

    return _SEXED.sub(other, text)


_GROWN_UP = {"boy": "man", "girl": "woman", "newborn boy": "man", "newborn girl": "woman"}
_GROWN_UP |= dict.fromkeys(("child", "baby", "infant", "newborn", "toddler"), "adult")
_YOUNG_AGAIN = {"man": "boy", "gentleman": "boy", "woman": "girl", "lady": "girl", "adult": "child"}
_AGE = re.compile(
    r"\b(?:(?P<article>an?)\s)?(?P<number>\d{1,3})(?P<gap>[- ])(?P<unit>year|month|week|day)s?[- ]old\b"
    r"|\baged?\s(?P<years>\d{1,3})\b(?!\s(?:month|week|day))",
    re.IGNORECASE,
)


_OF_AN_AGE = re.compile(rf"\b(?:(an?)\s)?({'|'.join((*_GROWN_UP, *_YOUNG_AGAIN))})\b", re.IGNORECASE)


def swap_age(text: str, rng: random.Random) -> str:
    """The text with a child's ages, and words for them, made an adult's or an adult's made a child's.

    Who the patient is, the first age or word for it says; those of the other group are somebody else's and stay.
    """
    first = min((m for m in (_AGE.search(text), _OF_AN_AGE.search(text)) if m), key=re.Match.start, default=None)
    if first is None:
        return text
    adult = _is_adult(first) if first.re is _AGE else first[2].lower() in _YOUNG_AGAIN
    years = rng.randint(*_other_years(adult))

    def age(match: re.Match[str]) -> str:
        if _is_adult(match) != adult:
            return match[0]
        if match["years"]:
            return match[0].replace(match["years"], str(years))
        worded = f"{years}-year-old" if match["gap"] == "-" else f"{years} years old"
        return f"{_cased(indefinite_article(years).lower(), match['article'])} {worded}" if match["article"] else worded

    def noun(match: re.Match[str]) -> str:
        other = (_YOUNG_AGAIN if adult else _GROWN_UP).get(match[2].lower())
        if other is None:
            return match[0]
        if match[1]:
            return f"{_cased('an' if other[0] in 'aeiou' else 'a', match[1])} {other}"
        return _cased(other, match[2])

    return _OF_AN_AGE.sub(noun, _AGE.sub(age, text))


def _is_adult(age: re.Match[str]) -> bool:
    return int(age["years"] or age["number"]) >= ADULT_AGE and (age["unit"] or "year").lower() == "year"


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[0].isupper() else word
