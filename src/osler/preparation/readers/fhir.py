"""Read FHIR R4 as rows: one for each Condition with a code, described by the Observations of its patient.

A Bundle is read by itself. Resources that stand one a line (a bulk export, in one file or one for each type) are joined
over all files of the source, in any order, in a temporary database on disk.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from osler.errors import InputError
from osler.patients import Patient, years_between
from osler.preparation.readers import clinical
from osler.preparation.readers.record import RawRow, RejectedRow, excerpt, iso_date
from osler.terminology import mid_sentence_case

WRONG_TYPE_ERRORS = (sqlite3.InterfaceError, sqlite3.ProgrammingError)  # of a value: Python 3.10, and 3.11 or later
NOT_A_DIAGNOSIS = {"refuted", "entered-in-error"}  # verificationStatus of a Condition
NOT_A_FINDING = {"cancelled", "entered-in-error"}  # status of an Observation
# Answers to "was it found?": words, and codes of SNOMED CT and of HL7's ObservationInterpretation.
NEGATIVE = {
    "no",
    "absent",
    "negative",
    "not detected",
    "not present",
    "none",
    "260385009",
    "2667000",
    "373067005",
    "NEG",
    "ND",
}
POSITIVE = {"yes", "present", "positive", "detected", "10828004", "52101004", "373066001", "POS", "DET"}
# HL7's codes of interpretations, which often come without words.
INTERPRETATIONS = {
    "H": "high",
    "HH": "critically high",
    "L": "low",
    "LL": "critically low",
    "N": "normal",
    "A": "abnormal",
}
INTERPRETATIONS |= {"AA": "critically abnormal", "HU": "significantly high", "LU": "significantly low"}


def is_resource(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is meant as a FHIR resource."""
    return "resourceType" in content


def read_conditions(place: str, resources: Iterable[RawRow | RejectedRow]) -> Iterator[RawRow | RejectedRow]:
    """Each Condition as a row of :data:`osler.preparation.readers.clinical.COLUMNS`; ``group`` is the patient.

    The date is the Condition's ``recordedDate``, or else its onset; the patient's age is that of this day. The text
    gives the latest Observation of each code up to the day on which the Condition was recorded. Rejected are Conditions
    that have no code, were refuted or lack their patient, Bundles without a Condition, and what is not FHIR. Resources
    of other types and cancelled Observations are skipped. The place of a resource in a Bundle ends in its number.

    Raises:
        InputError: there is no Condition at all.
    """
    conditions = 0
    with closing(_ResourceStore()) as unbundled:
        for item in resources:
            if isinstance(item, RejectedRow):
                yield item
            elif item.columns.get("resourceType") == "Bundle":
                with closing(_ResourceStore()) as bundle:
                    yield from bundle.add_entries(item)
                    yield from bundle.rows()
                if not bundle.conditions:
                    yield RejectedRow(item.source, "a Bundle without a Condition: no diagnosis", _id(item.columns))
                conditions += bundle.conditions
            else:
                yield from unbundled.add(item.source, item.columns)
        yield from unbundled.rows()
        conditions += unbundled.conditions
    if not conditions:
        raise InputError(f"{place}: FHIR without a Condition has no diagnosis; export the Conditions, too")


