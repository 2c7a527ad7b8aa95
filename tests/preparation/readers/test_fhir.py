"""Of a FHIR export, only confirmed diagnoses are cases, told from what was known of their patient on their day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from osler.preparation.readers.reading import read
from osler.preparation.readers.record import NO_DIAGNOSIS, NOT_CONFIRMED, UNREADABLE, Notice, Record, RejectedRow

SNOMED, ICD = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm"
UUID = "6f1e9a52-0d6e-4b0a-9a55-3f0c8b1d2e77"
PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1961-05-02"}


def coded(code: str, name: str | None = None, system: str = SNOMED) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, **({"display": name} if name else {})}]}


def condition(subject: str | dict[str, Any] = "Patient/p", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": subject} if isinstance(subject, str) else subject,
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": coded("87522002", "Iron deficiency anemia"),
        "recordedDate": "2020-05-02",
        **changes,
    }


def observation(name: str, subject: str | dict[str, Any] = "Patient/p", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(f"code of {name}", name, "http://loinc.org"),
        "subject": {"reference": subject} if isinstance(subject, str) else subject,
        "effectiveDateTime": "2020-05-01",
        "valueBoolean": True,
        **changes,
    }


class Export:
    """What became of resources that stand one a line."""

    def __init__(self, folder: Path, *resources: dict[str, Any], include_suspected: bool = False) -> None:
        path = folder / "export.ndjson"
        path.write_text("".join(json.dumps(resource) + "\n" for resource in resources))
        rows = list(read(str(path), None, include_suspected=include_suspected))
        self.records: list[Record] = [row for row in rows if not isinstance(row, RejectedRow | Notice)]
        self.rejected = [row for row in rows if isinstance(row, RejectedRow)]
        self.notices = {row.text: row.number for row in rows if isinstance(row, Notice)}

    @property
    def text(self) -> str:
        (record,) = self.records
        return record["text"] or ""


def status(code: str) -> dict[str, Any]:
    return {"coding": [{"code": "x", "display": "as the ward says"}, {"code": code}]}


# ── what is a diagnosis ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("certainty", ["provisional", "differential", "unconfirmed"])
def test_a_suspicion_is_set_aside_unless_it_is_asked_for(tmp_path: Path, certainty: str) -> None:
    rows = (PATIENT, condition(), condition(id="c2", verificationStatus=status(certainty)))
    export = Export(tmp_path, *rows)
    assert [record["case_id"] for record in export.records] == ["c"]
    assert [(row.kind, row.reason) for row in export.rejected] == [
        (NOT_CONFIRMED, f"the Condition is {certainty}: not a confirmed diagnosis")
    ]
    export = Export(tmp_path, *rows, include_suspected=True)
    assert [record["case_id"] for record in export.records] == ["c", "c2"]
    assert export.notices[f"Conditions that are {certainty} count as diagnoses"] == 1


def certain_in_german(certainty: str) -> dict[str, Any]:
    extension = {
        "url": "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit",
        "valueCoding": {"code": certainty},
    }
    return {
        "coding": [{"system": "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "code": "D50", "extension": [extension]}]
    }


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"verificationStatus": status("refuted")}, NO_DIAGNOSIS),
        ({"verificationStatus": status("entered-in-error")}, NO_DIAGNOSIS),
        ({"code": coded("160245001", "No current problems or disability")}, NO_DIAGNOSIS),
        ({"code": coded("160303001", "Family history of diabetes mellitus (situation)")}, NO_DIAGNOSIS),
        ({"code": {}}, NO_DIAGNOSIS),
        ({"code": certain_in_german("A")}, NO_DIAGNOSIS),
        ({"code": certain_in_german("V")}, NOT_CONFIRMED),
        ({"verificationStatus": {"text": "fairly sure"}}, UNREADABLE),
    ],
)
def test_what_is_no_diagnosis_is_set_aside_with_its_kind(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    export = Export(tmp_path, PATIENT, condition(), condition(id="c2", **changes))
    assert [record["case_id"] for record in export.records] == ["c"]
    assert [row.kind for row in export.rejected] == [kind]


def test_a_condition_that_does_not_say_how_certain_it_is_counts_and_is_counted(tmp_path: Path) -> None:
    export = Export(tmp_path, PATIENT, {**condition(), "verificationStatus": {}})
    assert len(export.records) == 1
    assert export.notices["Conditions without a verificationStatus count as diagnoses"] == 1


# ── what was known on the day ────────────────────────────────────────────────────────────────────────────────────────

ASSERTED = {"url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate", "valueDateTime": "2020-05-02"}


@pytest.mark.parametrize(
    "dates",
    [
        {"onsetDateTime": "2020-05-02"},
        {"onsetPeriod": {"start": "2020-05-02"}},
        {"onsetDateTime": "2001-01-01", "extension": [ASSERTED]},
    ],
)
def test_findings_of_years_later_are_not_told_of_the_patient_as_they_were(tmp_path: Path, dates: Any) -> None:
    case = {**condition(**dates)}
    del case["recordedDate"]
    late = observation("Hair loss", effectiveDateTime="2024-05-01")
    export = Export(tmp_path, PATIENT, case, observation("Fatigue"), late)
    assert export.text.startswith("A 59-year-old woman")
    assert "fatigue" in export.text
    assert "hair loss" not in export.text
    assert export.notices["Observations later than every diagnosis of their patient were set aside"] == 1


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ({"effectiveDateTime": "2020"}, False),
        ({"effectiveDateTime": "2020-05"}, False),
        ({"effectiveDateTime": "2020-04"}, True),
        ({"effectiveDateTime": "2019"}, True),
        ({"effectivePeriod": {"start": "2020-04-01", "end": "2020-06-01"}}, False),
        ({"effectivePeriod": {"start": "2020-04-01", "end": "2020-05"}}, False),
        ({"effectivePeriod": {"start": "2020-04-01"}}, True),
    ],
)
def test_a_finding_that_may_be_later_than_the_diagnosis_is_not_told(
    tmp_path: Path, time: dict[str, Any], told: bool
) -> None:
    coarse = {key: value for key, value in observation("Rash").items() if key != "effectiveDateTime"} | time
    export = Export(tmp_path, PATIENT, condition(), observation("Fatigue"), coarse)
    assert ("rash" in export.text) is told
    if "effectiveDateTime" in time:
        assert export.notices["Observations dated by a month or a year count from its last day on"] == 1


def test_what_has_no_date_is_counted(tmp_path: Path) -> None:
    timeless = {key: value for key, value in condition().items() if key != "recordedDate"}
    undated = {key: value for key, value in observation("Fatigue").items() if key != "effectiveDateTime"}
    export = Export(tmp_path, PATIENT, timeless, undated)
    assert export.text.startswith("A female patient")
    assert export.notices["Conditions without a date have no age, and Observations of any time"] == 1
    assert export.notices["Observations without a date are told with every diagnosis of their patient"] == 1


# ── whose findings they are ──────────────────────────────────────────────────────────────────────────────────────────

HOSPITAL_NUMBER = {"system": "http://hospital.example", "value": "17"}
CONTAINED = {"contained": [{**PATIENT, "identifier": [HOSPITAL_NUMBER]}]}


@pytest.mark.parametrize(
    ("patient", "subject", "changes"),
    [
        ({"id": UUID}, f"urn:uuid:{UUID}", {}),
        ({"id": f"urn:uuid:{UUID}"}, f"urn:uuid:{UUID}", {}),
        ({}, "https://fhir.example/r4/Patient/p/_history/2", {}),
        ({"identifier": [HOSPITAL_NUMBER]}, "Patient?identifier=http://hospital.example|17", {}),
        ({"identifier": [HOSPITAL_NUMBER]}, "Patient?identifier=http%3A%2F%2Fhospital.example%7C17", {}),
        ({"identifier": [HOSPITAL_NUMBER]}, {"identifier": HOSPITAL_NUMBER, "type": "Patient"}, {}),
        ({"identifier": [HOSPITAL_NUMBER]}, "#p", CONTAINED),
        (None, "#p", CONTAINED),
    ],
)
def test_a_patient_is_found_by_every_kind_of_reference(
    tmp_path: Path, patient: dict[str, Any] | None, subject: Any, changes: dict[str, Any]
) -> None:
    resources = [condition(subject, **changes), observation("Fatigue", subject, **changes)]
    export = Export(tmp_path, *resources, *([] if patient is None else [{**PATIENT, **patient}]))
    assert export.text.startswith("A 59-year-old woman")
    assert "fatigue" in export.text


def test_findings_of_nobody_in_the_export_are_counted_and_told_of_nobody(tmp_path: Path) -> None:
    twins = [{**PATIENT, "id": name, "identifier": [HOSPITAL_NUMBER]} for name in ("q", "r")]
    lost = [
        observation("Cough", "Patient/elsewhere", component=[{"code": coded("1", "Rash"), "valueBoolean": True}]),
        observation("Fever", {"identifier": HOSPITAL_NUMBER}),  # of either twin
        {key: value for key, value in observation("Itch").items() if key != "subject"},
    ]
    export = Export(
        tmp_path, PATIENT, *twins, condition(), observation("Fatigue"), *lost, observation("Pica", "Patient/q")
    )
    assert export.notices["Observations whose patient is missing were set aside"] == 3
    assert export.notices["Observations of patients without a diagnosis were set aside"] == 1
    assert not [word for word in ("cough", "rash", "fever", "itch", "pica") if word in export.text]


def test_contained_patients_without_an_identifier_are_not_taken_for_one(tmp_path: Path) -> None:
    contained = {"contained": [PATIENT]}
    export = Export(tmp_path, condition("#p", **contained), observation("Fatigue", "#p", **contained))
    assert export.records[0]["text"] is None
    assert export.notices["Observations whose patient is contained in them and has no diagnosis were set aside"] == 1


def test_two_patients_of_one_id_do_not_become_one(tmp_path: Path) -> None:
    export = Export(tmp_path, PATIENT, {**PATIENT, "gender": "male"}, condition())
    assert [row.reason for row in export.rejected] == ["'Patient/p' was read before with another gender or birthDate"]


# ── what R4 allows ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [
        {"valueQuantity": {"unit": "mg/dL"}},
        {"_valueQuantity": {"extension": [{"url": "x", "valueCode": "masked"}]}},
        {"valueRatio": {"numerator": {"value": 1}}},
        {"valueRange": {}},
        {"valueCodeableConcept": {}},
        {"valueSampledData": {"origin": {"value": 0}, "period": 1, "dimensions": 1}},
        {},
    ],
)
def test_an_observation_without_a_result_tells_nothing_and_loses_nothing_else(tmp_path: Path, value: Any) -> None:
    empty = {key: part for key, part in observation("Body temperature").items() if key != "valueBoolean"} | value
    export = Export(tmp_path, PATIENT, condition(), observation("Fatigue"), empty)
    assert "fatigue" in export.text
    assert "temperature" not in export.text
    assert export.notices["Observations without a result of their own were set aside"] == 1
    assert not export.rejected


def test_a_finding_that_its_code_says_needs_no_value(tmp_path: Path) -> None:
    fever = {key: value for key, value in observation("x").items() if key != "valueBoolean"}
    export = Export(tmp_path, PATIENT, condition(), {**fever, "code": coded("386661006", "Fever")})
    assert "fever" in export.text


def test_a_birth_date_that_is_masked_leaves_the_age_out(tmp_path: Path) -> None:
    masked = {"resourceType": "Patient", "id": "p", "gender": "male", "_birthDate": {"extension": [{"url": "x"}]}}
    export = Export(tmp_path, masked, condition(), observation("Fatigue"))
    assert export.text.startswith("A male patient")
    assert export.notices["diagnoses of patients without a birthDate are told without an age"] == 1


@pytest.mark.parametrize("gender", [["female"], {}, 10**400])
def test_a_resource_that_is_not_as_r4_says_is_one_rejected_row(tmp_path: Path, gender: Any) -> None:
    export = Export(tmp_path, PATIENT, condition(), {**PATIENT, "id": "q", "gender": gender})
    assert len(export.records) == 1
    assert [row.reason[:24] for row in export.rejected] == ["not a Patient of FHIR R4"]


def test_resources_that_are_not_read_are_counted_by_their_type(tmp_path: Path) -> None:
    others = [{"resourceType": "Encounter", "id": "e"}, {"resourceType": "Encounter"}, {"resourceType": "Procedure"}]
    cancelled = observation("Cough", status="cancelled")
    export = Export(tmp_path, PATIENT, condition(), *others, cancelled)
    assert export.notices["Encounter resources were not read"] == 2
    assert export.notices["Procedure resources were not read"] == 1
    assert export.notices["Observations that are cancelled or entered in error were set aside"] == 1


# ── one disease is one label ─────────────────────────────────────────────────────────────────────────────────────────


def labels(folder: Path, *codes: dict[str, Any]) -> list[str | None]:
    conditions = [condition(id=f"c{number}", code=code) for number, code in enumerate(codes)]
    return [record["label"] for record in Export(folder, PATIENT, *conditions).records]


def test_a_code_is_one_label_whatever_words_it_came_with(tmp_path: Path) -> None:
    names = ["Asthma", "Asthma (disorder)", "Bronchial asthma", "Asthma (disorder)", None]
    assert set(labels(tmp_path, *(coded("195967001", name) for name in names))) == {"Asthma (disorder) (195967001)"}


def test_the_order_of_codings_does_not_matter(tmp_path: Path) -> None:
    snomed, icd = coded("44054006", "Type 2 diabetes"), coded("E11.9", "Diabetes II", ICD)
    both = [{"coding": [*first["coding"], *then["coding"]]} for first, then in ((snomed, icd), (icd, snomed))]
    assert labels(tmp_path, *both) == ["Type 2 diabetes (44054006)"] * 2, "SNOMED CT, if nothing else decides"
    assert labels(tmp_path, *both, icd) == ["Diabetes II (E11.9)"] * 3, "the system that all of them are coded in"


def test_a_code_without_a_name_has_that_of_its_text_and_local_codes_of_two_systems_stay_apart(tmp_path: Path) -> None:
    named = {**coded("J45", None, ICD), "text": "Asthma"}
    assert labels(tmp_path, named, coded("J45", None, ICD), {"text": "Gout"}) == [
        "Asthma (J45)",
        "Asthma (J45)",
        "Gout",
    ]
    assert labels(tmp_path, coded("1", "Gout", "urn:a"), coded("1", "Flu", "urn:b")) == ["Gout (1)", "Flu (1)"]


# ── which version counts ─────────────────────────────────────────────────────────────────────────────────────────────


def version(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": "o", "meta": {"versionId": str(number)}, **changes}


def updated(time: str, **changes: Any) -> dict[str, Any]:
    return {"id": "o", "meta": {"lastUpdated": time}, **changes}


HIGH, LOW = {"valueInteger": 99}, {"valueInteger": 11}
WRONG = {"status": "entered-in-error"}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (version(10, **HIGH), version(9, **LOW), "99"),
        (version(9, **LOW), version(10, **HIGH), "99"),
        (updated("2020-05-01T23:00:00-05:00", **HIGH), updated("2020-05-02T01:00:00Z", **LOW), "99"),
        ({"id": "o", **LOW}, {"id": "o", **HIGH}, "99"),
        (version(1, **HIGH), version(2, **WRONG), None),
        (version(2, **WRONG), version(1, **HIGH), None),
        (version(1, **WRONG), version(2, **HIGH), "99"),
        ({"id": "o", **HIGH}, {"id": "o", **WRONG}, None),
        ({"id": "o", **WRONG}, version(1, **HIGH), None),
    ],
)
def test_of_an_observation_only_the_newest_version_is_told(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], told: str | None
) -> None:
    versions = []
    for changes in (first, second):
        made = observation("Pulse", **changes)
        made.pop("valueBoolean")
        versions.append(made)
    export = Export(tmp_path, PATIENT, condition(), observation("Fatigue"), *versions)
    assert [number for number in ("99", "11") if number in export.text] == ([told] if told else [])
    assert export.notices["older versions of Observations were set aside"] == 1


@pytest.mark.parametrize("order", [1, -1])
def test_a_diagnosis_that_was_entered_in_error_is_no_case(tmp_path: Path, order: int) -> None:
    wrong = condition(id="d", meta={"versionId": "2"}, verificationStatus=status("entered-in-error"))
    versions = [condition(id="d", meta={"versionId": "1"}), wrong][::order]
    export = Export(tmp_path, PATIENT, condition(), *versions)
    assert [record["case_id"] for record in export.records] == ["c"]
    assert [row.kind for row in export.rejected] == [NO_DIAGNOSIS]
    assert export.notices["older versions of Conditions were set aside"] == 1


def deletion(url: str) -> dict[str, Any]:
    return {"request": {"method": "DELETE", "url": url}, "response": {"status": "204"}}


def history(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "history", "entry": list(entries)}


def put(resource: dict[str, Any]) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}


def test_what_a_history_deletes_is_not_told_though_an_older_page_has_it(tmp_path: Path) -> None:
    pages = [
        history(deletion("Condition/d"), deletion("https://fhir.example/Observation/e"), put(PATIENT)),
        history(*map(put, (condition(), condition(id="d"), observation("Rash", id="e"), observation("Pica", id="f")))),
        history(deletion("Observation/f"), put(observation("Fatigue", id="f"))),  # deleted before it was made again
    ]
    export = Export(tmp_path, *pages)
    assert [record["case_id"] for record in export.records] == ["c"]
    assert "pica" in export.text
    assert not [word for word in ("rash", "fatigue") if word in export.text]
    assert export.notices["Conditions that were deleted were set aside"] == 1
    assert export.notices["Observations that were deleted were set aside"] == 1


def test_deletions_of_a_bulk_export_take_away_what_they_name(tmp_path: Path) -> None:
    request = {"method": "DELETE", "url": "Condition/d"}
    deleted = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}
    export = Export(tmp_path, deleted, PATIENT, condition(), condition(id="d"))
    assert [record["case_id"] for record in export.records] == ["c"]
    assert export.notices["Conditions that were deleted were set aside"] == 1
    assert not export.rejected


def test_a_patient_is_as_the_newest_version_says(tmp_path: Path) -> None:
    versions = [{**PATIENT, "meta": {"versionId": "1"}, "gender": "male"}, {**PATIENT, "meta": {"versionId": "2"}}]
    export = Export(tmp_path, *versions, condition(), observation("Fatigue"))
    assert "woman" in export.text
    assert not export.rejected


def test_half_a_character_in_a_resource_of_a_bundle_is_rejected(tmp_path: Path) -> None:
    half = observation("fever", "\ud800")
    whole = observation("cough", note=[{"text": "\U0001f637"}])
    resources = (PATIENT, whole, half, condition(), observation("pallor"))
    bundle = {"resourceType": "Bundle", "entry": [{"resource": resource} for resource in resources]}
    export = Export(tmp_path, bundle)
    assert [row.kind for row in export.rejected] == [UNREADABLE]
    assert "cough" in export.text
