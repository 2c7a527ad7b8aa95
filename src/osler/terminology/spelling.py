"""Two spellings of one name: they differ in case, in spacing or in how Unicode writes a character, and in no sign."""

from __future__ import annotations

import re
import unicodedata

# Characters that stand for others and nothing more: full-width letters, ligatures, a Roman numeral in one character.
# Not <super>, <sub>, <fraction> and <circle>: without its sign, 10² would be 102.
_COMPATIBLE = ("<compat>", "<wide>", "<narrow>")
# They take no room and are no sign: zero-width space, soft hyphen, word joiner, direction marks, BOM. Joiners (U+200C,
# U+200D) stay: they change letters of Arabic and Indic scripts.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))


def tidy(name: str) -> str:
    """``name`` with one space between its words and none at its ends, and each character in its usual form (NFC).

    Compatible characters (ﬁ, Ａ, Ⅳ) become what they stand for. Signs (², ½, ↑, ±) and marks of letters stay.
    """
    if not name.isascii():  # most names are
        name = unicodedata.normalize("NFC", "".join(map(_usual, name.translate(_INVISIBLE))))
    return " ".join(name.split())


def spelling(name: str) -> str:
    """The same for names that are one name in another case or spacing, or in other characters; see :func:`tidy`."""
    return unicodedata.normalize("NFC", tidy(name).lower())


def _usual(character: str) -> str:
    kind, _, code_points = unicodedata.decomposition(character).partition(" ")
    # What is a space and a mark stands for an apostrophe where people write it (Crohn´s).
    if kind not in _COMPATIBLE or code_points.startswith("0020"):
        return character
    return unicodedata.normalize("NFKC", character)


# A minus behind a word or before a number, which no hyphen is: ER-, COVID-19 (-), -1.
_SIGN = re.compile(r"[+<>=±≤≥]|(?<=\w)[-‐‑‒–−](?!\w)|(?<!\w)[-‐‑‒–−](?=\d|ve\b|\W{0,2}$)")
_VIETNAMESE = re.compile("[ăđơưĂĐƠƯ\u1ea0-\u1ef9]")


def has_sign(name: str) -> bool:
    """Whether ``name`` holds what rules for the words of European languages would lose, and so make two names one.

    That is a sign (ER+, -1, ↑, ♀, ²), or a letter of another script than Latin, where a mark makes another letter (か,
    が), or of Vietnamese, where it makes another word (*viêm tủy*, *viêm tụy*). Of Greek, α to δ are known.
    """
    if _SIGN.search(name):
        return True
    if name.isascii():
        return False
    return _VIETNAMESE.search(tidy(name)) is not None or any(map(_is_foreign, tidy(name)))


def _is_foreign(character: str) -> bool:
    category = unicodedata.category(character)
    if category[0] in "LN":
        return character not in "αβγδ" and (
            unicodedata.decomposition(character).startswith("<")
            or not (character.isascii() or unicodedata.name(character, "").startswith("LATIN "))
        )
    return (category[0] == "M" and not "\u0300" <= character <= "\u036f") or category in ("Sm", "So")
