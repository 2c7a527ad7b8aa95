"""What is done to every row of a raw export before anything is learnt from it: each step by name, with its reason.

A task lists its steps in ``task.yaml``, in the order they are taken, and says why it takes each::

    preparation:
      cleaning:
        - {step: encoding, reason: the export was read as Latin-1 once}
        - {step: length, min_words: 3, reason: shorter notes say nothing}

A step changes a row or drops it; both are counted. Nothing here sees two rows at once: what must is in
:mod:`osler.preparation.preparation`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol

from osler.errors import join, nearest
from osler.recipe import Problem, check
from osler.terminology import canonical


class Cleaned(NamedTuple):
    """A row after the steps: ``dropped`` is the step that ended it, or None; ``changed`` are those that changed it."""

    text: str
    label: str
    dropped: str | None
    changed: tuple[str, ...]


class Step(Protocol):
    """One step. ``reason`` is why the task takes it."""

    @property
    def reason(self) -> str: ...

    def __call__(self, text: str, label: str) -> str | None:
        """The text, changed or not; None where the row is to be dropped. ``label`` is one of the task's, or empty."""


@dataclass(frozen=True)
class Encoding:
    """Undo text that was decoded wrongly ("sÃ­ndrome"), and write what Unicode has two ways of writing in one (NFC)."""

    reason: str

    def __call__(self, text: str, label: str) -> str | None:
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


# A clinician writes "<2 cm" and "CRP<br", so only what HTML knows counts as a tag.
_TAGS = re.compile(
    r"<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->|</?(?:a|abbr|article|b|big|blockquote|body|br|center|code|col|dd|div"
    r"|dl|dt|em|font|footer|form|h[1-6]|head|header|hr|html|i|img|input|label|li|link|main|meta|nav|ol|option|p|pre|s"
    r"|section|select|small|span|strong|sub|sup|table|tbody|td|tfoot|th|thead|title|tr|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)


@dataclass(frozen=True)
class Html:
    """Take tags, comments and scripts out, and write entities as the characters they stand for."""

    reason: str

    def __call__(self, text: str, label: str) -> str | None:
        bare = _TAGS.sub(lambda tag: "" if re.match(r"</?(?:b|em|i|s|strong|u)\b", tag[0], re.I) else " ", text)
        return _ENTITY.sub(lambda entity: html.unescape(entity[0]), bare)


@dataclass(frozen=True)
class ControlCharacters:
    """Take out characters that are not text: NUL and its kind, zero-width spaces, marks of direction, a BOM."""

    reason: str

    def __call__(self, text: str, label: str) -> str | None:
        if text.isascii() and text.isprintable():
            return text
        # Cc: control, Cf: format, Cs: lone surrogates, Co: private use. Line ends and tabs are for `whitespace`.
        kept = (c for c in text if c in "\n\r\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
        return "".join(kept)


@dataclass(frozen=True)
class Whitespace:
    """One space between words, one line end between lines, none at the ends."""

    reason: str

    def __call__(self, text: str, label: str) -> str | None:
        lines = (" ".join(line.split()) for line in text.splitlines())
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Missing:
    """Drop a row without a text."""

    reason: str

    def __call__(self, text: str, label: str) -> str | None:
        return text if text.strip() else None


@dataclass(frozen=True)
class Unlabelled:
    """Drop a row without a label, or with one that means none of the task's."""

    reason: str

    def __call__(self, text: str, label: str) -> str | None:
        return text if label else None


@dataclass(frozen=True)
class Length:
    """Drop a row with fewer or more words."""

    reason: str
    min_words: int = 1
    max_words: int | None = None

    def __call__(self, text: str, label: str) -> str | None:
        n = len(text.split())
        return text if self.min_words <= n and (self.max_words is None or n <= self.max_words) else None


@dataclass(frozen=True)
class Language:
    """Drop a row that is, with at least this probability, in another language (ISO 639-1).

    Of fewer than ``min_words`` words nothing is concluded: no detector can, and Latin terms would decide.
    """

    reason: str
    keep: str = "en"
    probability: float = 0.95
    min_words: int = 6

    def __call__(self, text: str, label: str) -> str | None:
        if len(text.split()) < self.min_words:
            return text
        # Not that of the likeliest alone: three kinds of Arabic, or of Chinese, share it.
        return text if dict(_languages().rank(text))[self.keep] > 1 - self.probability else None


# One word, and no diagnosis: what ICD-10-CM files under symptoms and signs (R00 to R69) of what notes say, in American
# spelling, and what answers a question. As labels they are parts of what any text may say: "back pain", "no fever".
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
    "abnormal absent healthy high ill low mild moderate negative no none normal not other positive present severe"
    " sick unknown unspecified well yes"
)
_COMMON = frozenset(f"{SYMPTOMS} {ANSWERS}".split())


@dataclass(frozen=True)
class LabelInText:
    """The answer stands in the question: write ``[diagnosis]`` in its place, or drop the row.

    A label that is one common word, of ``SYMPTOMS`` or ``ANSWERS``, stays where it stands unless ``keep_common`` is
    false: rows of every label say it, and masked in rows of its own alone, ``[diagnosis]`` would give the answer away.
    """

    reason: str
    action: Literal["mask", "drop"] = "mask"
    keep_common: bool = True

    def __call__(self, text: str, label: str) -> str | None:
        if not label or self.keeps(label):
            return text
        masked = _pattern(label).sub("[diagnosis]", text)
        return masked if self.action == "mask" or masked == text else None

    def keeps(self, label: str) -> bool:
        """Whether ``label`` stays in texts."""
        return self.keep_common and _is_common(label)

    def left(self, label: str, texts: Iterable[str]) -> int:
        """In how many ``texts`` of this ``label`` it stands and stays."""
        return sum(_pattern(label).search(text) is not None for text in texts) if self.keeps(label) else 0


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

# Of a file that nobody has written a task for yet. It goes into the new task's file, to be read and changed there.
USUAL: tuple[dict[str, Any], ...] = (
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
        "reason": "a model would learn to copy the answer; a label that is one common word is in any text",
    },
)


