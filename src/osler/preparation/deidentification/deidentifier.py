"""Find and replace identifiers of persons in clinical notes, and leave medicine alone.

Rules, lists and a small spaCy model propose identifiers (:mod:`recognizers`). What looks like a disease, a drug or an
ordinary word is dropped (:mod:`protected_terms`), and the rest is replaced (:mod:`surrogates`).
``docs/decisions/preparation.md`` says how much is found and what is missed. No set of rules finds everything, so the
result is not anonymous by itself.
"""

from __future__ import annotations

import multiprocessing
import re
from bisect import bisect_left, bisect_right
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
from osler.preparation.deidentification.key_file import MIN_KEY_LENGTH
from osler.preparation.deidentification.protected_terms import ProtectedTerms, Span
from osler.preparation.deidentification.surrogates import Surrogates

BATCH = 64  # texts that a process gets at once
FREQUENT_SURNAMES = 5000  # with a given name, these are a name even if they are ordinary words: Emily Brown
_FULL_NAME, _SURNAME = re.compile(FULL_NAME), re.compile(SURNAME)
_STOP = re.compile(rf"(?:{STOP})\b", re.I)
# A tab or a no-break space between two words of a name is a space to the rules; no place moves.
_SPACES = dict.fromkeys(
    map(ord, "\t\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u202f\u205f\u3000\u200b\u200c\u200d\u2060\ufeff"), " "
)
_SPACES |= dict.fromkeys(range(0x2000, 0x200B), " ")
_LETTERS = re.compile(r"[^\W\d_]+")
_PREPOSITION = re.compile(r"\b(?:in|from|near|at|to|of|outside|around)\s(?:the\s)?$", re.I)
_ARTICLE = re.compile(r"\b(?:the|a|our|this) $", re.I)
_TITLES = re.compile(r"(?i)(?:(?:re|dear|hi|hello|dr|mr|mrs|ms|miss|prof|professor|nurse|sister)\b[.:]?\s+)+")
_INSTITUTION_NOUN = re.compile(
    r"(?i)\b(?:hospital|infirmary|clinic|cent(?:er|re)|surgery|hospice|home|trust|university|college|school|pharmacy"
    r"|practice|institute|health|medical|foundation|memorial)\b"
)


class AuditRow(TypedDict):
    """Where an identifier was in the original text. It holds neither the identifier nor anything derived from it."""

    case_id: str
    start: int
    end: int
    type: str
    rule: str


