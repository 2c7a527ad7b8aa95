"""Ages are read from durations, in years."""

from __future__ import annotations

import pytest

from osler.patients.patient import years


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
