"""Make surrogates for identifiers: ``[NAME-1]``, the same for every mention of a name; a shifted date; ``90+``.

Brackets show that something was replaced; an invented name would hide that, and would hide what was missed. The dates
of a patient are shifted by a number of whole weeks that depends on the key and the patient, so that weekdays and the
time between two dates are preserved. Numbers follow the order of appearance, so they reveal nothing of the identifier.
"""

# ruff: noqa: SIM905  (a list of words is read in one piece)
from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from datetime import date, timedelta

WEEKS = 52  # dates are shifted by 1 to this many weeks, forwards or backwards
MAX_AGE = 89  # Safe Harbor groups ages over 89, and dates that reveal them: 45 CFR 164.514(b)(2)(i)(C)
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
# French, German, Spanish and Italian, where English has another name: such a date is found, but not shifted.
FOREIGN_MONTHS = frozenset(
    "janvier février fevrier mars avril mai juin juillet août aout septembre octobre novembre décembre decembre januar"
    " jänner februar märz juni juli oktober dezember enero febrero marzo abril mayo junio julio agosto septiembre"
    " octubre noviembre diciembre gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre".split()
)
_RANGE = re.compile(
    r"(\d{1,2}(?:([/.-])\d{1,2}(?:\2(?:\d{4}|\d{2}))?)?)(\.?[ ]?[–-][ ]?)(\d{1,2}([/.])\d{1,2}\5(?:\d{4}|\d{2}))"
)
_PART = re.compile(r"\d+|[^\W\d_]+")