class Deidentifier:
    """Finds and replaces identifiers. Loading takes some seconds.

    Args:
        key: decides how far the dates of each patient are shifted. Keep it secret, and reuse it for further notes of
            the same patients.
        protected: terms that are left alone.

    Raises:
        InputError: the extra ``deid`` is not installed, or the key is too short.
    """

    def __init__(self, key: str, protected: ProtectedTerms) -> None:
        if len(key) < MIN_KEY_LENGTH:
            raise InputError(
                f"a key of {len(key)} characters can be guessed, which reveals the dates; use {MIN_KEY_LENGTH} or more"
            )
        try:
            from osler.preparation.deidentification import recognizers
        except ImportError as error:
            raise InputError(
                f"de-identification needs the extra `deid` ({error.name} is not installed): pip install 'osler[deid]'"
            ) from None
        self._recognizers = recognizers
        self._engine, self._english = recognizers.analyzer()
        self._surnames = recognizers.surnames(FREQUENT_SURNAMES)
        self._given, self._regions = recognizers.given_names(), recognizers.regions()
        self._protected = protected
        self._surrogates = Surrogates(key)

    def find(self, text: str) -> list[Identifier]:
        """The identifiers in ``text``, in order, none overlapping another."""
        return next(self.find_all([text]))

    def find_all(self, texts: Iterable[str], processes: int = 1) -> Iterator[list[Identifier]]:
        """:meth:`find` for many texts, in order, with only some batches in memory at a time."""
        texts = iter(texts)
        batches = iter(lambda: list(islice(texts, BATCH)), [])
        if processes == 1:
            for batch in batches:
                yield from self._find_batch(batch)
            return
        global _inherited
        _inherited = self  # forked processes share the terms and the model
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            pending: deque[AsyncResult[list[list[Identifier]]]] = deque()
            for batch in batches:
                pending.append(pool.apply_async(_find_batch_in_child, (batch,)))
                if len(pending) > 2 * processes:
                    yield from pending.popleft().get()
            while pending:
                yield from pending.popleft().get()

    def replace(self, text: str, patient: str, day_first: bool | None = None) -> tuple[str, list[Identifier]]:
        """``text`` with surrogates, and the identifiers with their places in the original.

        Surrogates and the shift of dates are the same in all notes of a ``patient``. ``day_first`` tells whether
        3/4/2021 is in April; if it is None, a date that fits both is not shifted but becomes ``[DATE]``.
        """
        identifiers = self.find(text)
        return self._replace(text, patient, day_first, identifiers), identifiers

    def replace_all(
        self, rows: Iterable[tuple[str, str, str, bool | None]], processes: int = 1
    ) -> Iterator[tuple[str, str, list[AuditRow]]]:
        """(case id, text, patient, day first) → (case id, text with surrogates, audit), streamed in the same order."""
        pending: deque[tuple[str, str, str, bool | None]] = deque()

        def texts() -> Iterator[str]:
            for row in rows:
                pending.append(row)
                yield row[1]

        for identifiers in self.find_all(texts(), processes):
            case_id, text, patient, day_first = pending.popleft()
            yield (
                case_id,
                self._replace(text, patient, day_first, identifiers),
                [AuditRow(case_id=case_id, start=i.start, end=i.end, type=i.type, rule=i.rule) for i in identifiers],
            )

    def _replace(self, text: str, patient: str, day_first: bool | None, identifiers: list[Identifier]) -> str:
        shift, today = self._surrogates.shift(patient), date.today()
        pieces, end = [], 0
        for identifier in identifiers:
            original = text[identifier.start : identifier.end]
            if identifier.type == "DATE":
                surrogate = surrogates.shift_date(original, shift, day_first, today) or "[DATE]"
            elif identifier.type == "AGE":
                surrogate = "90+"
            else:
                surrogate = self._surrogates.placeholder(patient, identifier.type, original)
            pieces += [text[end : identifier.start], surrogate]
            end = identifier.end
        return "".join([*pieces, text[end:]])

    def _find_batch(self, texts: list[str]) -> list[list[Identifier]]:
        candidates = self._recognizers.propose(self._engine, (text.translate(_SPACES) for text in texts), BATCH)
        return [self._resolve(text, proposed) for text, proposed in candidates]

    def _resolve(self, text: str, candidates: list[Identifier]) -> list[Identifier]:
        """The candidates that are identifiers, of overlapping ones the surest, and other mentions of their names."""
        eponyms = [self._without_person(text, span) for span in self._protected.eponyms(text)]
        protected = _joined([*self._protected.spans(text), *eponyms])
        accepted: list[Identifier] = []
        trimmed = (_outside(self._trim(text, candidate), protected) for candidate in candidates)
        for candidate in sorted(trimmed, key=lambda c: (-c.score, c.start - c.end, c.start)):
            if self._is_identifier(text, candidate, protected):
                _insert(accepted, candidate)
        for mention in self._mentions(text, accepted, protected):
            _insert(accepted, mention)
        return accepted

    def _trim(self, text: str, candidate: Identifier) -> Identifier:
        """A name without what spaCy adds to it: the next line, a possessive s, a title."""
        if candidate.type not in ("NAME", "PLACE", "ORGANIZATION"):
            return candidate
        if candidate.rule == "SpacyRecognizer" and candidate.type == "NAME":
            name = _FULL_NAME.search(text, candidate.start, candidate.end)
            span = name.span() if name else (candidate.start, candidate.start)
            return Identifier(*span, candidate.type, candidate.rule, candidate.score)
        start, name_text = candidate.start, text[candidate.start : candidate.end].split("\n")[0].rstrip(" ,.:;-(")
        name_text = re.sub(r"['’]s$", "", name_text) if candidate.type != "ORGANIZATION" else name_text
        title = _TITLES.match(name_text)
        skip = title.end() if title else 0
        return Identifier(start + skip, start + len(name_text), candidate.type, candidate.rule, candidate.score)

    def _without_person(self, text: str, eponym: Span) -> Span:
        """Without a given name and a surname before it: Glasgow Coma Scale in ``Anna Miller Glasgow Coma Scale``."""
        words = list(_LETTERS.finditer(text, *eponym))
        given, surname = words[0][0], words[1][0]
        if len(words) < 4 or self._recognizers.fold(given) not in self._given or self._is_ordinary(surname):
            return eponym
        return (words[2].start(), eponym[1])

    def _is_identifier(self, text: str, candidate: Identifier, protected: list[Span]) -> bool:
        span = text[candidate.start : candidate.end]
        if not span.strip():
            return False
        if candidate.type == "DATE":
            return surrogates.is_date(span)
        check = {"NAME": self._is_name, "PLACE": self._is_place, "ORGANIZATION": self._is_organization}.get(
            candidate.type
        )
        if candidate.score >= CERTAIN or check is None:
            return True
        return not _overlapping(protected, candidate.start, candidate.end) and check(text, candidate, span)

    def _is_ordinary(self, word: str) -> bool:
        """Whether ``word`` is a word of the terminologies or of English, inflected or not."""
        word = word.lower()
        stems = [word, word.removesuffix("s")]
        if len(word) > 6:  # Sayed does not come from say
            stems += [word.removesuffix("ed"), word.removesuffix("d"), word.removesuffix("ing"), word[:-3] + "e"]
        return self._protected.is_ordinary(word) or any(stem in self._english for stem in stems)

    def _is_name(self, text: str, candidate: Identifier, span: str) -> bool:
        words = [word for word in _LETTERS.findall(span) if len(word) > 1]
        if not words or span.lower() in self._regions:
            return False
        given = [word for word in words if self._recognizers.fold(word) in self._given]
        foreign = [word for word in words if not self._is_ordinary(word) and not self._protected.is_eponym(word)]
        if candidate.rule == "initials":
            known = words[-1].lower() in self._surnames or len(words) > 1
            return known or not self._protected.is_ordinary(words[-1])
        if candidate.score >= LIKELY:
            return len(words) == 1 or bool(given or foreign)
        if candidate.rule in ("name cue", "name beside number", "name above address", "second subject", "subject"):
            return bool(given or foreign)
        if candidate.rule in ("title lower", "who speaks", "sentence subject"):
            return bool(foreign)
        if candidate.rule == "given name":
            first = words[0]
            if re.search(r" [A-Z]\. ", span):
                return True
            if len(words) == 1:
                return not self._is_ordinary(first) and not self._protected.is_eponym(first)
            if self._is_ordinary(words[1]):
                return not self._is_ordinary(first) and words[1].lower() in self._surnames
            return not (self._is_ordinary(first) and self._protected.is_eponym(words[1]))
        # From spaCy, which takes abbreviations and headings for persons.
        return bool(foreign) and not all(word.isupper() and len(word) < 6 for word in words) and span[0].isupper()

    def _is_place(self, text: str, candidate: Identifier, span: str) -> bool:
        if span.lower() in self._regions or not span[0].isupper():
            return False
        if candidate.rule == "place name":
            return not _STOP.match(span)
        words = _LETTERS.findall(span)
        foreign = [word for word in words if not self._is_ordinary(word) and not self._protected.is_eponym(word)]
        after_preposition = _PREPOSITION.search(text, max(0, candidate.start - 14), candidate.start)
        return bool(foreign and after_preposition) and not all(word.isupper() for word in words)

    def _is_organization(self, text: str, candidate: Identifier, span: str) -> bool:
        words = [word.lower() for word in _LETTERS.findall(span.replace("'", "").replace("’", ""))]
        foreign = [word for word in words if word not in GENERIC and not self._is_ordinary(word)]
        if candidate.rule == "SpacyRecognizer":
            preposition = _PREPOSITION.search(text, max(0, candidate.start - 14), candidate.start)
            all_capitals = all(word.isupper() for word in _LETTERS.findall(span))
            has_context = bool(_INSTITUTION_NOUN.search(span) or preposition)
            return has_context and not all_capitals and any(not self._protected.is_eponym(word) for word in foreign)
        if candidate.score <= POSSIBLE:  # the Parkinson Clinic is a department, Mayo Clinic is not
            has_article = _ARTICLE.search(text, max(0, candidate.start - 6), candidate.start)
            return any(not has_article or not self._protected.is_eponym(word) for word in foreign)
        return any(word not in GENERIC for word in words) or "st" in words

    def _mentions(self, text: str, accepted: list[Identifier], protected: list[Span]) -> Iterator[Identifier]:
        """Other places where a part of a name occurs: a note has Jane Smith once, and Smith from then on."""
        words: set[str] = set()
        for identifier in accepted:
            if identifier.type == "NAME":
                parts = _SURNAME.findall(text[identifier.start : identifier.end])
                sure = identifier.score >= LIKELY or len(parts) > 1
                words |= {part for part in parts if len(part) > 2 and (sure or not self._is_ordinary(part))}
        forms = {form for word in words for form in (word, word.upper(), word.title() if word.isupper() else word)}
        if not forms:
            return
        alternatives = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        for match in re.finditer(rf"(?<!\w)(?:{alternatives})(?!\w)", text):
            if not _overlapping(protected, *match.span()):
                yield Identifier(*match.span(), "NAME", "mention", POSSIBLE)