def steps(content: Any, key: str) -> dict[str, Step]:
    """The steps a task file lists under ``key``, by name, in its order.

    Raises:
        Problem: a step is unknown, comes twice, lacks its reason, or has a setting of another name, type or range.
    """
    check(content, list, key)
    found: dict[str, Step] = {}
    for number, entry in enumerate(content):
        where = f"{key}.{number}"
        check(entry, dict, where)
        name = entry.get("step")
        if name not in STEPS:
            raise Problem(join(where, "step"), f"{name!r} is none of {', '.join(STEPS)}{nearest(name, STEPS)}")
        if name in found:
            raise Problem(join(where, "step"), f"{name} comes twice")
        settings = {setting: value for setting, value in entry.items() if setting != "step"}
        check(settings, STEPS[name], where)
        found[name] = STEPS[name](**settings)
        _check_ranges(settings, where)
    return found


def _check_ranges(settings: Mapping[str, Any], where: str) -> None:
    for name in ("min_words", "max_words"):
        if settings.get(name) is not None and settings[name] < 1:
            raise Problem(join(where, name), f"{settings[name]}: at least 1")
    if not 0 < settings.get("probability", 1) <= 1:
        raise Problem(join(where, "probability"), f"{settings['probability']}: above 0, at most 1")
    if not settings["reason"].strip():
        raise Problem(join(where, "reason"), "empty; say why the task takes this step")


class Cleaning:
    """Steps, and what each distinct label of the source means.

    Args:
        steps: as :func:`steps` gives them.
        labels: label as the source has it → the task's label, or None where it means none of them.
    """

    def __init__(self, steps: Mapping[str, Step], labels: Mapping[str, str | None]) -> None:
        self._steps = steps
        self._labels = labels

    def clean(self, text: str | None, label: str | None) -> Cleaned:
        """Take the steps, until one of them drops the row."""
        now, meant = text or "", self._labels.get(label or "") or ""
        changed = ["labels"] if meant and meant != label else []
        for name, step in self._steps.items():
            after = step(now, meant)
            if after is None:
                return Cleaned(now, meant, name, tuple(changed))
            if after != now:
                changed.append(name)
                now = after
        return Cleaned(now, meant, None, tuple(changed))


def spellings(counts: Mapping[str, int], known: Callable[[str], str | None] | None = None) -> dict[str, str | None]:
    """What each label of a source means.

    Args:
        counts: label as it stands → how many rows have it.
        known: finds a task's label for it, or None; where there is no task yet, labels of one canonical form
            (:func:`osler.terminology.normal_form.canonical`) are one, in their most frequent spelling.
    """
    trimmed = {label: " ".join(label.split()) for label in counts if label.strip()}
    if known is not None:
        return {label: known(text) for label, text in trimmed.items()}
    alike: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, text in trimmed.items():
        alike[_form(text)][text] += counts[label]
    # Ties by spelling, so that the order of the rows does not decide.
    chosen = {form: min(of, key=lambda text: (-of[text], text)) for form, of in alike.items()}
    return {label: chosen[_form(text)] for label, text in trimmed.items()}


def _form(label: str) -> str:
    """Its canonical form, which knows no signs: B+ is not B-, nor <5 the same as >5, and 😀 has nothing else."""
    return " ".join([canonical(label), *re.findall(r"[+<>=≤≥±]|[-−]$", label)]).strip() or label


def stated(steps: Mapping[str, Step]) -> list[dict[str, Any]]:
    """Name and reason of each step, in order, for a report."""
    return [{"step": name, "reason": step.reason} for name, step in steps.items()]


def counted(rows: Iterable[Cleaned], steps: Sequence[str]) -> dict[str, dict[str, int]]:
    """Step → how many rows it changed and dropped."""
    changed: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for row in rows:
        changed.update(row.changed)
        if row.dropped:
            dropped[row.dropped] += 1
    return {name: {"changed": changed[name], "dropped": dropped[name]} for name in ("labels", *steps)}


@cache
def _is_common(label: str) -> bool:
    """Whether it is one common word, in either spelling and number; a code in brackets does not count."""
    word = label.partition(" (")[0].strip().lower()
    american = word.replace("ae", "e").replace("oe", "e")
    return bool({word, american, american.removesuffix("s")} & _COMMON)


@cache
def _pattern(label: str) -> re.Pattern[str]:
    """The words of a label as they may stand in a text: any case, spaces or hyphens between them, a plural. What it has
    in brackets, such as its code, is seldom said."""
    words = re.findall(r"\w+", label.partition(" (")[0])
    if not words:  # 😀; without a word, the pattern would find the edge of every word
        return re.compile(re.escape(label))
    return re.compile(r"\b" + r"[\W_]{1,3}".join(map(re.escape, words)) + r"(?:e?s)?\b", re.IGNORECASE)


@cache
def _languages() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Nobody writes notes in Latin, but lists of clinical terms look like it.
    identifier.set_languages([language for language in identifier.labels if language != "la"])
    return identifier
