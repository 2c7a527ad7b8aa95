"""Ages are read from durations, in years."""

from __future__ import annotations

import pytest

from osler.patients.patient import sex_and_age, years


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("P5Y", 5),
        ("P5Y8M", 5 + 8 / 12),
        ("P7M", 7 / 12),
        ("P3W", 3 / 52),
        ("P1Y2M3D", 1 + 2 / 12 + 3 / 365),
        ("P0D", 0),
        ("P2DT6H", 2.25 / 365),
        ("PT6H", 0.25 / 365),
        ("P0.5Y", 0.5),
        ("P1Y2,5M", 1 + 2.5 / 12),
        ("P1Yold", None),
        ("PT", None),
        ("P", None),
        ("", None),
        (None, None),
        ("Congenital onset", None),
        ("5 years", None),
    ],
)
def test_ages_are_in_years(duration: str | None, expected: float | None) -> None:
    assert years(duration) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A 12-year-old boy with a dislocated lens; his mother is a tall woman.", {"sex": "male", "age_band": "5-17"}),
        ("She is 71 years old. Female, with chorea.", {"sex": "female", "age_band": "65+"}),
        ("A newborn girl with low muscle tone.", {"sex": "female", "age_band": "0-4"}),
        ("Fever for 3 days. Emanates from a mandible.", {}),
    ],
)
def test_sex_and_age_are_those_of_whom_a_text_speaks_first(text: str, said: dict[str, str]) -> None:
    assert sex_and_age(text) == said