def _outside(name: Identifier, protected: list[Span]) -> Identifier:
    """The part of a name that is outside of protected terms, unless it is certain: Anna Miller in Anna Miller Down."""
    start, end = name.start, name.end
    if name.type != "NAME" or name.score >= CERTAIN:
        return name
    for first, last in _overlapping(protected, start, end):
        if start < first < end <= last:
            end = first
        elif first <= start < last < end:
            start = last
    return Identifier(start, end, name.type, name.rule, name.score)


def _joined(spans: list[Span]) -> list[Span]:
    """The spans in order, those that overlap as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _overlapping(spans: list[Span], start: int, end: int) -> list[Span]:
    """Those of ``spans``, which are in order and do not overlap, that overlap from ``start`` to ``end``."""
    return spans[
        bisect_right(spans, start, key=lambda span: span[1]) : bisect_left(spans, end, key=lambda span: span[0])
    ]


def _insert(accepted: list[Identifier], new: Identifier) -> None:
    """Add ``new`` in its place. Join it with those that it overlaps, or drop it if one of them is of another type."""
    first = bisect_right(accepted, new.start, key=lambda other: other.end)
    last = bisect_left(accepted, new.end, key=lambda other: other.start)
    overlapping = accepted[first:last]
    # The boundaries of spaCy are the least certain, so those of rules stay as they are.
    if any(
        other.type != new.type or (new.rule == "SpacyRecognizer" and other.score >= LIKELY) for other in overlapping
    ):
        return
    whole = [*overlapping, new]
    surest = max(whole, key=lambda identifier: identifier.score)
    start, end = min(i.start for i in whole), max(i.end for i in whole)
    accepted[first:last] = [Identifier(start, end, new.type, surest.rule, surest.score)]


_inherited: Deidentifier


def _find_batch_in_child(texts: list[str]) -> list[list[Identifier]]:
    return _inherited._find_batch(texts)
