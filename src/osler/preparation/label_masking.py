"""Find the names of a task's labels in texts, so that no text names its answer.

What is masked must not depend on the answer: a mask that stands only in rows of its own label would be the answer. So
every label of the task is masked in every row.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache

MASK = "[diagnosis]"

# Words that are no diagnosis. Symptoms and signs are those of ICD-10-CM (R00 to R69) that notes use, in American
# spelling. Texts of any label contain them: "back pain", "no fever".
SYMPTOMS = (
    "amnesia anorexia anosmia aphasia apnea ascites asthenia ataxia bloating bradycardia bruit cachexia chills"
    " colic coma confusion convulsion cough cyanosis diarrhea disorientation dizziness drowsiness dyspepsia"
    " dysphagia dysphasia dysphonia dyspnea dysuria edema enuresis epistaxis fainting fall fatigue fever fit"
    " flatulence flushing frailty hallucination headache heartburn hematuria hemoptysis hemorrhage hepatomegaly"
    " hiccough hoarseness hyperventilation hypoxemia illness jaundice lethargy lymphadenopathy malaise nausea"
    " nervousness nocturia nosebleed orthopnea pain pallor palpitation paresthesia petechiae polydipsia polyphagia"
    " polyuria pyrexia rales rash seizure shock sneezing snoring somnolence splenomegaly stridor stupor sweating"
    " swelling syncope tachycardia tachypnea tiredness tremor twitching underweight unconsciousness vertigo"
    " vomiting weakness wheezing"
)
ANSWERS = (
    "abnormal absent acute alive benign better case chronic control dead died disease disorder false female finding"
    " healthy high ill left low male malignant mild moderate negative no none normal not other patient positive present"
    " right severe sick stable true unclear uncertain unknown unspecified unsure well worse yes"
)
# A number or a letter after them is no name either: grade 3, class B, type II.
RANKS = "category class cluster code grade group label level risk score stage subtype type"
# In capitals they are abbreviations (AS, ALL), which are found in capitals only.
FUNCTION_WORDS = (
    "a all an and any are as at be by can do for from had has he her him his i if in is it me my nor of off on or our"
    " out she so than that the this to up us was we who with without you"
)
_COMMON = frozenset(f"{SYMPTOMS} {ANSWERS} {RANKS}".split())
_FUNCTION_WORDS = frozenset(FUNCTION_WORDS.split())
_ROMAN = re.compile("[ivx]+")
MAX_ABBREVIATION = 3  # letters; longer words in capitals are also written in small letters

# Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean: words have no spaces between them, or endings.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

# As ICD-10 (J45.9, I21), MeSH (D001249) and UMLS (C0004096) write codes. Vitamin B12, p53 and vertebra T12 are none.
_LETTERED_CODE = r"(?!(?:b12|p53|t1[0-2])(?![^\W_]))[a-z]\d[\dab](?:\.[\da-z]{1,4}|_?\d[\da-z]{0,4})?"
_SIGN = r"\s{0,3}[-\u2013\u2014:|.)\]]{1,3}\s"
# A code before the name. A short number (1 - Asthma) or an ICD-11 code needs a sign: "21-hydroxylase" is a name.
_CODE_BEFORE = re.compile(
    rf"[\[(]?(?:icd[\w-]{{0,12}}[\s:]{{1,3}}|[a-z]{{2,12}}:\s?)?(?:{_LETTERED_CODE}[\W_]+|\d{{3,18}}(?:\.\d{{1,3}})?\W{{0,3}}[\s_]"
    rf"|\d{{1,18}}(?:\.\d{{1,3}})?(?:_|{_SIGN})|[\da-z][a-z]\d[\da-z](?:\.[\da-z]{{1,3}})?{_SIGN})[\W_]*",
    re.IGNORECASE,
)
_CODE_BEHIND = re.compile(rf"(?:[,:;|]\s?|\s[-\u2013\u2014]\s)(?:{_LETTERED_CODE}|\d{{6,18}})$", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
# HeartAttack, HIVInfection.
_CAMEL = re.compile("(?<=[a-z])(?=[A-Z][a-z]{2})|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})")


class LabelNames:
    """The names of a task's labels, found in texts in any case, with spaces, hyphens or underscores between words, and
    in the plural. A code before the name or in brackets behind it (J45.9 Asthma, Asthma (J45.9)) is no part of it.

    Numbers, single letters and signs are no names: a text holds them for other reasons.

    Args:
        labels: all labels of the task.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        # The longest first: "type 1 diabetes" is no "diabetes" with words before it.
        self._names = sorted(filter(_has_name, labels), key=lambda label: (-len(_name(label)), label))
        self._by_word: defaultdict[str, list[int]] = defaultdict(list)
        self._anywhere: list[int] = []
        for number, label in enumerate(self._names):
            if _UNSPACED.search(label):
                self._anywhere.append(number)
            else:
                first = _WORD.findall(_name(label))[0]
                for word in {first.lower(), _CAMEL.split(first)[0].lower()}:
                    self._by_word[word].append(number)

    def mask(self, text: str, keep_common: bool) -> str:
        """``text`` with :data:`MASK` in place of each name; with ``keep_common`` common words are left."""
        # Nearly all labels are found out here, so thousands of them cost no more than a few.
        numbers = {number for word in _singulars(text) for number in self._by_word.get(word, ())}
        for number in sorted(numbers.union(self._anywhere)):
            label = self._names[number]
            if not (keep_common and is_common(label)):
                text = _pattern(label).sub(MASK, text)
        return text


