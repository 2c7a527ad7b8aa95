"""Whether a finding that a text names is said of the patient, denied, said of a relative, or only thought of.

Rules over cue words and how far they reach, in the manner of NegEx and ConText: Chapman et al. 2001,
doi:10.1006/jbin.2001.1029; Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002. The cues are our own, for English notes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from osler.terminology.mentions import Lexicon
from osler.terminology.recognition import Recogniser

Status = Literal["present", "absent", "relative", "uncertain"]

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
# Said before a finding; "not only" and "no longer able to walk" deny nothing.
_DENIED_BEFORE = re.compile(
    r"\b(?:no(?! longer\b| doubt\b)|not(?! only\b)|without(?! treatment\b)|den(?:y|ies|ied|ying)|neither|nor|never"
    r"|absence of|free of|negative for|doesn't|didn't|hasn't|isn't)\b",
    re.I,
)
_DENIED_AFTER = re.compile(
    r"^\s*(?:(?:was|were|is|are|has been|have been|could be)\s+)?(?:so far\s+)?(?:ruled out|excluded|absent|denied"
    r"|no longer present|not\s+(?:found|seen|present|noted|observed|detected|reported))\b"
    r"|^\s*:\s*(?:no|none|absent|negative)\b",
    re.I,
)
_THOUGHT_OF = re.compile(
    r"\b(?:if|in case of|(?:to )?exclude|rule out|screen(?:ed|ing)? for|risk of|worr(?:y|ied) about|watch for|fear of"
    r"|look(?:ed|ing)? for|suspicion of|suspected|possible|possibly|probable)\b",
    re.I,
)
_RELATIVE = (
    r"(?:mother|father|brother|sister|aunt|uncle|cousin|grandmother|grandfather|grandparent|parent|sibling|twin|nephew"
    r"|niece|relative)s?"
)
_OF_RELATIVE_BEFORE = re.compile(
    rf"\b{_RELATIVE}\b(?!\)| +(?:report|sa[yi]|notice|worr|complain|describe|are cousins))|\bfamily history\b|\bFHx?\b",
    re.I,
)
_OF_RELATIVE_AFTER = re.compile(rf"^\s*\((?:\w+ )?{_RELATIVE}\)|^\s+in (?:the|his|her|their|a) {_RELATIVE}\b", re.I)
# What a cue does not reach beyond.
_TURN = re.compile(r"\b(?:but|though|although|however|except|yet|patient|child|since|later|found)\b|:\s", re.I)


@dataclass(frozen=True)
class Finding:
    """``text[start:end]`` names the finding ``hpo_id``, and what is said of it."""

    start: int
    end: int
    hpo_id: str
    status: Status


def findings(text: str, lexicon: Lexicon | Recogniser) -> list[Finding]:
    """What ``text`` says of the findings that it names, in order."""
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(text))]
    found = []
    for mention in lexicon.mentions(text):
        start = max(s for s in starts if s <= mention.start)
        end = min((s for s in starts if s >= mention.end), default=len(text))
        status = _status(text[start : mention.start], text[mention.end : end])
        found.append(Finding(mention.start, mention.end, mention.hpo_id, status))
    return found


def _status(before: str, after: str) -> Status:
    """Of a finding, by what stands before and after it in its sentence."""
    if _OF_RELATIVE_AFTER.match(after) or _reaches(_OF_RELATIVE_BEFORE, before, across_lists=True):
        return "relative"
    if _DENIED_AFTER.match(after) or _reaches(_DENIED_BEFORE, before, across_lists=_is_or_list(after, before)):
        return "absent"
    if _reaches(_THOUGHT_OF, before, across_lists=False):
        return "uncertain"
    return "present"


def _reaches(cue: re.Pattern[str], before: str, across_lists: bool) -> bool:
    """Whether the last cue of its kind reaches the end of ``before``."""
    last = next(reversed(list(cue.finditer(before))), None)
    if last is None:
        return False
    between = before[last.end() :]
    if cue is _OF_RELATIVE_BEFORE:
        return not re.search(r"\b(?:but|patient|child|she|he)\b", between, re.I)
    return not _TURN.search(between) and ("," not in between or across_lists)


def _is_or_list(after: str, before: str) -> bool:
    """Whether the finding stands in a list that ends in "or": "no rash, fever or cough"."""
    return bool(re.match(r"[^.;:]*?\b(?:or|nor)\b", after)) or bool(re.search(r"\b(?:or|nor)\s+(?:\w+\s+)?$", before))
