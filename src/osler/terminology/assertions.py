"""Whether a finding that a text names is said of the patient, denied, said of a relative, or only thought of.

Rules over cue words and how far they reach, in the manner of NegEx and ConText: Chapman et al. 2001,
doi:10.1006/jbin.2001.1029; Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002. The cues are our own, for English notes.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Literal

from osler.terminology.mentions import Lexicon
from osler.terminology.recognition import Recogniser

Status = Literal["present", "absent", "relative", "uncertain"]

# A line that goes on in lower case belongs to the one before, where that is long enough to have been wrapped.
_SENTENCE_END = re.compile(r"(?<=[.!;])\s+|(?<=\?)\s+(?!no\b)|\n\s*\n|\n(?=\s*(?:[^\s\w]|\d|[A-Z]))|(?<=:)\n|\n")
_WRAPPED = 30  # characters of a line that may have been broken by its width
_OPEN = re.compile(r"\b(?:no|not|without|or|and|of|with|an?|the|den(?:y|ies|ied)|had|has)$", re.I)
_WINDOW = 400  # characters on either side of a finding that may say something of it

_N_T = r"(?:do|does|did|has|have|had|is|are|was|were|could|can|would)n['’]t|cannot|can['’]t"
# Said before a finding; "not only" and "no longer able to walk" deny nothing, and "no change in" affirms.
_DENIED_BEFORE = re.compile(
    rf"\b(?:no(?! longer\b| doubt\b| (?:\w+ )?(?:change|improvement|worsening|progress(?:ion)?|increase|decrease|cure"
    rf"|treatment|therapy|drug|response|relief|effect|help)\b)|not(?! only\b| (?:born|treated)\b)"
    rf"|without(?! treatment\b)|den(?:y|ies|ied|ying)|neither|nor|never|absence of|absent(?=:)|free (?:of|from)"
    rf"|negative(?: for|(?=:))|lack(?:s|ed|ing)?|{_N_T})\b|\bnormal(?=\s+$)",
    re.I,
)
_SEEN = (
    "found|seen|present|noted|observed|detected|reported|evident|identified|documented|demonstrated|confirmed|apparent"
    "|described"
)
_DENIED_AFTER = re.compile(
    rf"^\s*(?:(?:was|were|is|are|has been|have been|had been|could be|has|have|had)\s+)?"
    rf"(?:(?:so far|also|both|all)\s+)?(?:ruled out|excluded|absent|denied|normal|no longer present"
    rf"|(?:not|never)\s+(?:(?:yet|been|clearly)\s+)*(?:{_SEEN}))\b"
    rf"|^\s*(?:was|were|is|are|has|have|had)n['’]t\s+(?:been\s+)?(?:{_SEEN})\b"
    rf"|^\s*did(?:\s+not|n['’]t)\s+(?:occur|develop|appear|recur|happen)\b"
    rf"|^\s*(?:[:?,]|\s[-–]\s)\s*(?:no|none|absent|negative|denied|not (?:present|{_SEEN}))(?=\s*(?:[.;,)]|$))"
    rf"|^\s*:\s*(?:no|none|absent|negative)\b|^\s*\(\s*(?:-|–|neg(?:ative)?|absent|no)\s*\)|^[\s-]*free\b",
    re.I,
)
_THOUGHT_OF = re.compile(
    r"\b(?:if|in case of|(?:to )?exclude|rule out|r/o|screen(?:ed|ing)? for|(?:at )?risk (?:of|for)|worr(?:y|ied) about"
    r"|watch for|fear of|look(?:ed|ing)? for|evaluat(?:ed?|ion|ing) for|concern(?:s|ed|ing)? (?:for|about)|suspicion of"
    r"|suspicious for|suspected|possible|possibly|probable|question of|(?-i:may|might)(?: have)?)\b|\?\s*$",
    re.I,
)
_THOUGHT_OF_AFTER = re.compile(
    r"^\s*(?:is|was|were|are)\s+(?:\w+ly\s+)?(?:suspected|unlikely|possible|questionable|considered|in question)\b",
    re.I,
)
_RELATIVE = (
    r"(?:mother|father|brother|sister|aunt|uncle|cousin|grandmother|grandfather|grandparent|parent|sibling|twin|nephew"
    r"|niece|relative|son|daughter|husband|wive|wife|spouse|family member)s?"
)
_OF_RELATIVE_BEFORE = re.compile(
    rf"\b{_RELATIVE}\b(?!\)| +(?:report|sa[yi]|notice|worr|complain|describe|brought|are cousins))"
    rf"|\b(?:family|maternal|paternal) history\b|\bFHx?\b",
    re.I,
)
_OF_RELATIVE_AFTER = re.compile(
    rf"^\s*\((?:\w+ )?{_RELATIVE}\)|^\s+(?:(?:was|were|is|are)\s+)?(?:(?:{_SEEN})\s+)?in (?:\w+ ){{1,3}}?{_RELATIVE}\b"
    rf"|^\s+affects? (?:\w+ ){{0,2}}{_RELATIVE}\b|^\s+runs? in the family\b",
    re.I,
)
# A heading: all of the line is of the family, beyond a semicolon, too.
_FAMILY_LINE = re.compile(rf"^\s*(?:{_RELATIVE}|family history|FHx?)\s*:", re.I)
# What a denial does not reach beyond: another clause, a cause, a contrast.
_TURN = re.compile(
    r"\b(?:but|though|although|however|except|apart from|other than|because|due to|owing to|secondary to|since|when"
    r"|while|who|which|until|and (?:now |later |then |also )?(?:has|had|have|is|was|were|he|she|they|it|with)"
    r"|(?:,|then|and) later)\b|\S\s*:\s|\s[-–]\s",
    re.I,
)
_OTHER_PERSON = re.compile(
    r"\bbut\b|(?<!of the )(?<!of this )(?<!of our )\b(?:patient|child|boy|girl|infant|proband|she|he)\b", re.I
)
_DATED = re.compile(r"^\s*(?:since|from|at|after|for|began|started|with onset)\b", re.I)
_NAMED = "\N{BLACK SQUARE}"  # what stands for another finding that is named
# What may stand between the findings of a list: a comma, a conjunction, two words that are no verb of having.
_BETWEEN = re.compile(
    r"\s*(?:(?:,\s*)?(?:and|or)\b|[,/])?\s*(?:(?!(?:has|had|have|is|was|were|with|shows?|developed)\b)[\w-]+\s+){0,2}",
    re.I,
)
_AMONG_OTHERS = re.compile(rf"{_NAMED}\s*,\s*(?:and\s+)?[\w'’]+\s*$")
_LIST_AFTER = re.compile(rf"^(?:\s*(?:,\s*and|,\s*or|,|/|\band\b|\bor\b|\bnor\b)\s*(?:\w+\s+)?{_NAMED})+")


@dataclass(frozen=True)
class Finding:
    """``text[start:end]`` names the finding ``hpo_id``, and what is said of it."""

    start: int
    end: int
    hpo_id: str
    status: Status


def findings(text: str, lexicon: Lexicon | Recogniser) -> list[Finding]:
    """What ``text`` says of the findings that it names, in order."""
    mentions = lexicon.mentions(text)
    # Other findings of a sentence are put out of sight: what is in a name says nothing of its neighbour.
    hidden = list(text)
    for mention in mentions:
        hidden[mention.start : mention.end] = [_NAMED, *["\0"] * (mention.end - mention.start - 1)]
    starts = _sentences(text)
    lines = [0, *(match.end() for match in re.finditer(r"\n|(?<=[.!?])\s+", text))]
    found = []
    for mention in mentions:
        start = starts[bisect_right(starts, mention.start) - 1]
        after = bisect_left(starts, mention.end)
        end = starts[after] if after < len(starts) else len(text)
        line = lines[bisect_right(lines, mention.start) - 1]
        if _FAMILY_LINE.match(text[line : mention.start]):
            status: Status = "relative"
        else:
            status = _status(
                "".join(hidden[max(start, mention.start - _WINDOW) : mention.start]).replace("\0", ""),
                "".join(hidden[mention.end : min(end, mention.end + _WINDOW)]).replace("\0", ""),
            )
        found.append(Finding(mention.start, mention.end, mention.hpo_id, status))
    return found


def present_findings(text: str, lexicon: Lexicon | Recogniser) -> tuple[str, ...]:
    """The ids of the findings that ``text`` says its patient has, each once, in order."""
    return tuple(dict.fromkeys(one.hpo_id for one in findings(text, lexicon) if one.status == "present"))


def _sentences(text: str) -> list[int]:
    """Where sentences begin."""
    starts = [0]
    for match in _SENTENCE_END.finditer(text):
        if match[0] == "\n" and text[match.end() : match.end() + 1].islower():
            line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if len(line) >= _WRAPPED or _OPEN.search(line):
                continue
        starts.append(match.end())
    return starts


def _status(before: str, after: str) -> Status:
    """Of a finding, by what stands before and after it in its sentence, other findings as ``_NAMED``."""
    behind = _LIST_AFTER.sub("", after)
    if _OF_RELATIVE_AFTER.match(behind) or _of_relative(before):
        return "relative"
    if _THOUGHT_OF_AFTER.match(behind):
        return "uncertain"
    if _DENIED_AFTER.match(after) or _DENIED_AFTER.match(behind) or _denied(before, after):
        return "absent"
    if _reaches(_THOUGHT_OF, before):
        return "uncertain"
    return "present"


def _of_relative(before: str) -> bool:
    between = _behind_last(_OF_RELATIVE_BEFORE, before)
    return between is not None and not _OTHER_PERSON.search(between)


def _denied(before: str, after: str) -> bool:
    """Whether a cue before denies the finding: with nothing between, or over a list that is one, or ends in "or"."""
    between = _behind_last(_DENIED_BEFORE, before)
    if between is None or _TURN.search(between.removeprefix(":")):
        return False
    if _AMONG_OTHERS.search(before[: -len(between)] if between else before):
        return "," not in between  # "seizures, no ataxia, and scoliosis"
    if "," not in between and not re.search(rf"{_NAMED}\s*(?:and|\n)", between):
        return True
    return _ends_in_or(after, before) or (not _DATED.match(after) and _is_list(between.removeprefix(":")))


def _is_list(between: str) -> bool:
    """Whether nothing but other findings, commas, conjunctions and a word or two stand in ``between``."""
    return all(_BETWEEN.fullmatch(part) for part in between.split(_NAMED))


def _reaches(cue: re.Pattern[str], before: str) -> bool:
    between = _behind_last(cue, before)
    return between is not None and not _TURN.search(between) and "," not in between


def _behind_last(cue: re.Pattern[str], before: str) -> str | None:
    """What stands between the last cue of its kind and the end of ``before``; None where there is no cue."""
    last = next(reversed(list(cue.finditer(before))), None)
    return None if last is None else before[last.end() :]


def _ends_in_or(after: str, before: str) -> bool:
    """Whether the finding stands in a list that ends in "or": "no rash, fever or cough"."""
    return bool(re.match(r"[^.;:]*?\b(?:or|nor)\b", after)) or bool(re.search(r"\b(?:or|nor)\s+(?:\w+\s+)?$", before))
