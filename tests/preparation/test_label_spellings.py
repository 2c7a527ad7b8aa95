"""Which labels of a source are one label, and which are only said to be alike."""

from __future__ import annotations

import unicodedata

import pytest

from osler.preparation.label_spellings import find_similar, merge_spellings


def test_spellings_of_one_label_are_one_label_in_the_most_frequent_spelling() -> None:
    accented = "M\u00e9ni\u00e8re"
    apart = unicodedata.normalize("NFD", accented)
    found = merge_spellings({"Gout": 5, "gout": 9, " Gout\u00a0": 5, "GOUT": 1, accented: 1, apart: 2, "": 3, " ": 1})
    assert found == dict.fromkeys(("Gout", "gout", " Gout\u00a0", "GOUT"), "Gout") | {
        accented: accented,
        apart: accented,
    }


@pytest.mark.parametrize(
    "labels",
    [
        ("-1", "0", "1"),
        ("+", "-", "±"),
        ("ER+/PR-/HER2-", "ER-/PR+/HER2-"),
        ("TSH↑ T4↓", "TSH↓ T4↑"),
        ("COVID-19", "COVID-19 (-)"),
        ("score <5", "score >5"),
        ("♀", "♂"),
        ("😀", "😢"),
        ("viêm tủy", "viêm tụy"),
        ("か", "が"),
        ("ข่าว", "ข้าว"),
        ("10²", "102"),
        ("Crohn's disease", "Crohn disease", "Crohns disease"),
        ("UTI", "urinary tract infection"),
    ],
)
def test_what_differs_in_more_than_case_and_spacing_stays_apart(labels: tuple[str, ...]) -> None:
    assert merge_spellings(dict.fromkeys(labels, 1)) == {label: label for label in labels}


def test_labels_of_a_task_are_looked_up() -> None:
    known = {"migraine": "migraine"}
    assert merge_spellings({"migraine": 1, "gout": 1}, known.get) == {"migraine": "migraine", "gout": None}


def test_labels_that_may_be_one_are_found_and_other_diseases_are_not() -> None:
    one = [
        ["Crohn disease", "Crohn's disease"],
        ["UTI", "Urinary tract infections"],
        ["diabetes", "diabets", "diabtes"],
    ]
    other = [
        "hypothyroidism",
        "hyperthyroidism",
        "hepatitis A",
        "hepatitis B",
        "type 1 angina",
        "type 2 angina",
        "HIV-",
    ]
    other += ["HIV+", "-1", "1", "AML", "ALL"]
    assert find_similar([label for group in one for label in group] + other) == one
