"""A made-up hospital's export, with everything in it that exports have."""

from __future__ import annotations

import csv
import random
from pathlib import Path

SIGNS = {
    "Type 1 diabetes mellitus": ("great thirst", "weight loss", "passing much water", "blurred vision", "tiredness"),
    "Urinary tract infection": ("burning when passing water", "fever", "back pain", "cloudy urine", "shivering"),
    "Iron deficiency anaemia": ("pallor", "breathlessness on stairs", "brittle nails", "tiredness", "palpitations"),
}
SPELLINGS = {"Type 1 diabetes mellitus": ("type 1 diabetes mellitus", "Type 1 Diabetes Mellitus ")}
PLACES = ("on the ward", "in clinic", "at home", "in the emergency department", "by telephone", "on a home visit")
COLUMNS = ("record", "patient", "seen", "note", "diagnosis", "sex")
HTML, CONFLICTING, UNLABELLED, ANSWERED = "r900", ("r901", "r902"), "r903", "r904"


def rows(n: int = 240, first: int = 0) -> list[dict[str, str]]:
    """``n`` notes of some ``n / 2`` patients, two each, and where ``first`` is 0, those that cleaning is for."""
    made = []
    for number in range(first, first + n):
        draw = random.Random(number)
        label = sorted(SIGNS)[number // 2 % 3]
        signs = draw.sample(SIGNS[label], 3)
        days, age = draw.randrange(2, 60), draw.randrange(18, 80)
        note = (
            f"Seen {draw.choice(PLACES)}, aged {age}. {signs[0].capitalize()} and {signs[1]} for {days} days, then"
            f" {signs[2]}. Weight {draw.randrange(45, 110)} kg, pulse {draw.randrange(55, 120)}."
        )
        made.append(
            {
                "record": f"r{number}",
                "patient": f"p{number // 2}",
                "seen": f"20{10 + number % 15}-0{1 + number % 9}-1{number % 9}",
                "note": note,
                "diagnosis": draw.choice((label, label, *SPELLINGS.get(label, ()))),
                "sex": ("female", "male")[number // 2 % 2],
            }
        )
    if first == 0:
        extra = {"patient": "p900", "seen": "2015-01-01", "diagnosis": sorted(SIGNS)[0], "sex": "female"}
        seen = "Tired and pale since the spring, and short of breath."
        made += [
            {**extra, "record": HTML, "note": "<p>Brittle nails &amp; pallor,<br>palpitations at night.</p>"},
            {**extra, "record": CONFLICTING[0], "note": seen},
            {**extra, "record": CONFLICTING[1], "note": seen.upper(), "diagnosis": sorted(SIGNS)[1]},
            {**extra, "record": UNLABELLED, "note": "Nothing was found in this patient.", "diagnosis": ""},
            {**extra, "record": ANSWERED, "note": "Known iron deficiency anaemia, here for a blood count."},
            {**made[0], "record": "r905"},
        ]
    return made


def export(path: Path, made: list[dict[str, str]]) -> Path:
    """``made`` as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(made)
    return path


NAMED = ("--text-column", "note", "--label-column", "diagnosis", "--id-column", "record", "--group-column", "patient")
"""The columns, as they are named on the command line."""


def identified(folder: Path, n: int) -> list[str]:
    """Write an export of two files that name patients and clinicians everywhere: in notes, ids, groups, in the names of
    the files, in a label and in a row that cannot be read. Returns all that identifies somebody."""
    folder.mkdir()
    made = rows(n, first=5000)
    for number, row in enumerate(made):
        row["record"] = f"MRN-7{number:05}"
        row["patient"] = f"Whitfield^Margaret^{4711 + number // 2}"
        row["age"] = "94" if number == 3 else "57"
    made[0]["note"] = (
        "Mrs Margaret Whitfield (MRN 00483921) was seen by Dr Alan Pemberton on 23/04/2019."
        " Her mother has Wilson disease. She can be reached at margaret.whitfield@example.org or 020 7946 0958."
    )
    made[2]["note"] += " Seen again on 04/05/2019."
    made[1]["diagnosis"] += " (Mrs Sofia Lindqvist)"
    for name, part in (
        ("pemberton clinic.csv", made[: n // 2]),
        ("margaret whitfield.csv", [*made[n // 2 :], made[0]]),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, (*COLUMNS, "age"))
            writer.writeheader()
            writer.writerows(part)
    planted = [
        "Whitfield",
        "Margaret",
        "Pemberton",
        "Lindqvist",
        "Sofia",
        "00483921",
        "23/04/2019",
        "04/05/2019",
        "example.org",
    ]
    return [*planted, "7946", "MRN-7", "^4711", *(row["record"] for row in made), *(row["patient"] for row in made)]
