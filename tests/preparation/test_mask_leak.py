"""Whether masks tell the label is measured, not hoped."""

from __future__ import annotations

import random

from osler.preparation.mask_leak import measure

LABELS = [f"label {n % 3}" for n in range(240)]
PATIENTS = [f"p{n // 2}" for n in range(240)]


def texts(masked: bool) -> list[str]:
    """Notes that list comorbidities, with masks in places that tell the label, or in all."""
    made = []
    for n, label in enumerate(LABELS):
        draw = random.Random(n)
        words = [draw.choice(("cough", "thirst", "chill", "fall")) for _ in range(draw.randrange(8, 40))]
        names = ["[diagnosis]" if masked or label == f"label {m}" else "asthma" for m in range(3)]
        made.append(f"{' '.join(words)}. Past history: {', '.join(names)}. {' '.join(words[:5])}.")
    return made


def test_masks_in_rows_of_their_own_label_tell_it() -> None:
    leak = measure(texts(masked=False), LABELS, PATIENTS)
    assert leak is not None
    assert leak["above_chance"]
    assert leak["accuracy"] > 0.9
    assert leak["interval"][0] > leak["chance"] == 0.3333


def test_masks_in_every_row_do_not() -> None:
    leak = measure(texts(masked=True), LABELS, PATIENTS)
    assert leak is not None
    assert not leak["above_chance"]
    assert leak["interval"][0] < leak["chance"] < leak["interval"][1]


def test_without_masks_or_patients_nothing_can_be_measured() -> None:
    assert measure(["cough"] * 240, LABELS, PATIENTS) is None
    assert measure(texts(masked=True), LABELS, ["one"] * 240) is None
