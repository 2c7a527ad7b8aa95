"""Which language a text is in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MIN_WORDS = 6  # of a text with fewer no detector can tell the language, and Latin terms would decide
SURE = 0.95


def is_in(text: str, language: str, probability: float = SURE, min_words: int = MIN_WORDS) -> bool:
    """Whether ``text`` may be in ``language`` (ISO 639-1): it is too short to tell, or it is not in another one with
    this ``probability``."""
    if len(text.split()) < min_words:
        return True
    # The likeliest language alone does not decide: related ones, such as kinds of Arabic, share the probability.
    return float(dict(_identifier().rank(text))[language]) > 1 - probability


def language_of(words: Sequence[str]) -> str | None:
    """The language that these words are in, with ``SURE`` probability; None where that cannot be told."""
    if len(words) < MIN_WORDS:
        return None
    language, probability = _identifier().classify(" ".join(words))
    return str(language) if probability >= SURE else None


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # No note is written in Latin, but lists of clinical terms look like it.
    identifier.set_languages([language for language in identifier.labels if language != "la"])
    return identifier
