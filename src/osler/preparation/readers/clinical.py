"""What clinical formats have in common as rows: a patient in words, a diagnosis, and who and when it was."""

from __future__ import annotations

import random
from collections.abc import Mapping

from osler.patients import Patient, age_band, write_sentences
from osler.preparation.readers.record import Columns, Raw

# `label` is made of `diagnosis` and `diagnosis_id`; who wants one of them alone names it as the label.
COLUMNS: tuple[str, ...] = ("case_id", "text", "label", "diagnosis", "diagnosis_id", "group", "date", "sex", "age_band")
CHOSEN = Columns("text", "label", case_id="case_id", group="group", date="date", subgroups=("sex", "age_band"))


def row(
    source: str,
    patient: Patient,
    words: Mapping[str, str],
    diagnosis: tuple[str | None, str | None],
    group: str | None,
    day: str | None,
) -> Raw:
    """A row of ``COLUMNS``.

    ``words`` has the wording of every finding of the patient; the same case id always makes the same sentences of them.
    Without a present finding there is no text. ``diagnosis`` is its name and its code: the label is ``name (code)``.
    """
    name, code = diagnosis
    text = write_sentences(patient, words, random.Random(patient.case_id)) if patient.present else None
    columns = {
        "case_id": patient.case_id,
        "text": text,
        "label": f"{name} ({code})" if name and code else name or code,
        "diagnosis": name,
        "diagnosis_id": code,
        "group": group,
        "date": day,
        "sex": patient.sex,
        "age_band": None if patient.age is None else age_band(patient.age),
    }
    assert tuple(columns) == COLUMNS
    return Raw(source, columns)
