"""Identifiers of persons found in clinical notes and replaced, medicine left alone.

Rules, lists and a small spaCy model propose (:mod:`osler.preparation.deidentification.recognizers`); what looks like a disease, a drug or an
ordinary word is dropped (:mod:`osler.preparation.deidentification.protected_terms`); the rest is replaced (:mod:`osler.preparation.deidentification.surrogates`). What was measured, and
what is missed, stands in docs/decisions.md: no rule set finds everything, so what comes out is not anonymous by itself.
"""

# ruff: noqa: E501
from __future__ import annotations

import multiprocessing
import re
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from multiprocessing.pool import AsyncResult
from typing import TypedDict

from osler.errors import InputError
from osler.preparation.deidentification import surrogates
from osler.preparation.deidentification.identifiers import (
    CERTAIN,
    FULL_NAME,
    GENERIC,
    LIKELY,
    POSSIBLE,
    STOP,
    SURNAME,
    Identifier,
)
from osler.preparation.deidentification.protected_terms import ProtectedTerms, Span
from osler.preparation.deidentification.surrogates import Surrogates

BATCH = 64  # texts; what one process is given at once
MIN_KEY = 16  # characters
FREQUENT = 5000  # surnames, which make a name of a given name and an ordinary word: Emily Brown
_FULL_NAME, _SURNAME = re.compile(FULL_NAME), re.compile(SURNAME)
_STOP = re.compile(rf"(?:{STOP})\b", re.I)
_LETTERS = re.compile(r"[^\W\d_]+")
_PREPOSITION = re.compile(r"\b(?:in|from|near|at|to|of|outside|around)\s(?:the\s)?$", re.I)
_HEAD_NOUN = re.compile(r"(?i)\b(?:hospital|infirmary|clinic|"
    r"cent(?:er|re)|surgery|hospice|home|trust|university|college|school|pharmacy"
                        r"|practice|institute|health|medical|foundation|memorial)\b")  # fmt: skip


class AuditRow(TypedDict):
    """What was replaced where in the original text. It holds neither the identifier nor anything made from it."""

    case_id: str
    start: int
    end: int
    type: str
    rule: str


