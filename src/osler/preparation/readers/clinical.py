"""Rows of clinical formats: a patient described in sentences, the diagnosis, the group and the date."""

from __future__ import annotations

import random
from collections.abc import Mapping

from osler.patients import Patient, age_band, write_sentences
from osler.preparation.readers.record import Columns, RawRow

# `label` joins `diagnosis` and `diagnosis_id`. To use only one of them, name it as the label column.
COLUMNS: tuple[str, ...] = ("case_id", "text", "label", "diagnosis", "diagnosis_id", "group", "date", "sex", "age_band")
DEFAULT_COLUMNS = Columns("text", "label", case_id="case_id", group="group", date="date", subgroups=("sex", "age_band"))


def make_row(
    source: str,
    patient: Patient,
    wordings: Mapping[str, str],
    diagnosis: tuple[str | None, str | None],
    group: str | None,
    day: str | None,
) -> RawRow:
    """A row of ``COLUMNS``.

    Args:
        wordings: HPO id → wording, for every finding of the patient. The same case id always gives the same sentences.
            Without a present finding the text is None.
        diagnosis: name and code, either of which may be None; the label is ``name (code)``.
        group: what a split must not divide.
        day: ISO 8601 date.
    """
    name, code = diagnosis
    text = write_sentences(patient, wordings, random.Random(patient.case_id)) if patient.present else None
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
    return RawRow(source, columns)
