"""A patient's Bundle is told to a model as preparing it would have told it."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ehr import FINGERS, LENS, PATIENT, bundle, condition, observation

from osler.errors import InputError
from osler.preparation import read, read_patient
from osler.preparation.readers.record import Notice, RejectedRow

XHTML = "http://www.w3.org/1999/xhtml"
TODAY = date(2026, 4, 2)


def told(*resources: dict[str, Any], **changes: Any) -> str:
    return read_patient(bundle(*resources, **changes), TODAY).text


@pytest.mark.parametrize("number", range(6))
def test_the_text_is_that_of_a_condition_recorded_today(tmp_path: Path, number: int) -> None:
    patient = {**PATIENT, "id": f"p{number}"}
    fever = observation(3, "Fever", valueBoolean=False)
    later = observation(4, "Seizure", effectiveDateTime="2026-04-03")
    seen = [{**one, "subject": {"reference": f"Patient/p{number}"}} for one in (FINGERS, LENS, fever, later)]
    diagnosis = {
        **condition("154700", "Marfan syndrome"),
        "id": f"Patient/p{number}",
        "subject": {"reference": f"Patient/p{number}"},
        "recordedDate": TODAY.isoformat(),
    }
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle(patient, *seen, diagnosis)))
    (prepared,) = (row for row in read(str(path), None) if not isinstance(row, RejectedRow | Notice))
    text = told(patient, *seen)
    assert text == prepared["text"]
    assert "13-year-old boy" in text
    assert "ectopia lentis" in text
    assert "eizure" not in text


def test_the_day_is_that_of_the_bundle_where_it_says_one() -> None:
    assert "10-year-old" in told(PATIENT, {**LENS, "effectiveDateTime": "2023-05-01"}, timestamp="2023-06-01T10:00:00Z")
    assert told(PATIENT, LENS, timestamp="2023-06-01T10:00:00Z") == ""


def test_documents_follow_cleaned_and_in_the_order_of_their_days() -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    subject = {"reference": "Patient/p1"}
    note = {
        "resourceType": "DocumentReference",
        "id": "d1",
        "subject": subject,
        "date": "2026-02-01T09:00:00Z",
        "content": [
            {"attachment": {"contentType": "text/html; charset=utf-8", "data": encoded("<p>Tall &amp; thin.</p>")}},
            {"attachment": {"contentType": "application/pdf", "data": encoded("%PDF")}},
            {"attachment": {"contentType": "text/plain", "url": "https://ehr.example.org/Binary/1"}},
        ],
    }
    letter = {
        "resourceType": "Composition",
        "subject": subject,
        "date": "2026-01-01",
        "section": [
            {
                "title": "History",
                "text": {
                    "status": "generated",
                    "div": f'<div xmlns="{XHTML}">Sprains  often.</div>',
                },
                "section": [{"text": {"div": "<div>Fell in spring.</div>"}}],
            }
        ],
    }
    report = {"resourceType": "DiagnosticReport", "subject": subject, "conclusion": "Aortic root 4.1 cm."}
    wrong = {**report, "status": "entered-in-error", "conclusion": "Of another patient."}
    other = {**report, "subject": {"reference": "Patient/p2"}, "conclusion": "Of another patient."}
    patient = read_patient(bundle(note, PATIENT, letter, report, wrong, other, {"resourceType": "Encounter"}), TODAY)
    assert patient.text == "Aortic root 4.1 cm.\nHistory\nSprains often.\nFell in spring.\nTall & thin."
    assert patient.basis == ["DocumentReference/d1"]
    assert sorted(patient.left_out) == [
        "1 × Encounter resources were not read",
        "1 × attachments that are a link were not read",
        "1 × attachments that are no text were not read",
        "1 × documents of another patient, or of none, were set aside",
        "1 × documents that are cancelled, superseded or entered in error were set aside",
    ]
    assert told(PATIENT, LENS, report).endswith("ectopia lentis.\nAortic root 4.1 cm.")


def test_conditions_are_known_but_not_told() -> None:
    confirmed, suspected = condition("154700", "Marfan syndrome"), condition("130000", "EDS", "provisional")
    patient = read_patient(bundle(PATIENT, LENS, confirmed, suspected), TODAY)
    assert "Marfan" not in patient.text
    assert [words for _, words in patient.diagnoses] == ["Marfan syndrome"]
    assert patient.basis == ["Observation/o1083"]


def test_what_cannot_be_read_is_counted_without_its_content() -> None:
    broken = observation(5, "Planted", component="Planted", effectiveDateTime=["Planted"])
    patient = read_patient(bundle(PATIENT, LENS, broken, {"id": "Planted"}), TODAY)
    assert patient.left_out == ["2 × resources could not be read"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"resourceType": "Patient"}, "not a Bundle"),
        ({"resourceType": "Bundle", "entry": "Planted"}, "not a Bundle"),
        ({"resourceType": "Bundle"}, "0 Patients"),
        (bundle(PATIENT, {**PATIENT, "id": "p2"}), "2 Patients"),
        (bundle({"resourceType": "Patient", "id": ["Planted"]}), "Patients"),
    ],
)
def test_exactly_one_patient_is_asked_about(content: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        read_patient(content, TODAY)
    assert "Planted" not in str(raised.value)