class Surrogates:
    """The surrogates of each patient. They are kept in memory, which grows with the number of identifiers."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._numbers: dict[str, dict[tuple[str, str], int]] = {}  # patient → type and normal form → number

    def placeholder(self, patient: str, kind: str, identifier: str) -> str:
        """``[NAME-1]`` for the first name of ``patient``. A part of a name gets the number of the first whole name."""
        numbers = self._numbers.setdefault(patient, {})
        form = _normal(identifier)
        words = [word for word in form.split() if len(word) > 1] if kind == "NAME" else []
        form = " ".join(sorted(words)) or form  # Smith, John is John A. Smith
        if (kind, form) not in numbers:
            number = 1 + max((n for (other, _), n in numbers.items() if other == kind), default=0)
            numbers[kind, form] = number
            for word in words:
                numbers.setdefault((kind, word), number)
        return f"[{kind}-{numbers[kind, form]}]"

    def shift(self, patient: str) -> timedelta:
        """The shift of the dates of ``patient``: one of 104, chosen by the HMAC-SHA256 of the patient."""
        digest = hmac.new(self._key, patient.encode(), hashlib.sha256).digest()
        weeks = int.from_bytes(digest[:8], "big") % (2 * WEEKS) - WEEKS
        return timedelta(weeks=weeks if weeks < 0 else weeks + 1)


def _normal(identifier: str) -> str:
    """Equal for SMITH and Smith, García and Garcia, 020 7946 and 0207946."""
    text = unicodedata.normalize("NFKD", identifier).casefold()
    text = "".join(character for character in text if not unicodedata.combining(character))
    if any(character.isdigit() for character in text):
        return re.sub(r"[\W_]+", "", text)
    return " ".join(re.findall(r"[^\W\d_]+", re.sub(r"['’]", "", text)))


def is_day_first(text: str) -> bool | None:
    """Whether the day comes first in a date such as 21/12/2022; None where either fits, and where it is no date."""
    numbers = [int(part) for part in _PART.findall(text)[:2]]
    return numbers[0] > 12 if is_date(text) and max(numbers) > 12 else None


def is_date(text: str) -> bool:
    """Whether the numbers and words make a date, in either order of day and month."""
    if dates := _RANGE.fullmatch(text):
        return is_date(dates[4])
    parts = _PART.findall(text)
    if _is_foreign(parts):
        return True
    return _value(dict(zip(_fields(parts, True), parts, strict=True)), date.max) is not None


def shift_date(text: str, by: timedelta, day_first: bool | None, today: date) -> str | None:
    """The date ``text`` shifted by ``by``, in the same notation.

    A month without a day is shifted as its 15th, and a day without a year as in a year that is no leap year. Of two
    dates with a dash between them the first, without a year, is the last such day before the other.

    Returns:
        None if ``text`` is no date, reveals an age over 89, depends on ``day_first`` and that is None, can be two years
        (2011-12), names its month in another language, or is a day and a date (1.-9.4.2021).
    """
    if dates := _RANGE.fullmatch(text):
        return _shift_range(dates, by, day_first, today)
    parts = _PART.findall(text)
    if _is_foreign(parts) or _are_years(parts):
        return None
    fields = _fields(parts, day_first is not False)
    if day_first is None and fields != _fields(parts, False):
        return None
    value = _value(dict(zip(fields, parts, strict=True)), today)
    if value is None or ("year" in fields and today.year - value.year > MAX_AGE):
        return None
    moved = value + by
    # 12/10/2021 fits both notations, with and without leading zeros; a single digit fits only one.
    numbers = [part for part, field in zip(parts, fields, strict=True) if field in ("day", "month")]
    padded = any(part[0] == "0" for part in numbers) or (
        "monthname" not in fields and min(map(len, numbers), default=2) > 1
    )
    new = iter([_written(part, field, moved, padded) for part, field in zip(parts, fields, strict=True)])
    return _PART.sub(lambda match: next(new), text)


def _shift_range(dates: re.Match[str], by: timedelta, day_first: bool | None, today: date) -> str | None:
    """The two dates of a range, shifted; the first without a year again if it had none."""
    first, mark, dash, last = dates.group(1, 2, 3, 4)
    moved_last = shift_date(last, by, day_first, today)
    if mark is None or moved_last is None:
        return None
    if len(_PART.findall(first)) == 3:
        moved_first = shift_date(first, by, day_first, today)
        return moved_first and f"{moved_first}{dash}{moved_last}"
    year = _PART.findall(last)[2]
    values = [
        _value(dict(zip(_fields(p, day_first is not False), p, strict=True)), today)
        for p in (_PART.findall(f"{first}{mark}{year}"), _PART.findall(last))
    ]
    if values[0] and values[1] and values[0] > values[1]:
        year = f"{(int(year) - 1) % 10 ** len(year):0{len(year)}}"
    moved_first = shift_date(f"{first}{mark}{year}", by, day_first, today)
    return moved_first and f"{moved_first.rpartition(mark)[0]}{dash}{moved_last}"


def _is_foreign(parts: Sequence[str]) -> bool:
    return any(part.lower() in FOREIGN_MONTHS for part in parts)


def _are_years(parts: Sequence[str]) -> bool:
    """Whether the second number can be the year after the first: a winter, 2011-12."""
    return (
        len(parts) == 2 and len(parts[0]) == 4 and parts[0].isdigit() and parts[1] == f"{(int(parts[0]) + 1) % 100:02}"
    )


def _fields(parts: Sequence[str], day_first: bool) -> list[str]:
    """The kind of each part of a date: day, month, monthname, year, yyyymmdd, ordinal or other."""
    fields = [_field(part) for part in parts]
    numbers = [place for place, field in enumerate(fields) if field == "number"]
    if "monthname" in fields:
        for place in numbers:  # 12 Mar 21: the first number is the day. 2021 March 12: four digits are a year.
            fields[place] = "year" if len(parts[place]) == 4 or "day" in fields else "day"
        return fields
    names = ["day", "month"] if day_first else ["month", "day"]
    if numbers and len(parts[numbers[0]]) == 4:
        names = ["year", "month", "day"]
    elif len(numbers) == 2 and len(parts[numbers[1]]) == 4:
        names = ["month", "year"]
    elif len(numbers) >= 2:
        if int(parts[numbers[names.index("month")]]) > 12:
            names.reverse()
        names.append("year")
    for place, name in zip(numbers, names, strict=False):
        fields[place] = name
    return fields


def _field(part: str) -> str:
    if part.isdigit():
        return "yyyymmdd" if len(part) == 8 else "number"
    if _month(part):
        return "monthname"
    return "ordinal" if part.lower() in ("st", "nd", "rd", "th") else "other"


def _month(word: str) -> int:
    """The number of the month that ``word`` names or abbreviates; 0 if it is none."""
    word = "sep" if word.lower() == "sept" else word.lower()
    return next((n for n, name in enumerate(MONTHS, 1) if len(word) >= 3 and name.startswith(word)), 0)


def _value(parts: dict[str, str], today: date) -> date | None:
    """The date with these parts, by kind; None if there is none."""
    if whole := parts.get("yyyymmdd"):
        parts = {"year": whole[:4], "month": whole[4:6], "day": whole[6:]}
    month = int(parts["month"]) if "month" in parts else _month(parts.get("monthname", ""))
    year = int(parts.get("year", "2001"))
    if len(parts.get("year", "2001")) < 4:
        year += 2000 if year <= today.year % 100 else 1900
    try:
        return date(year, month, int(parts.get("day", "15")))
    except ValueError:
        return None


def _written(part: str, field: str, moved: date, padded: bool) -> str:
    """A part of the shifted date, in the length and case of the old one."""
    if field in ("day", "month"):
        return f"{getattr(moved, field):0{2 if padded else 1}}"
    if field == "monthname":
        name = MONTHS[moved.month - 1]
        name = name if part.lower() in MONTHS and part.lower() != "may" else name[:3]
        return name.upper() if part.isupper() else name.capitalize() if part[0].isupper() else name
    if field == "year":
        return f"{moved.year % 100:02}" if len(part) < 4 else str(moved.year)
    if field == "ordinal":
        suffix = "th" if 4 <= moved.day <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(moved.day % 10, "th")
        return suffix.upper() if part.isupper() else suffix
    return moved.strftime("%Y%m%d") if field == "yyyymmdd" else part