def names_label(label: str, text: str) -> bool:
    """Whether ``text`` contains the name of ``label``."""
    return _has_name(label) and _pattern(label).search(text) is not None


def holds_words(label: str, text: str) -> bool:
    """Whether a sentence of ``text`` holds all words of the name of ``label``, in any order, outside of masks.

    Function words need not be there, nor long numbers and what mixes letters and digits: they may be codes.
    """
    wanted = _telling_words(label)
    if not wanted or not _all_in(wanted, text):
        return False
    return any(_all_in(wanted, sentence) for sentence in re.split(r"[.;!?\n]", text.replace(MASK, " ; ")))


def _all_in(wanted: Iterable[str], text: str) -> bool:
    there = {*_WORD.findall(text), *_singulars(text)}
    return all(word in there or (len(word) > MAX_ABBREVIATION and word.removesuffix("s") in there) for word in wanted)


@cache
def _telling_words(label: str) -> frozenset[str]:
    words = _CAMEL.sub(" ", _name(label))
    return (
        frozenset(
            word if _is_abbreviation(word) and len(word) > 1 else word.lower()
            for word in _WORD.findall(words)
            if (word.isalpha() or len(word) == 1) and (word.lower() not in _FUNCTION_WORDS or len(word) == 1)
        )
        if _has_name(label)
        else frozenset()
    )


@cache
def is_common(label: str) -> bool:
    """Whether ``label``, apart from a code in brackets, consists of common words: British or American, also plural."""
    return all(map(_is_common, _WORD.findall(_CAMEL.sub(" ", _name(label)))))


def _is_common(word: str) -> bool:
    small = word.lower()
    american = small.replace("ae", "e").replace("oe", "e")
    return (
        not _has_letters(word)
        or _ROMAN.fullmatch(small) is not None
        or not _COMMON.isdisjoint((small, american, american.removesuffix("s")))
        or (small in _FUNCTION_WORDS and not _is_abbreviation(word))
    )


@cache
def _name(label: str) -> str:
    """Without what texts seldom contain: a code before or behind it, and what is in brackets; words apart."""
    before = _CODE_BEFORE.match(label.strip())
    without = label.strip()[before.end() if before else 0 :]
    name = re.split(r"\s[(\[]", _CODE_BEHIND.sub("", without).replace("_", " "))[0].strip(" )]")
    return name if _has_letters(name) else label


def _has_name(label: str) -> bool:
    return _has_letters(_name(label))


def _has_letters(text: str) -> bool:
    """Whether two letters stand together in it."""
    return re.search(r"[^\W\d_]{2}", text) is not None


def _is_abbreviation(word: str) -> bool:
    return word.isupper() and len(word) <= MAX_ABBREVIATION


def _singulars(text: str) -> Iterator[str]:
    """The different words of ``text``, and those without their last s or es."""
    for word in set(_WORD.findall(text.lower())):
        yield word
        if word.endswith("s"):
            yield word[:-1]
        if word.endswith("es"):
            yield word[:-2]


@cache
def _pattern(label: str) -> re.Pattern[str]:
    name = _name(label)
    if _UNSPACED.search(name):
        return re.compile(re.escape(name), re.IGNORECASE)
    # A mark is a letter in some scripts, though no `\w`: such names are found as they are written.
    marked = any(unicodedata.category(character)[0] == "M" for character in name)
    words = name.split() if marked else _WORD.findall(name)
    # McArdle is one word in texts, and HeartAttack two.
    words = [r"[\W_]{0,3}".join(map(re.escape, _CAMEL.split(word))) for word in words]
    joined = r"[\W_]{1,3}".join(words)
    if _is_abbreviation(name):
        return re.compile(rf"(?<![^\W_]){joined}s?(?![^\W_])")
    return re.compile(rf"(?<![^\W_]){joined}(?:e?s)?(?![^\W_])", re.IGNORECASE)
