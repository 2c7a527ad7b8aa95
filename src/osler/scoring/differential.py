"""Generated text → the diagnoses in it, best first → the labels of a prediction.

The model is not asked again, and nothing is guessed: a text without a recognisable diagnosis has none. A diagnosis that
is ruled out is no answer. One that is no label keeps its rank, so that the next does not move up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from osler.scoring.normaliser import Match, Normaliser
from osler.terminology import canonical

Known = Callable[[str], bool]
MAX_WORDS = 20  # of a diagnosis; OMIM has one name of 20
MAX_DIAGNOSES = 200  # of an answer; whoever writes more does not answer
MAX_OPENINGS = 100  # brackets at which a JSON value may begin


@dataclass(frozen=True)
class Reading:
    """A generated text, read.

    Attributes:
        ranked: for ``Prediction.ranked``: labels, best first, each once; a diagnosis that is no label stands as
            ``text:`` and its words, which equals no label.
        matches: parallel to ``ranked``: what each means.
        parsed: for ``Prediction.parsed``: False where the text gives no diagnosis.
    """

    ranked: tuple[str, ...]
    matches: tuple[Match, ...]

    @property
    def parsed(self) -> bool:
        return bool(self.ranked)


def read_answer(text: str, normaliser: Normaliser) -> Reading:
    """The labels that ``text`` gives, in its order."""
    matches: dict[str, Match] = {}
    for diagnosis in differential(text, normaliser.known):
        match = normaliser.match(diagnosis)
        matches.setdefault(match.label or f"text:{canonical(diagnosis)}", match)
    return Reading(tuple(matches), tuple(matches.values()))


def differential(text: str, known: Known = lambda text: False) -> list[str]:
    """The diagnoses in a generated text, best first, each once, as they were written.

    Reads JSON, numbered and bulleted lists, ``Diagnosis: …``, sentences that give a diagnosis ("most likely …",
    "consistent with …", "… is possible"), and short lines of nothing but names. The diagnosis called most likely comes
    first wherever it stands, those called less likely last. Cuts off explanations, probabilities and codes. White space
    becomes one space. At most ``MAX_DIAGNOSES`` are read, and JSON from one of the first ``MAX_OPENINGS`` brackets.

    Args:
        text: what the model wrote; a ``<think>`` part before the answer is skipped.
        known: whether a phrase is a diagnosis; commas within one then do not end it.
    """
    text = re.sub(r"^.*</think>", "", text, flags=re.DOTALL).strip()
    if known(text):
        return [text]
    if text.startswith("<think>"):
        return []
    ranked = [(1, name) for name in _from_json(text)] or list(islice(_from_lines(text, known), MAX_DIAGNOSES))
    names: dict[str, str] = {}
    for _, raw in sorted(ranked, key=lambda item: item[0]):
        if name := _name(raw):
            names.setdefault(canonical(name), name)
    return list(names.values())


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_NAME_KEY = re.compile(r"diagnos|differential|^(?:name|disease|condition|label|answer|candidates?)$", re.I)
_OTHER_KEY = re.compile(r"exclu|ruled|unlikely|reason|rational|expla|test|criteria", re.I)


def _from_json(text: str) -> list[str]:
    """The names in the first JSON list or object of ``text`` that has any."""
    for opening in islice(re.finditer(r"[\[{]", text), MAX_OPENINGS):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, opening.start())
            names = list(islice(_names(value), MAX_DIAGNOSES))
        except (json.JSONDecodeError, RecursionError):  # the latter: a thousand brackets within one another
            continue
        if names:
            return names
    return []


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _names(entry)
    elif isinstance(value, dict) and value and all(isinstance(share, (int, float)) for share in value.values()):
        yield from sorted(value, key=lambda name: -value[name])  # {"asthma": 0.7, "COPD": 0.2}
    elif isinstance(value, dict):
        for key, entry in value.items():
            if _NAME_KEY.search(key) and not _OTHER_KEY.search(key):
                yield from _names(entry)


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_ITEM = re.compile(
    r"^(?P<indent>\s*)(?:(?P<number>(?:(?:diagnosis|dx|rank|option) )?#?\(?\d{1,2} ?[.):]|\(?[a-h][.)])|[-*•‣·–—])"
    r"\s+(?P<body>\S.*)$",
    re.I,
)
_LABELLED = re.compile(r"^\W*(?P<label>[\w /()'-]{2,60}):\s*(?P<value>.*)$")
# What a heading, a label or an item's own label announces: no diagnoses, diagnoses, or reasons; the first that fits.
_OTHER = re.compile(
    r"\b(?:rul(?:ed?|ing) out|exclu\w+|unlikely|against|tests?|investigations?|work-?up|treatment|management|plan|next"
    r" steps?|recommend\w*|follow-?up)\b",
    re.I,
)
_DIAGNOSES = re.compile(
    r"\b(?:diagnos[ie]s|differentials?|possibilit\w+|conditions?|impression|assessment|answer|dx"
    r"|most (?:likely|probable))\b",
    re.I,
)
_REASONS = re.compile(
    r"\b(?:findings?|symptoms?|signs?|evidence|reason\w*|rationale|explanation|justification|history|features?|summary"
    r"|presentation|why|probability|confidence|likelihood|support\w*|notes?|references?|causes?)\b",
    re.I,
)


def _announces(words: str) -> bool | None:
    """Whether these words announce diagnoses; None where they say nothing of it."""
    if _OTHER.search(words):
        return False
    if _DIAGNOSES.search(words):
        return True
    return False if _REASONS.search(words) else None


def _from_lines(text: str, known: Known) -> Iterator[tuple[int, str]]:
    """Diagnoses with what may explain them, each with 0 for the most likely, 2 for a less likely, else 1."""
    lines = [
        _single_spaced(re.sub(r"\*\*|__|`|(?<=\S)\*|\*(?=\S)", "", line))
        for line in text.splitlines()
        if line.strip(" *_#-")
    ]
    items = [item for line in lines if (item := _ITEM.match(line.lstrip("#")))]
    # Under numbered items bullets explain, and so does whatever is indented further than the first.
    numbered = any(item["number"] for item in items)
    depth = min((len(item["indent"]) for item in items if bool(item["number"]) == numbered), default=0)
    wanted, listed, any_diagnosis = True, False, False
    plain: list[str] = []
    for line in lines:
        item, labelled = _ITEM.match(line.lstrip("#")), _LABELLED.match(line)
        announced = _announces(labelled["label"] if labelled else line)
        diagnoses: list[tuple[int, str]] = []
        if item:
            is_detail = bool(item["number"]) != numbered or (len(item["indent"]) > depth and not line.startswith("#"))
            if wanted and not is_detail and not _is_reason(item["body"]):
                read = _listed if len(items) == 1 else _alternatives
                diagnoses = [(1, name) for name in read(item["body"], known)]
                listed = True
        elif line.startswith("#") or (labelled and not labelled["value"]):
            wanted = wanted if announced is None else announced
        elif labelled and announced is not None:
            rank = 1 if re.search(r"differential|other|alternative|possib", labelled["label"], re.I) else 0
            diagnoses = list(_sentences(labelled["value"], known, rank)) if announced else []
        elif wanted:
            # Between the items of a list prose explains, unless it says which of them it is.
            diagnoses = [(rank, name) for rank, name in _sentences(line, known) if rank == 0 or not listed]
            plain.append(line)
        any_diagnosis = any_diagnosis or bool(diagnoses)
        yield from diagnoses
    for line in plain if not any_diagnosis else ():
        if len(line.split()) <= MAX_WORDS and not _VERB.search(line):
            yield from ((1, name) for name in _listed(line, known))


def _single_spaced(line: str) -> str:
    """The line with its indentation and one space between words, which is what the patterns below read."""
    return line[: len(line) - len(line.lstrip())] + " ".join(line.split())


_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had|should|would|could|can|may|might|needs?|please)\b|\?", re.I)


def _is_reason(body: str) -> bool:
    """Whether a list item explains another: ``Supporting evidence: …``."""
    label = re.match(r"[\w ]{2,30}(?=:)", body)
    return label is not None and _announces(label[0]) is False


def _listed(text: str, known: Known) -> Iterator[str]:
    """The parts of a list in one line; commas inside a known name do not divide it."""
    for group in re.split(r" ?; ?", _before_explanation(text) or ""):
        parts, at = group.strip(" .").split(", "), 0
        while at < len(parts):
            ends = range(min(len(parts), at + 8), at + 1, -1)
            end = next((end for end in ends if known(", ".join(parts[at:end]))), at + 1)
            yield from _alternatives(re.sub(r"^(?:and|or) ", "", ", ".join(parts[at:end])), known)
            at = end


def _alternatives(text: str, known: Known) -> list[str]:
    """ "X or Y" and "X versus Y" are two; "X and Y" only where both are known."""
    if known(text) or re.search(r"with or without|and/or", text, re.I):
        return [text]
    both = text.split(" and ")
    return both if len(both) == 2 and all(map(known, both)) else re.split(r" (?:or|vs\.?|versus) ", text)


# ── sentences ────────────────────────────────────────────────────────────────────────────────────────────────────────

_NEGATED = re.compile(
    r"\b(?:not(?! otherwise| elsewhere)|\w+n't|no|never|neither|nor|unlikely|exclud\w+|rul(?:e|es|ed|ing) out|denies"
    r"|against|without (?:any )?(?:evidence|signs?)|negative for|absence of)\b",
    re.I,
)
_CLAUSE = re.compile(
    r"(?<=\w\w[\w)])[.!?](?: |$)|; |,? (but not|and not|rather than|instead of|as opposed to|but|however|although"
    r"|though|while|whereas) |, (not) "
    r"|, (?=[^\s,]+(?: [^\s,]+){0,4} (?:is|are) (?:also |less )?(?:likely|possible|probable))",
    re.I,
)
_IS = r"(?:is|are|was|would be|seems?(?: to be)?|appears? to be|remains?)"
_MOST = r"(?:most (?:likely|probable|plausible)|likeliest|leading|correct|final|primary|working)"
_PATTERNS = [  # rank and form; the first counts that leaves a diagnosis
    (2, rf"^(?P<x>.+?) {_IS} (?:also )?less (?:likely|probable)\b"),
    (0, rf"^(?P<x>.+?) {_IS} (?:the |my |by far the )?{_MOST}\b"),
    (
        1,
        r"\b(?:differentials?(?: diagnos[ie]s)?|possibilities|alternatives|considerations)\b[^:.]{0,40}?"
        r"(?:\binclud\w+|\bare\b|\bis\b|:) ?(?P<x>.+)",
    ),
    (
        0,
        r"\b(?:diagnosis|answer|impression|conclusion)\b[^:.,]{0,40}?(?:\bis\b|\bwould be\b|\bwas\b|\bof\b|:)"
        r"(?: most likely)? ?(?P<x>.+)",
    ),
    (
        0,
        r"\b(?:most (?:likely|probably|probable|consistent with|suggestive of)"
        r"|(?:likely|probably) (?=has|have|suffers))(?: (?:cause|condition|explanation))?"
        r"(?: (?:is|has|have|suffers from|to be|due to|represents?))?:? (?P<x>.+)",
    ),
    (
        1,
        r"\b(?:consistent with|suggestive of|suggests?|suggesting|points? (?:to|towards?)|indicative of|indicates?"
        r"|compatible with|suspicious for|concerning for|typical of|characteristic of|presentation of|picture of"
        r"|case of|suffering from|diagnosed with|suspect)(?: likely| probably| possibly)? (?P<x>.+)",
    ),
    (1, r"\b(?:this|it) (?:is|could be|may be|might be|looks like|sounds like) (?P<x>.+)"),
    (
        1,
        rf"^(?P<x>.+?) (?:{_IS}(?: also| still)? (?:a |an |another )?(?:likely|probable|possib\w+|plausible|alternative"
        r"|consideration)|(?:should|could|can|may|might|must) (?:also )?be (?:considered|possible|present))\b",
    ),
]
_SENTENCES = [(rank, re.compile(pattern, re.I)) for rank, pattern in _PATTERNS]


def _sentences(line: str, known: Known, first: int | None = None) -> Iterator[tuple[int, str]]:
    """The diagnoses that the clauses of ``line`` give; with ``first`` its first clause is one, of that rank."""
    pieces = _CLAUSE.split(line)  # a clause, then two connectors of which at most one is not None, then a clause, …
    negating = False
    for place in range(0, len(pieces), 3):
        clause = pieces[place].strip()
        if not negating and not _NEGATED.search(clause):
            readings = [(rank, match["x"]) for rank, form in _SENTENCES if (match := form.search(clause))]
            readings += [(first, clause)] if first is not None else []
            named = ((rank, [name for name in _listed(part, known) if _name(name)]) for rank, part in readings)
            rank, names = next(((rank, names) for rank, names in named if names), (1, []))
            yield from ((rank, name) for name in names)
            first = None
        negating = any(
            word and re.search(r"not|rather|instead|opposed", word, re.I) for word in pieces[place + 1 : place + 3]
        )


# ── one diagnosis ────────────────────────────────────────────────────────────────────────────────────────────────────

_LABEL = re.compile(
    r"^(?:(?:the|most|more|less|likely|probable|primary|final|leading|top|possible|alternative|differential|other|working"
    r"|secondary|first|second|third|main|diagnos[ie]s|differentials?|condition|disease|answer|dx) ?)+(?:#?\d+)? ?"
    r"(?::|\s[-–—]) ?",
    re.I,
)
_REMARK = re.compile(
    r" ?[(\[](?:[^()\[\]]{0,200}(?:%|likel|probab|possib|confiden|ICD|MIM\b|ORPHA)[^()\[\]]{0,200}"
    r"|high|moderate|low|[A-Z]\d\d\.\w{1,9})[)\]]"
    r"|(?:[ ,:]|(?<!\w)[–-]){0,5}~?\d{1,9}(?:\.\d{1,9})? ?%.*$| (?:O?MIM|ORPHA|ICD-10(?:-CM)?)[:# ]{0,3}[\w.]{1,30}$",
    re.I,
)
_EXPLANATION = re.compile(
    r" [-–—]+>? | ?[—→] ?|:\s|(?<=\w\w[\w)])[.!?](?:\s|$)"
    r"|,? (?:because|given|based on|since|which|who|that|is|are|was|has|would|should|could|may|might|can|though"
    r"|although|but|explain\w*|presenting with|suggested by|supported by|characteri[sz]ed by"
    r"|as (?:the|it|this|there|he|she|evidenced|indicated|suggested|shown)|due to (?:the|his|her|their)"
    r"|in (?:this|view))\b",
    re.I,
)
_HEDGE = re.compile(
    r"^(?:(?:possibl[ey]|probabl[ey]|suspected|suspicion of|(?:most |very |highly )?likely|presumed|perhaps|maybe|also"
    r"|(?:case|diagnosis) of|an?|the|either|underlying) )+",
    re.I,
)
_NO_NAME = re.compile(
    r"\b(?:I (?:am|can|do|have|need|think|would)|I'm|we|you|your|my|patient|cannot|can't|sorry|please|consult|doctor"
    r"|physician|information|unclear|uncertain|insufficient|language model|not(?! otherwise| elsewhere)|unlikely"
    r"|ruled|excluded|diagnos[ie]s|differential|man|woman|boy|girl|\d+[- ](?:year|month|week|day)s?)\b"
    r"|^(?:no|none|yes|n/a|unknown|rules?|excludes?)\b|^(?:this|that|these|it|there|he|she|they)$",
    re.I,
)


def _before_explanation(text: str) -> str | None:
    """``text`` up to where it explains itself; None where it says there that it is ruled out."""
    if re.search(r"[(\[](?:highly |very )?(?:unlikely|ruled out|excluded)\b", text, re.I):
        return None
    name, *explanation = _EXPLANATION.split(_REMARK.sub("", _LABEL.sub("", text.strip())), maxsplit=1)
    verdict = r"(?:(?:has been|been|is|are|was) )?(?:ruled out|unlikely|excluded|not\b)"
    return None if explanation and re.match(verdict, explanation[0].strip(), re.I) else name


def _name(raw: str) -> str | None:
    """The diagnosis alone, or None where it is negated, too long, or none."""
    text = _HEDGE.sub("", (_before_explanation(" ".join(raw.split())) or "").strip(" \t\"'“”.,;:*"))
    return (
        text
        if re.search(r"[A-Za-z]{2}", text) and len(text.split()) <= MAX_WORDS and not _NO_NAME.search(text)
        else None
    )
