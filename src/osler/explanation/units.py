"""What of a text is left out, piece by piece, to see what an answer hangs on: findings, clauses, or words."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from osler.terminology import Finding, Recogniser, findings

_GAP = "\0"
# A clause begins behind a mark, at a new line, and at a word that joins it to what stands before.
_CLAUSE_END = re.compile(r"(?<=[.!?;,])\s+|\n+|(?<!\s)\s+(?=(?:and|or|but|because|although|while|which)\s)")
_GOES_ON = re.compile(r"(?:and|or)\s+\S+(?:\s+\S+)?$")  # too short to be a clause of its own
_SENTENCE_END = re.compile(r"((?<=[.!?])\s+|\n+)")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# What is left of "There was no evidence of scoliosis." without its finding says nothing, and goes with it.
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        "a an and any are as at been but by can denied denies did do does evidence finding findings for free from had"
        " has have he her his i in is it its me my negative neither never no nor not of on or present presented"
        " presents reports she shows sign signs so some that the their there they this to was were with without",
    )
)
_TIDY = [
    (re.compile(rf"\b(?:an?|the|his|her|my|some)\s+{_GAP}(?=\s*(?:[.,;!?]|and\b|or\b|$))"), _GAP),
    (re.compile(rf"(?<!\s)(?:,\s*|\s+)(?:and|or)\s+{_GAP}(?=\s*(?:[.,;!?]|$))"), _GAP),  # the last of a list
    (re.compile(rf"{_GAP}\s*(?:,\s*)?\b(?:and|or)\s+"), ""),
    (re.compile(rf"{_GAP}\s*,\s*"), ""),
    (re.compile(rf",\s*{_GAP}(?=\s*(?:[.;!?]|$))"), _GAP),
    (re.compile(rf"(?<!\s)\s+(?:with|of|has|had|have)\s+{_GAP}+(?=\s*(?:[.;!?]|$))"), ""),
    (re.compile(_GAP), ""),
    (re.compile(r"(?<![ \t])[ \t]+(?=[.,;!?])"), ""),
    (re.compile(r"(?<![,;])[,;]+(?=[.!?])"), ""),
    (re.compile(r"[ \t]{2,}"), " "),
]


@dataclass(frozen=True)
class Unit:
    """``text[start:end]``, left out as one, and the findings that it names: none of a clause or a word."""

    start: int
    end: int
    findings: tuple[Finding, ...] = ()


def units_of(text: str, recogniser: Recogniser | None, most: int) -> list[Unit]:
    """The units of ``text``, in order, ``most`` of them.

    Of a clause that names findings these; of another the whole clause. Where that makes one unit of all, its words.
    Where there are more than ``most``, neighbours are joined, the shortest first, with what stands between them.
    """
    named = findings(text, recogniser) if recogniser else []
    units = [Unit(one.start, one.end, (one,)) for one in named]
    start = 0
    for end in [*_CLAUSE_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        clause = text[start:stop]
        if _says_something(clause) and not any(one.start < stop and start < one.end for one in named):
            shown = Unit(start, start + len(clause.rstrip(" \t.,;!?")))
            goes_on = _GOES_ON.match(clause) and units and not units[-1].findings and text[units[-1].end] == " "
            units[-1:] = [Unit(units[-1].start, shown.end)] if goes_on else [*units[-1:], shown]
        start = end.end() if end else stop
    if len(units) < 2:
        units = [Unit(*word.span()) for word in _WORD.finditer(text) if word[0].lower() not in _EMPTY] or units
    return joined(sorted(units, key=lambda unit: unit.start), most)


def joined(units: Sequence[Unit], most: int) -> list[Unit]:
    """``most`` units: neighbours joined, those first that are the shortest together; of very many, every two first."""
    left = list(units)
    while len(left) > 16 * most:
        left = [_both(*left[n : n + 2]) for n in range(0, len(left), 2)]
    while len(left) > max(1, most):
        place = min(range(len(left) - 1), key=lambda n: left[n + 1].end - left[n].start)
        left[place : place + 2] = [_both(*left[place : place + 2])]
    return left


def _both(first: Unit, second: Unit | None = None) -> Unit:
    return first if second is None else Unit(first.start, second.end, first.findings + second.findings)


def without(text: str, gone: Collection[Unit]) -> str:
    """``text`` without some of its units, and without the commas, conjunctions and sentences that are empty then.

    Nothing else is changed: no verb, no article. So what is left reads like a note, and not always like a sentence.
    """
    marked, start = "", 0
    for unit in sorted(gone, key=lambda unit: unit.start):
        marked += text[start : unit.start] + _GAP
        start = unit.end
    pieces = _SENTENCE_END.split(marked + text[start:])  # sentences, and between them what parts them
    kept = ""
    for sentence, between in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if _GAP not in sentence:
            kept += sentence + between
        elif _says_something(sentence.replace(_GAP, " ")):
            kept += _tidied(sentence) + between
    return kept.strip()


def _says_something(piece: str) -> bool:
    return any(word[0].lower() not in _EMPTY for word in _WORD.finditer(piece))


def _tidied(sentence: str) -> str:
    tidy = sentence
    for pattern, instead in _TIDY:
        tidy = pattern.sub(instead, tidy)
    tidy = tidy.lstrip(" \t\n,;").rstrip(" \t")
    began = sentence.replace(_GAP, "").lstrip()[:1].isupper() or sentence.startswith(_GAP)
    return tidy[:1].upper() + tidy[1:] if began else tidy
