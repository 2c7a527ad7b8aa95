"""Which language a text is in."""

from __future__ import annotations

from osler.terminology import languages

ENGLISH = "The patient has had a cough and a fever for three days."
GERMAN = "Der Patient hat seit drei Tagen Husten und Fieber und klagt über Schmerzen."


def test_a_text_in_another_language_is_told() -> None:
    assert languages.is_in(ENGLISH, "en")
    assert languages.is_in(GERMAN, "de")
    assert not languages.is_in(GERMAN, "en")


def test_of_a_few_words_nothing_is_said() -> None:
    assert languages.is_in("Fieber und Husten", "en")


def test_the_language_of_words() -> None:
    assert languages.language_of(tuple(sorted(GERMAN.split()))) == "de"
    assert languages.language_of(tuple(sorted(ENGLISH.split()))) == "en"
    assert languages.language_of(("fever",)) is None