class Deidentifier:
    """Finds and replaces identifiers. ``key`` decides how far the dates of each patient move: keep it secret, and keep it
    where notes of the same patients will follow. Building one takes seconds.

    Raises :class:`InputError` where the extra ``deid`` is not installed, or the key is shorter than 16 characters.
    """

    def __init__(self, key: str, protected: ProtectedTerms) -> None:
        if len(key) < MIN_KEY:
            raise InputError(
                f"a key of {len(key)} characters: who guesses it can undo the shift of dates; use {MIN_KEY} or more"
            )
        try:
            from osler.preparation.deidentification import recognizers
        except ImportError as error:
            raise InputError(
                f"de-identification needs the extra `deid` ({error.name} is not installed): pip install 'osler[deid]'"
            ) from None
        self._recognizers = recognizers
        self._engine, self._english = recognizers.analyzer()
        self._surnames = recognizers.surnames(FREQUENT)
        self._given, self._regions = recognizers.given_names(), recognizers.regions()
        self._protected = protected
        self._surrogates = Surrogates(key)

    def find(self, text: str) -> list[Identifier]:
        """The identifiers in ``text``, in order, none overlapping another."""
        return next(self.find_all([text]))

    def find_all(self, texts: Iterable[str], processes: int = 1) -> Iterator[list[Identifier]]:
        """:meth:`find` for many texts, in their order; only some batches of them are in memory at a time."""
        texts = iter(texts)
        batches = iter(lambda: list(islice(texts, BATCH)), [])
        if processes == 1:
            for batch in batches:
                yield from self._batch(batch)
            return
        global _inherited
        _inherited = self  # forked, so that the terms and the model are loaded once and their memory is shared
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            waiting: deque[AsyncResult[list[list[Identifier]]]] = deque()
            for batch in batches:
                waiting.append(pool.apply_async(_inherited_batch, (batch,)))
                if len(waiting) > 2 * processes:
                    yield from waiting.popleft().get()
            while waiting:
                yield from waiting.popleft().get()

    def replace(self, text: str, patient: str) -> tuple[str, list[Identifier]]:
        """``text`` with surrogates, and what was replaced, by its place in the original.

        ``patient`` is whose note it is: surrogates and the shift of dates are the same in all notes of one.
        """
        identifiers = self.find(text)
        return self._replaced(text, patient, identifiers), identifiers

    def replace_all(
        self, rows: Iterable[tuple[str, str, str]], processes: int = 1
    ) -> Iterator[tuple[str, str, list[AuditRow]]]:
        """(case id, text, patient) → (case id, text with surrogates, audit rows), in the same order, streaming."""
        read: deque[tuple[str, str, str]] = deque()

        def texts() -> Iterator[str]:
            for row in rows:
                read.append(row)
                yield row[1]

        for identifiers in self.find_all(texts(), processes):
            case_id, text, patient = read.popleft()
            yield (
                case_id,
                self._replaced(text, patient, identifiers),
                [AuditRow(case_id=case_id, start=i.start, end=i.end, type=i.type, rule=i.rule) for i in identifiers],
            )

    def _replaced(self, text: str, patient: str, identifiers: list[Identifier]) -> str:
        dates = [text[i.start : i.end] for i in identifiers if i.type == "DATE"]
        british = any(i.rule in ("nhs", "NhsRecognizer", "postcode uk", "phone uk") for i in identifiers)
        day_first = surrogates.day_first(dates, british)
        shift, today = self._surrogates.shift(patient), date.today()
        pieces, end = [], 0
        for identifier in identifiers:
            original = text[identifier.start : identifier.end]
            new = (
                self._surrogates.of(patient, identifier.type, original)
                if identifier.type not in ("DATE", "AGE")
                else "90+"
            )
            if identifier.type == "DATE":
                new = surrogates.shifted(original, shift, day_first, today) or "[DATE]"
            pieces += [text[end : identifier.start], new]
            end = identifier.end
        return "".join([*pieces, text[end:]])

    def _batch(self, texts: list[str]) -> list[list[Identifier]]:
        return [self._judged(text, found) for text, found in self._recognizers.found(self._engine, texts, BATCH)]

    def _judged(self, text: str, candidates: list[Identifier]) -> list[Identifier]:
        """The candidates that stand, the surest and then the longest first, and later mentions of the names in them."""
        protected = self._protected.spans(text)
        kept: list[Identifier] = []
        trimmed = (self._trimmed(text, candidate) for candidate in candidates)
        for candidate in sorted(trimmed, key=lambda c: (-c.score, c.start - c.end, c.start)):
            if self._stands(text, candidate, protected):
                _insert(kept, candidate)
        for mention in self._mentions(text, kept, protected):
            _insert(kept, mention)
        return sorted(kept, key=lambda identifier: identifier.start)

    def _trimmed(self, text: str, candidate: Identifier) -> Identifier:
        """A name without what spaCy takes with it: the next line, a possessive s, a title."""
        if candidate.type not in ("NAME", "PLACE", "ORGANIZATION"):
            return candidate
        if candidate.rule == "SpacyRecognizer" and candidate.type == "NAME":
            name = _FULL_NAME.search(text, candidate.start, candidate.end)
            span = name.span() if name else (candidate.start, candidate.start)
            return Identifier(*span, candidate.type, candidate.rule, candidate.score)
        start, found = candidate.start, text[candidate.start : candidate.end].split("\n")[0].rstrip(" ,.:;-(")
        found = re.sub(r"['’]s$", "", found) if candidate.type != "ORGANIZATION" else found
        title = re.match(
            r"(?i)(?:(?:re|dear|hi|hello|dr|mr|mrs|ms|miss|prof|professor|nurse|sister)\b[.:]?\s+)+", found
        )
        skip = title.end() if title else 0
        return Identifier(start + skip, start + len(found), candidate.type, candidate.rule, candidate.score)

    def _stands(self, text: str, candidate: Identifier, protected: list[Span]) -> bool:
        found = text[candidate.start : candidate.end]
        if not found.strip():
            return False
        if candidate.type == "DATE":
            return surrogates.is_date(found)
        if candidate.score >= CERTAIN:
            return True
        if any(start < candidate.end and candidate.start < end for start, end in protected) and candidate.type in (
            "NAME",
            "PLACE",
            "ORGANIZATION",
        ):
            return False
        judge = {"NAME": self._is_name, "PLACE": self._is_place, "ORGANIZATION": self._is_organization}.get(
            candidate.type
        )
        return judge is None or judge(text, candidate, found)

    def _ordinary(self, word: str) -> bool:
        """Whether it is a word of the terminologies or of English, inflected or not."""
        word = word.lower()
        stems = [word, word.removesuffix("s")]
        if len(word) > 6:  # Sayed does not come from say
            stems += [word.removesuffix("ed"), word.removesuffix("d"), word.removesuffix("ing"), word[:-3] + "e"]
        return self._protected.ordinary(word) or any(stem in self._english for stem in stems)

    def _is_name(self, text: str, candidate: Identifier, found: str) -> bool:
        words = [word for word in _LETTERS.findall(found) if len(word) > 1]
        if not words or found.lower() in self._regions:
            return False
        given = [word for word in words if self._recognizers.plain(word) in self._given]
        foreign = [word for word in words if not self._ordinary(word) and not self._protected.eponym(word)]
        if candidate.rule == "initials":
            known = words[-1].lower() in self._surnames or len(words) > 1
            return known or not self._protected.ordinary(words[-1])
        if candidate.score >= LIKELY:
            return len(words) == 1 or bool(given or foreign)
        if candidate.rule in ("name cue", "name beside number", "name above address", "second subject", "subject"):
            return bool(given or foreign)
        if candidate.rule in ("title lower", "who speaks", "sentence subject"):
            return bool(foreign)
        if candidate.rule == "given name":
            first = words[0]
            if re.search(r" [A-Z]\. ", found):
                return True
            if len(words) == 1:
                return not self._ordinary(first) and not self._protected.eponym(first)
            if self._ordinary(words[1]):
                return not self._ordinary(first) and words[1].lower() in self._surnames
            return not (self._ordinary(first) and self._protected.eponym(words[1]))
        # spaCy's: it takes abbreviations and headings for persons.
        return bool(foreign) and not all(word.isupper() and len(word) < 6 for word in words) and found[0].isupper()

    def _is_place(self, text: str, candidate: Identifier, found: str) -> bool:
        if found.lower() in self._regions or not found[0].isupper():
            return False
        if candidate.rule == "place name":
            return not _STOP.match(found)
        words = _LETTERS.findall(found)
        foreign = [word for word in words if not self._ordinary(word) and not self._protected.eponym(word)]
        told = _PREPOSITION.search(text, max(0, candidate.start - 14), candidate.start)
        return bool(foreign and told) and not all(word.isupper() for word in words)

    def _is_organization(self, text: str, candidate: Identifier, found: str) -> bool:
        words = [word.lower() for word in _LETTERS.findall(found.replace("'", "").replace("’", ""))]
        if candidate.rule == "SpacyRecognizer":
            told = _HEAD_NOUN.search(found) or _PREPOSITION.search(text, max(0, candidate.start - 14), candidate.start)
            capitals = all(word.isupper() for word in _LETTERS.findall(found))
            return (
                bool(told)
                and not capitals
                and any(not self._ordinary(w) and not self._protected.eponym(w) and w not in GENERIC for w in words)
            )
        if candidate.score <= POSSIBLE:  # the Parkinson Clinic is a department, Mayo Clinic is not
            of_eponym = not re.search(r"(?i)\b(?:the|a|our|this) $", text[: candidate.start])
            foreign = [w for w in words if w not in GENERIC and not self._ordinary(w)]
            return any(of_eponym or not self._protected.eponym(w) for w in foreign)
        return any(word not in GENERIC for word in words) or "st" in words

    def _mentions(self, text: str, kept: list[Identifier], protected: list[Span]) -> Iterator[Identifier]:
        """Other places where a word of a name stands: a patient is Jane Smith once, and Smith from then on."""
        words: set[str] = set()
        for identifier in kept:
            if identifier.type == "NAME":
                parts = _SURNAME.findall(text[identifier.start : identifier.end])
                sure = identifier.score >= LIKELY or len(parts) > 1
                words |= {part for part in parts if len(part) > 2 and (sure or not self._ordinary(part))}
        forms = {form for word in words for form in (word, word.upper(), word.title() if word.isupper() else word)}
        if not forms:
            return
        for match in re.finditer(
            rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})(?!\w)", text
        ):
            if not any(start < match.end() and match.start() < end for start, end in protected):
                yield Identifier(*match.span(), "NAME", "mention", POSSIBLE)


def _insert(kept: list[Identifier], new: Identifier) -> None:
    """Add ``new``, or join it with what it overlaps where that is of its type; leave it out where it is not."""
    overlapping = [other for other in kept if other.start < new.end and new.start < other.end]
    # spaCy's borders are the least sure: what a rule found stays as it is.
    if any(
        other.type != new.type or (new.rule == "SpacyRecognizer" and other.score >= LIKELY) for other in overlapping
    ):
        return
    for other in overlapping:
        kept.remove(other)
    whole = [*overlapping, new]
    kept.append(
        Identifier(min(i.start for i in whole), max(i.end for i in whole), new.type, whole[0].rule, whole[0].score)
    )


_inherited: Deidentifier


def _inherited_batch(texts: list[str]) -> list[list[Identifier]]:
    return _inherited._batch(texts)
