"""Spellings that look the same are one name; a sign or a mark makes another."""

from __future__ import annotations

import time
import unicodedata

import pytest

from osler.terminology import canonical, normal_form, spelling

SAME = [
    ("Type 1  Diabetes ", "type 1 diabetes"),
    ("caf\u00e9 au lait", "cafe\u0301 au lait"),
    ("\ufb01brosis", "fibrosis"),
    ("\uff21sthma", "asthma"),
    ("type \u2163", "type IV"),
    ("flu\u200b", "Flu"),
    ("\uff76\uff9e", "\u30ac"),
    ("viêm tủy", unicodedata.normalize("NFD", "Viêm Tủy")),
]
OTHER = [
    ("-1", "1"),
    ("ER+/PR-/HER2-", "ER-/PR+/HER2-"),
    ("ER + PR - HER2 +", "ER - PR + HER2 +"),
    ("HIV−", "HIV"),
    ("COVID-19", "COVID-19 (-)"),
    ("HBsAg -ve", "HBsAg ve"),
    ("TSH↑ T4↓", "TSH↓ T4↑"),
    ("mosaic ♀", "mosaic ♂"),
    ("PSA <4", "PSA >4"),
    ("PSA ≤4", "PSA ±4"),
    ("10²", "102"),
    ("viêm tủy", "viêm tụy"),
    ("か", "が"),
    ("ข่าว", "ข้าว"),
    ("दिन", "दीन"),
    ("😀", "😢"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_case_spacing_and_characters_that_look_alike_make_no_other_name(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)
    assert normal_form(one) == normal_form(other)


def test_a_name_of_any_length_has_a_form_in_no_time() -> None:
    started = time.perf_counter()
    for worst in (" -" * 50_000 + "x", "-" * 100_000 + "x", "か" * 100_000, " " * 100_000 + "x"):
        normal_form(worst)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_a_sign_or_a_mark_makes_another_name(one: str, other: str) -> None:
    for form in (spelling, normal_form, canonical):
        assert form(one) != form(other) != ""
