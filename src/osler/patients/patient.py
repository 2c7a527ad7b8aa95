"""A patient as a set of findings, and ages and durations in years."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date

AGE_BANDS = ((5, "0-4"), (18, "5-17"), (40, "18-39"), (65, "40-64"), (math.inf, "65+"))  # upper limit in years


@dataclass(frozen=True)
class Patient:
    """One person. ``present`` and ``absent`` are HPO ids, ``onset`` is an HPO onset term, ``age`` is in years;
    ``equivalent`` are further ids of diseases that are as right as ``disease``."""

    case_id: str
    disease: str
    present: tuple[str, ...]
    absent: tuple[str, ...] = ()
    sex: str | None = None
    age: float | None = None
    onset: str | None = None
    publications: tuple[str, ...] = ()
    equivalent: tuple[str, ...] = ()


_SEX = re.compile(r"\b(?:(female|woman|girl)|male|man|boy)\b", re.IGNORECASE)
_AGE = re.compile(r"(\d{1,3})[- ](year|month|week|day)s?[- ]old")
_A_YEAR = {"year": 1, "month": 12, "week": 52, "day": 365}
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_DURATION = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII,
)
_PER_YEAR = (1, 12, 52, 365, 365 * 24, 365 * 24 * 60, 365 * 24 * 60 * 60)


def years(duration: str | None) -> float | None:
    """An ISO 8601 duration such as ``P5Y8M`` or ``P0.5Y`` in years; None for anything else."""
    match = _DURATION.fullmatch(duration or "")
    if not match or not any(match.groups()):
        return None
    numbers = (float((number or "0").replace(",", ".")) for number in match.groups())
    return sum(number / per_year for number, per_year in zip(numbers, _PER_YEAR, strict=True))


def years_between(birth: str, day: str) -> float | None:
    """Years from ``birth`` to ``day`` (YYYY-MM-DD), a whole number on birthdays; None if ``day`` comes first."""
    born, then = date.fromisoformat(birth), date.fromisoformat(day)
    birthdays = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return None if then < born else max((then - born).days / 365.25, birthdays)


def sex_and_age(text: str) -> dict[str, str]:
    """``sex`` and ``age_band`` of whom a text speaks first, as far as words like "35-year-old female" or "newborn" say
    them."""
    groups = {}
    if sex := _SEX.search(text):
        groups["sex"] = "female" if sex[1] else "male"
    if age := _AGE.search(text):
        groups["age_band"] = age_band(int(age[1]) / _A_YEAR[age[2]])
    elif "newborn" in text.lower():
        groups["age_band"] = age_band(0)
    return groups


def age_band(age: float) -> str:
    """The band of an age in years: ``0-4``, ``5-17`` …"""
    return next(band for limit, band in AGE_BANDS if age < limit)
