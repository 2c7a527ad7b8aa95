"""Protect words that look like names but are medicine: eponyms, tests, drugs, and the names of diseases.

De-identification must not turn Wilson disease into ``[NAME-1] disease``. Protected are the names and synonyms in HPO's
``hp.obo``, the disease names in ``phenotype.hpoa``, and the titles and inclusion terms of ICD-10-CM; capitalised words
before a clinical noun (``Glasgow Coma Scale``, ``Hickman line``); and capitalised words that are drugs by their stem
or because a dose follows. No PyPI package has a list of drugs under a free licence, so the stems are those of WHO's
International Nonproprietary Names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from osler.terminology import read_names, read_ontology

Span = tuple[int, int]

_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAPITALISED = r"[A-ZÀ-ÖØ-Þ][^\W\d_]+"
# Capitalised words before one of these name a discoverer, not a patient or a clinician.
CLINICAL_NOUNS = (
    "adenitis|anaemia|anemia|anomaly|aphasia|area|arteritis|assessment|ataxia|atrophy|bacillus|barb|bodies|body|cardiomyopathy"
    "|catheter|cells?|chart|chorea|classification|complex|contracture|corpuscles?|criteria|cuff|cyst|deformity|dementia|dise?ases?"
    "|disorder|drain|duct|dystrophy|effect|encephalopathy|enteritis|epilepsy|equation|esophagus|examination|fever|formula|fracture"
    "|frame|gait|ganglion|gland|grade|granulomatosis|hernia|ileitis|index|inhaler|inventory|jaundice|law|leukaemia|leukemia|line"
    "|lymphoma|manoeuvre|maneuver|method|monitor|muscle|murmur|myopathy|nephropathy|neuralgia|neuropathy|node|nodules?|oesophagus"
    "|palsy|paralysis|phenomenon|picture|point|procedure|psychosis|purpura|questionnaire|reaction|reflex|repair|response|retinopathy"
    "|rhythm|rings?|sarcoma|scale|scores?|screen|serology|sign|splint|stage|staging|stain|stones?|stroke|struma|swab|syndromes?"
    "|syndactyly|telangiectasia|test|thyroiditis|titres?|titers?|transform|tremor|triad|tube|tumou?r|ulcer|ultrasound|vaccine|valve"
    "|virus|wave|negative|positive"
)
_EPONYM = re.compile(
    rf"\b{_CAPITALISED}(?:(?:['’]s?)?[ –-](?:(?:de|la|von|van|den|der|and) ){{0,3}}{_CAPITALISED}){{0,4}}(?:['’]s?)?"
    rf"(?:[ -][a-z]+)?[ -](?i:{CLINICAL_NOUNS})\b"
)
_STEMS = (
    "adone|afil|alol|amide|asone|astine|atadine|azepam|azepine|azine|azole|azosin|bactam|barbital|caine|cillin|coxib|cycline|dipine|dronate"
    "|fenac|fibrate|floxacin|formin|gabalin|gatran|gliflozin|gliptin|glitazone|glutide|grel|imide|iramate|isone|lukast|mycin|nisolone|nitrate"
    "|olol|oxetine|parin|peridol|peridone|pezil|platin|prazole|profen|racetam|rubicin|sartan|semide|setron|statin|tansine|taxel|tecan"
    "|thiazide|thyroxine|tidine|tinib|tizumab|triptan|triptyline|tropium|tuximab|umab|vudine|xaban|ximab|ytoin|zepine|zolam|zolamide|zumab"
)
_DRUG = re.compile(
    rf"\b(?:[Cc]o-)?{_CAPITALISED}(?:-{_CAPITALISED})?(?=[ ](?:inhaler|tablets?|cream|patch|drops|MR|XR|XL|SR|CR)\b"
    rf"|[ ]\d+(?:[.,]\d+)?(?:/\d+)?\s?(?:mg|mcg|micrograms?|g|units?|iu|ml|%|puffs?)\b)"
    rf"|(?<=units of )[A-Z][a-z]+|\b[A-Z][a-z]{{2,}}(?:{_STEMS})\b"
)


class ProtectedTerms:
    """Names of diseases and findings.

    Args:
        phrases: the names. A word that is never in lower case, neither in them nor in ``prose``, is an eponym.
        prose: texts in which ordinary words are in lower case.
    """

    def __init__(self, phrases: Iterable[str], prose: Iterable[str] = ()) -> None:
        self._ordinary: set[str] = set()
        self._words: set[str] = set()
        # First word → the other words, longest first. Single words are not protected: Long is also a surname.
        phrases_by_word: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        for phrase in phrases:
            self._read(phrase)
            first, *others = _words(phrase) or [""]
            if others:
                phrases_by_word[first].add(tuple(others))
        for text in prose:
            self._read(text)
        self._phrases = {first: sorted(rest, key=len, reverse=True) for first, rest in phrases_by_word.items()}

    def _read(self, text: str) -> None:
        for word in _LETTERS.findall(text):
            self._words.add(word.lower())
            if word.islower():
                self._ordinary.add(word)

    def is_ordinary(self, word: str) -> bool:
        """Whether ``word``, in any case, is a word of the language."""
        return word.lower() in self._ordinary

    def is_eponym(self, word: str) -> bool:
        """Whether diseases or findings are named after ``word``, and it is not an ordinary word."""
        return word.lower() in self._words and word.lower() not in self._ordinary

    def spans(self, text: str) -> list[Span]:
        """The (start, end) of protected terms, which can overlap.

        Case, possessives and punctuation are ignored: ``Wilsons Disease`` is ``Wilson's disease``.
        """
        return [*(match.span() for match in _DRUG.finditer(text)), *self._phrase_spans(text)]

    def eponyms(self, text: str) -> list[Span]:
        """The (start, end) of capitalised words before a clinical noun, whoever they are named after."""
        return [match.span() for match in _EPONYM.finditer(text)]

    def _phrase_spans(self, text: str) -> Iterator[Span]:
        words = _words_with_spans(text)
        forms = [form for form, _, _ in words]
        for position, (form, start, _) in enumerate(words):
            for others in self._phrases.get(form, ()):
                end = position + 1 + len(others)
                if tuple(forms[position + 1 : end]) == others:
                    yield start, words[end - 1][2]
                    break


def load(ontology_path: Path, annotations_path: Path) -> ProtectedTerms:
    """Read the terms of ``hp.obo``, ``phenotype.hpoa`` and the installed ICD-10-CM; takes about ten seconds.

    Raises:
        InputError: one of the files is not HPO's.
    """
    findings = read_ontology(ontology_path).terms.values()
    names = read_names(annotations_path).values()

    def phrases() -> Iterator[str]:
        for term in findings:
            yield from (term.name, *term.wordings)
        for wordings in names:
            yield from wordings
        yield from _icd10cm()

    return ProtectedTerms(phrases(), (term.definition.partition("[")[0] for term in findings))


def _icd10cm() -> Iterator[str]:
    """Titles and inclusion terms of diseases, with and without their brackets."""
    import simple_icd_10_cm as icd  # two seconds

    for code in dict.fromkeys(icd.get_all_codes()):
        if code[0] in "ABCDEFGHIJKLMNOPQR" and not icd.is_extended_subcategory(code):
            for text in (icd.get_description(code), *icd.get_inclusion_term(code)):
                yield text
                yield re.sub(r" ?[([][^])[(]*[])]", "", text)
                yield from text.split(", unspecified")[:1]


def _words_with_spans(text: str) -> list[tuple[str, int, int]]:
    """The words in their normal form, with start and end; a possessive s belongs to the word before it."""
    words: list[tuple[str, int, int]] = []
    for match in _WORD.finditer(text):
        if match[0] in ("s", "S") and words and text[words[-1][2] : match.start()] in ("'", "’"):
            words[-1] = (*words[-1][:2], match.end())
        else:
            words.append((_normal(match[0]), *match.span()))
    return words


def _words(text: str) -> list[str]:
    return [form for form, _, _ in _words_with_spans(text)]


def _normal(word: str) -> str:
    """In lower case, without a plural or possessive s; both sides of a comparison are treated alike."""
    word = word.lower()
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word
