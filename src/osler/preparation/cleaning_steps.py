"""The cleaning steps: each changes the text of a row or drops the row, and has a name and a reason.

A task lists its steps in ``task.yaml`` in their order, and says why it takes each::

    preparation:
      cleaning:
        - {step: encoding, reason: the export was read as Latin-1 once}
        - {step: length, min_words: 3, reason: shorter notes say nothing}

A step sees one row at a time. Duplicates and conflicting labels are found in :mod:`osler.preparation.row_selection`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from osler.errors import join, nearest
from osler.preparation.label_masking import LabelNames, holds_words, is_common, names_label
from osler.recipe import Problem, check
from osler.terminology import languages


class Step(Protocol):
    """A cleaning step. ``reason`` says why the task takes it."""

    @property
    def reason(self) -> str: ...

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        """The text, changed or not; None drops the row.

        ``label`` is one of the task's labels, or empty; ``names`` finds the names of all of them.
        """


@dataclass(frozen=True)
class Encoding:
    """Repair text that was decoded wrongly ("sÃ­ndrome"), and bring it into Unicode's composed form (NFC)."""

    reason: str

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        import ftfy

        return ftfy.fix_text(
            text,
            unescape_html=False,  # a step of its own
            uncurl_quotes=False,
            fix_latin_ligatures=True,
            fix_character_width=True,
            remove_terminal_escapes=True,
            remove_control_chars=False,  # a step of its own
            normalization="NFC",
        )