class _ResourceStore:
    """Patients with their Observations and Conditions. ``conditions`` counts all Conditions, readable or not."""

    def __init__(self) -> None:
        self.conditions = 0
        self._db = sqlite3.connect("")  # a temporary file, which SQLite removes; small ones never leave its cache
        self._db.executescript(
            """
            PRAGMA journal_mode = OFF;
            CREATE TABLE patient (reference TEXT PRIMARY KEY, id TEXT, sex TEXT, birth TEXT);
            CREATE TABLE observation (reference TEXT, date TEXT, code TEXT, finding TEXT, present INTEGER);
            CREATE TABLE condition
                (source TEXT, id TEXT, reference TEXT, name TEXT, code TEXT, date TEXT, recorded TEXT);
            """
        )

    def close(self) -> None:
        self._db.close()

    def add_entries(self, bundle: RawRow) -> Iterator[RejectedRow]:
        """Add the resources of a Bundle; yields those that cannot be read."""
        entries = bundle.columns.get("entry", [])
        for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
            source = f"{bundle.source}:{number}"
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                yield from self.add(source, entry["resource"], entry.get("fullUrl"))
            else:
                yield RejectedRow(source, "an entry without a resource", excerpt(entry))

    def add(self, source: str, resource: Mapping[str, Any], full_url: str | None = None) -> Iterator[RejectedRow]:
        """Add a resource; yields it with the reason if it cannot be read."""
        kind = resource.get("resourceType")
        self.conditions += kind == "Condition"
        try:
            if kind is None:
                raise ValueError("not a resource of FHIR: no resourceType")
            if kind == "Patient":
                self._add_patient(resource, full_url)
            elif kind == "Observation" and resource.get("status") not in NOT_A_FINDING:
                self._add_observation(resource)
            elif kind == "Condition":
                self._add_condition(source, resource)
        except (AttributeError, KeyError, TypeError, *WRONG_TYPE_ERRORS) as error:
            yield RejectedRow(source, f"not a {kind} of FHIR R4 ({type(error).__name__}: {error})", _id(resource))
        except ValueError as error:
            yield RejectedRow(source, str(error), _id(resource))

    def _add_patient(self, patient: Mapping[str, Any], full_url: str | None) -> None:
        names = [name for name in (full_url, f"Patient/{patient['id']}" if "id" in patient else None) if name]
        birth = iso_date(patient["birthDate"]) if "birthDate" in patient else None
        for name in names:
            values = (_reference(name), _reference(names[-1]), patient.get("gender"), birth)
            self._db.execute("INSERT OR IGNORE INTO patient VALUES (?, ?, ?, ?)", values)

    def _add_observation(self, observation: Mapping[str, Any]) -> None:
        day = observation.get("effectiveDateTime") or observation.get("effectiveInstant")
        day = day or observation.get("effectivePeriod", {}).get("start") or observation.get("issued")
        reference = _reference(observation.get("subject", {}).get("reference"))
        for part in [observation, *observation.get("component", [])]:
            if finding := _finding(part):
                values = (reference, iso_date(day) if day else None, *finding)
                self._db.execute("INSERT INTO observation VALUES (?, ?, ?, ?, ?)", values)

    def _add_condition(self, source: str, condition: Mapping[str, Any]) -> None:
        _, status = _concept(condition.get("verificationStatus", {}))
        if status in NOT_A_DIAGNOSIS:
            raise ValueError(f"the Condition is {status}: no diagnosis")
        name, code = _concept(condition.get("code", {}))
        if not name and not code:
            raise ValueError("a Condition without a code: no diagnosis")
        recorded, onset = condition.get("recordedDate"), condition.get("onsetDateTime")
        onset = onset or condition.get("onsetPeriod", {}).get("start")
        day = recorded or onset
        values = (
            source,
            condition.get("id") or source,
            _reference(condition.get("subject", {}).get("reference")),
            name,
            code,
            iso_date(day) if day else None,
            iso_date(recorded) if recorded else None,
        )
        self._db.execute("INSERT INTO condition VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def rows(self) -> Iterator[RawRow | RejectedRow]:
        """The Conditions in the order in which they were added."""
        self._db.execute("CREATE INDEX observations_of ON observation (reference)")
        self._db.execute("CREATE INDEX references_of ON patient (id)")
        conditions = self._db.execute("SELECT * FROM condition ORDER BY rowid")
        for source, case_id, reference, name, code, day, recorded in conditions:
            query = "SELECT id, sex, birth FROM patient WHERE reference = ?"
            patient = self._db.execute(query, (reference,)).fetchone()
            if patient is None:
                reason = (
                    f"the Condition's patient {reference!r} is missing"
                    if reference
                    else "a Condition without a patient"
                )
                yield RejectedRow(source, reason, excerpt(case_id))
                continue
            patient_id, sex, birth = patient
            findings = self._findings(patient_id, recorded)
            patient = Patient(
                case_id=case_id,
                disease=code or name,
                present=tuple(finding for finding, present in findings.items() if present),
                absent=tuple(finding for finding, present in findings.items() if not present),
                sex=sex if sex in ("female", "male") else None,
                age=years_between(birth, day) if birth and day else None,
            )
            yield clinical.make_row(source, patient, {f: f for f in findings}, (name, code), patient_id, day)

    def _findings(self, patient_id: str, until: str | None) -> dict[str, bool]:
        """Finding in words → whether it is present, from the latest Observation of each code."""
        query = """SELECT code, finding, present FROM observation
            WHERE reference IN (SELECT reference FROM patient WHERE id = ?) AND coalesce(date <= ?, 1)
            ORDER BY date, rowid"""
        latest = {
            code: (finding, bool(present)) for code, finding, present in self._db.execute(query, (patient_id, until))
        }
        return dict(latest.values())


# ── parts of resources ───────────────────────────────────────────────────────────────────────────────────────────────


def _id(resource: Mapping[str, Any]) -> str:
    return excerpt(f"{resource.get('resourceType')}/{resource.get('id')}")


def _reference(text: str | None) -> str | None:
    """``Patient/1`` from a URL that ends in it, without its version; anything else as it is (urn:uuid:…)."""
    match = re.search(r"(?:^|/)(Patient/[A-Za-z0-9.-]{1,64})(?:/_history/.*)?$", text or "")
    return match[1] if match else text


def _concept(concept: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Name and code of a CodeableConcept, from its first coding that has a name."""
    codings = concept.get("coding", [])
    coding = next((c for c in codings if c.get("display")), codings[0] if codings else {})
    return coding.get("display") or concept.get("text"), coding.get("code")


def _finding(observation: Mapping[str, Any]) -> tuple[str, str, bool] | None:
    """Code, wording and whether it is present; None if there is no result, or other Observations hold it."""
    name, code = _concept(observation.get("code", {}))
    value = _value(observation)
    grouping = "component" in observation or "hasMember" in observation
    if not (name or code) or "dataAbsentReason" in observation or (value is None and grouping):
        return None
    wording = mid_sentence_case(name or code or "")
    interpretations = [_concept(concept) for concept in observation.get("interpretation", [])]
    if any(_is_one_of(answer, NEGATIVE) for answer in (*interpretations, value) if answer):
        return code or wording, wording, False
    if value and not _is_one_of(value, POSITIVE):
        wording += f" {value[0] or value[1]}"
    remarks = [INTERPRETATIONS.get(mark or "") or (text or mark or "").lower() for text, mark in interpretations]
    return code or wording, wording + (f" ({', '.join(remarks)})" if any(remarks) else ""), True


def _is_one_of(answer: tuple[str | None, str | None], answers: set[str]) -> bool:
    text, code = answer
    return (text or "").strip().lower() in answers or code in answers


def _value(observation: Mapping[str, Any]) -> tuple[str | None, str | None] | None:
    """The value in words, and its code if it has one; None for periods and sampled data."""
    for kind in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if kind in observation:
            return str(observation[kind]), None
    if "valueBoolean" in observation:
        return "yes" if observation["valueBoolean"] else "no", None
    if "valueCodeableConcept" in observation:
        return _concept(observation["valueCodeableConcept"])
    if "valueQuantity" in observation:
        return _quantity(observation["valueQuantity"]), None
    if "valueRange" in observation:
        ends = observation["valueRange"]
        return " to ".join(_quantity(ends[end]) for end in ("low", "high") if end in ends), None
    if "valueRatio" in observation:
        ratio = observation["valueRatio"]
        return f"{_quantity(ratio['numerator'])} : {_quantity(ratio['denominator'])}", None
    return None


def _quantity(quantity: Mapping[str, Any]) -> str:
    number = f"{quantity.get('comparator', '')}{quantity['value']}"
    return " ".join(filter(None, (number, quantity.get("unit") or quantity.get("code"))))