# Where one of these opens and the other closes, neither they nor what is between them is text.
_HIDDEN = [
    (re.compile(rf"<{name}\b[^<>]*>", re.IGNORECASE), re.compile(rf"</{name}\s*>", re.IGNORECASE))
    for name in ("script", "style")
] + [(re.compile("<!--"), re.compile("-->"))]
# Clinicians write "<2 cm", "CRP<br" and "pO2 <i and pCO2 >45", so a tag is the name of an HTML element and nothing but
# attributes behind it: with a value, or one of those that have none.
_ATTRIBUTE = (
    r"(?:(?:checked|compact|disabled|hidden|multiple|noshade|nowrap|readonly|required|reversed|selected)(?![\w=-])"
    r"|[a-z][\w:.-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=]+))"
)
_TAGS = re.compile(
    r"</?(?:a|abbr|article|b|big|blockquote|body|br|center|code|col|dd|div|dl|dt|em|font|footer|form|h[1-6]|head|header"
    r"|hr|html|i|img|input|label|li|link|main|meta|nav|ol|option|p|pre|s|section|select|small|span|strong|sub|sup|table"
    rf"|tbody|td|tfoot|th|thead|title|tr|u|ul)(?:\s+{_ATTRIBUTE})*\s*/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)


@dataclass(frozen=True)
class Html:
    """Remove tags, comments and scripts, and replace entities by the characters that they stand for."""

    reason: str

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        for opening, closing in _HIDDEN:
            text = _without_hidden(text, opening, closing)
        bare = _TAGS.sub(lambda tag: "" if re.match(r"</?(?:b|em|i|s|strong|u)\b", tag[0], re.I) else " ", text)
        return _ENTITY.sub(lambda entity: html.unescape(entity[0]), bare)


def _without_hidden(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """``text`` without what is between the two; what opens and does not close is text.

    In one pass: one pattern for both, like Python's ``html.parser``, would read to the end from each of many openings.
    """
    pieces, at = [], 0
    while (first := opening.search(text, at)) and (last := closing.search(text, first.end())):
        pieces += [text[at : first.start()], " "]
        at = last.end()
    return "".join([*pieces, text[at:]])


@dataclass(frozen=True)
class ControlCharacters:
    """Remove characters that are not text: NUL and other controls, zero-width spaces, direction marks, a BOM."""

    reason: str

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        if text.isascii() and text.isprintable():
            return text
        # Cc: control, Cf: format, Cs: lone surrogates, Co: private use. Line ends and tabs are left to `whitespace`.
        return "".join(c for c in text if c in "\n\r\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


@dataclass(frozen=True)
class Whitespace:
    """Leave one space between words and one line end between lines, and none at the ends."""

    reason: str

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        lines = (" ".join(line.split()) for line in text.splitlines())
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Missing:
    """Drop a row without a text."""

    reason: str

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        return text if text.strip() else None


@dataclass(frozen=True)
class Unlabelled:
    """Drop a row without a label, or with one that matches none of the task's."""

    reason: str

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        return text if label else None


@dataclass(frozen=True)
class Length:
    """Drop a row with fewer than ``min_words`` or more than ``max_words`` words."""

    reason: str
    min_words: int = 1
    max_words: int | None = None

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        n = len(text.split())
        return text if self.min_words <= n and (self.max_words is None or n <= self.max_words) else None


@dataclass(frozen=True)
class Language:
    """Drop a row whose text is, with at least this probability, not in the language ``keep`` (ISO 639-1).

    A text of fewer than ``min_words`` words stays: no detector can tell its language, and Latin terms would decide.
    """

    reason: str
    keep: str = "en"
    probability: float = languages.SURE
    min_words: int = languages.MIN_WORDS

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        return text if languages.is_in(text, self.keep, self.probability, self.min_words) else None


@dataclass(frozen=True)
class LabelInText:
    """Replace the names of all labels of the task by ``[diagnosis]``, or drop a row whose text contains one.

    Every row is treated alike, whatever its label: masked only in rows of its own label, a mask would be the answer.
    Whether masks tell the label all the same is measured (:mod:`osler.preparation.mask_leak`). A label of common words
    alone (see :mod:`osler.preparation.label_masking`) is kept unless ``keep_common`` is false.
    """

    reason: str
    action: Literal["mask", "drop"] = "mask"
    keep_common: bool = True

    def __call__(self, text: str, label: str, names: LabelNames) -> str | None:
        masked = names.mask(text, self.keep_common)
        return masked if self.action == "mask" or masked == text else None

    def count_kept(self, label: str, texts: Iterable[str]) -> int:
        """The number of ``texts`` of this ``label`` in which it is left because it consists of common words."""
        return sum(names_label(label, text) for text in texts) if self.keep_common and is_common(label) else 0

    def count_missed(self, label: str, texts: Iterable[str]) -> int:
        """The number of ``texts`` of this ``label`` with all its words in a sentence, though it should be masked."""
        return 0 if self.keep_common and is_common(label) else sum(holds_words(label, text) for text in texts)


STEPS: Mapping[str, type[Any]] = {
    "encoding": Encoding,
    "html": Html,
    "control_characters": ControlCharacters,
    "whitespace": Whitespace,
    "missing": Missing,
    "unlabelled": Unlabelled,
    "length": Length,
    "language": Language,
    "label_in_text": LabelInText,
}

# For an export that has no task yet. They are written into the new task's file, to be read and changed there.
DEFAULT_STEPS: tuple[dict[str, Any], ...] = (
    {"step": "encoding", "reason": "text decoded wrongly once is another text to a tokenizer"},
    {"step": "html", "reason": "tags are how a page looked, not what was said"},
    {"step": "control_characters", "reason": "they cannot be seen, and split words"},
    {"step": "whitespace", "reason": "how a text was laid out would tell its source"},
    {"step": "missing", "reason": "nothing can be learnt from no text"},
    {"step": "unlabelled", "reason": "nothing can be learnt without the answer"},
    {
        "step": "length",
        "min_words": 3,
        "max_words": 1000,
        "reason": "fewer words describe no patient, more are no note",
    },
    {"step": "language", "reason": "the base model and the baselines read English"},
    {
        "step": "label_in_text",
        "action": "mask",
        "keep_common": True,
        "reason": "a model would learn to copy the answer; common words are in any text",
    },
)


def parse_steps(content: Any, key: str) -> dict[str, Step]:
    """Name → step, for the steps that a task file lists under ``key``, in its order.

    Raises:
        Problem: a step is unknown, is listed twice or lacks its reason, or a setting has the wrong name, type or range.
    """
    check(content, list, key)
    steps: dict[str, Step] = {}
    for number, entry in enumerate(content):
        where = f"{key}.{number}"
        check(entry, dict, where)
        name = entry.get("step")
        if name not in STEPS:
            raise Problem(
                join(where, "step"), f"no step {name!r}; expected one of {', '.join(STEPS)}{nearest(name, STEPS)}"
            )
        if name in steps:
            raise Problem(join(where, "step"), f"{name} is listed twice; remove one")
        settings = {setting: value for setting, value in entry.items() if setting != "step"}
        check(settings, STEPS[name], where)
        steps[name] = STEPS[name](**settings)
        _check_ranges(settings, where)
    return steps


def _check_ranges(settings: Mapping[str, Any], where: str) -> None:
    for name in ("min_words", "max_words"):
        if settings.get(name) is not None and settings[name] < 1:
            raise Problem(join(where, name), f"{settings[name]} is too low; use at least 1")
    if not 0 < settings.get("probability", 1) <= 1:
        raise Problem(join(where, "probability"), f"{settings['probability']} is out of range: above 0, at most 1")
    if not settings["reason"].strip():
        raise Problem(join(where, "reason"), "is empty; say why the task takes this step")
