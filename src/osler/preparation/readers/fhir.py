"""Read FHIR R4 as rows: one for each Condition with a code, described by the Observations of its patient.

A Bundle is read by itself. Resources that stand one a line (a bulk export, in one file or one for each type), history
Bundles and Bundles of deletions are joined over all files of the source, in any order, in a temporary database on disk.
What parts of resources say is in :mod:`osler.preparation.readers.fhir_elements`, which versions of them count in
:mod:`osler.preparation.readers.fhir_versions`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import unquote

from osler.errors import InputError
from osler.patients import Patient, years_between
from osler.preparation.readers import clinical, fhir_elements
from osler.preparation.readers.fhir_versions import KINDS, Versions
from osler.preparation.readers.record import (
    NO_DIAGNOSIS,
    NOT_CONFIRMED,
    NotACase,
    Notice,
    RawRow,
    RejectedRow,
    excerpt,
    iso_date,
)

# SQLite refuses a value: of another type in Python 3.10, and in later ones, or a number that is too large.
WRONG_TYPE_ERRORS = (sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError)
NOT_A_FINDING = {"cancelled", "entered-in-error"}  # status of an Observation


def is_resource(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is meant as a FHIR resource."""
    return "resourceType" in content


def read_conditions(
    place: str, resources: Iterable[RawRow | RejectedRow], include_suspected: bool
) -> Iterator[clinical.Case | RejectedRow | Notice]:
    """Each Condition as a case; ``group`` is the patient. At the end, notices of what was set aside or is in doubt.

    The date is the day on which the Condition was recorded, or else asserted, or else began; the patient's age is that
    of this day, and the text gives the latest Observation of each code up to it. Rejected are Conditions that have no
    code, are not confirmed or lack their patient, Bundles without a Condition, and what is not FHIR. A Condition that
    does not say how certain it is counts as a diagnosis. The place of a resource in a Bundle ends in its number.

    A reference is followed as a (relative or absolute) URL, a ``urn:uuid:`` of a fullUrl or an id, a search by
    identifier, a logical reference, and into ``contained``; contained patients are one if they share an identifier.

    Args:
        include_suspected: whether Conditions that are unconfirmed, provisional or differential count.

    Raises:
        InputError: there is no Condition at all.
    """
    conditions, notices = 0, Counter[str]()
    with closing(ResourceStore(include_suspected, notices)) as unbundled:
        for item in resources:
            if isinstance(item, RejectedRow):
                yield item
            elif item.columns.get("resourceType") == "Bundle" and _is_of_the_whole_source(item.columns):
                yield from unbundled.add_entries(item)
            elif item.columns.get("resourceType") == "Bundle":
                with closing(ResourceStore(include_suspected, notices)) as bundle:
                    yield from bundle.add_entries(item)
                    yield from bundle.cases()
                if not bundle.conditions:
                    reason = "a Bundle without a Condition: no diagnosis"
                    yield RejectedRow(item.source, reason, _id(item.columns), NO_DIAGNOSIS)
                conditions += bundle.conditions
            else:
                yield from unbundled.add(item.source, item.columns)
        yield from unbundled.cases()
        conditions += unbundled.conditions
    if not conditions:
        raise InputError(f"{place}: FHIR without a Condition has no diagnosis; export the Conditions, too")
    yield from (Notice(text, number) for text, number in notices.most_common())


class ResourceStore:
    """Patients with their Observations and Conditions. ``conditions`` counts all Conditions, readable or not.

    Patients have a key: their reference. The table ``name`` has everything that refers to them.
    """

    def __init__(self, include_suspected: bool, notices: Counter[str]) -> None:
        self.conditions = 0
        self._include_suspected = include_suspected
        self._notices = notices
        self._db = sqlite3.connect("")  # a temporary file, which SQLite removes; small ones never leave its cache
        # `contained` is 1 for patients that are known only from within other resources. `whole` is 1 for the first
        # finding of an Observation and 0 for the others, so that its sum counts Observations.
        self._db.executescript(
            """
            PRAGMA journal_mode = OFF;
            CREATE TABLE patient (patient TEXT PRIMARY KEY, sex TEXT, birth TEXT, contained INTEGER);
            CREATE TABLE name (reference TEXT, patient TEXT, PRIMARY KEY (reference, patient));
            CREATE TABLE observation
                (reference TEXT, date TEXT, code TEXT, finding TEXT, present INTEGER, whole INTEGER, resource TEXT);
            CREATE TABLE condition
                (source TEXT, id TEXT, reference TEXT, codings TEXT, words TEXT, date TEXT);
            """
        )
        self._versions = Versions(self._db)

    def close(self) -> None:
        self._db.close()

    def add_entries(self, bundle: RawRow) -> Iterator[RejectedRow]:
        """Add the resources of a Bundle; yields those that cannot be read."""
        entries, in_history = bundle.columns.get("entry", []), bundle.columns.get("type") == "history"
        for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
            source = f"{bundle.source}:{number}"
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                yield from self.add(source, entry["resource"], entry, in_history)
            elif isinstance(entry, dict) and ("request" in entry or "response" in entry):
                if not self._versions.add_deletion(source, entry, in_history):
                    self._notices["Bundle entries without a resource were skipped"] += 1
            else:
                yield RejectedRow(source, "an entry without a resource", excerpt(entry))

    def add(
        self, source: str, resource: Mapping[str, Any], entry: Mapping[str, Any] | None = None, in_history: bool = False
    ) -> Iterator[RejectedRow]:
        """Add a resource, of a Bundle's ``entry`` if it is in one; yields it with the reason if it cannot be read."""
        kind = resource.get("resourceType")
        self.conditions += kind == "Condition"
        if kind is None:
            yield RejectedRow(source, "not a resource of FHIR: no resourceType", _id(resource))
        elif kind not in KINDS:
            self._notices[f"{kind} resources were not read"] += 1
        else:
            try:
                self._versions.add(source, resource, entry or {}, in_history)
            except (AttributeError, TypeError, ValueError, *WRONG_TYPE_ERRORS) as error:
                yield _not_r4(source, resource, error)

    def _read(self, source: str, resource: Mapping[str, Any], full_url: str | None) -> Iterator[RejectedRow]:
        """Read the version of a resource that counts; yields it with the reason if it is no diagnosis or unreadable."""
        kind = resource["resourceType"]
        try:
            if kind == "Patient":
                self._add_patient(resource, full_url)
            elif kind == "Observation":
                self._add_observation(source, resource, full_url)
            else:
                self._add_condition(source, resource)
        except (AttributeError, KeyError, TypeError, *WRONG_TYPE_ERRORS) as error:
            yield _not_r4(source, resource, error)
        except NotACase as error:
            yield RejectedRow(source, str(error), _id(resource), error.kind)
        except ValueError as error:
            yield RejectedRow(source, str(error), _id(resource))

    def _add_patient(self, patient: Mapping[str, Any], full_url: str | None) -> None:
        identifiers = [name for identifier in patient.get("identifier", []) for name in _searches(identifier)]
        urls = [_reference(full_url), *_urls(patient.get("id"))]
        names = [name for name in (*urls, *identifiers) if name]
        if not names:
            raise ValueError("a Patient without an id, to which nothing can refer")
        key = f"Patient/{patient['id']}" if "id" in patient else names[0]
        self._insert_patient(key, patient, contained=False)
        self._db.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", [(name, key) for name in names])

    def _insert_patient(self, key: str, patient: Mapping[str, Any], contained: bool) -> None:
        birth = iso_date(patient["birthDate"]) if "birthDate" in patient else None
        values = (patient.get("gender"), birth)
        known = self._db.execute("SELECT sex, birth FROM patient WHERE patient = ?", (key,)).fetchone()
        if known is None:
            self._db.execute("INSERT INTO patient VALUES (?, ?, ?, ?)", (key, *values, contained))
        elif known != values:
            raise ValueError(f"{excerpt(key)} was read before with another gender or birthDate")

    def _add_observation(self, source: str, observation: Mapping[str, Any], full_url: str | None) -> None:
        if observation.get("status") in NOT_A_FINDING:
            self._notices["Observations that are cancelled or entered in error were set aside"] += 1
            return
        findings = fhir_elements.findings(observation)
        if not findings:
            self._notices["Observations without a result of their own were set aside"] += 1
            return
        day = fhir_elements.observation_day(observation)
        # Told is only what was surely known by then: of a month or a year, the last day counts.
        reference, date = self._subject(source, observation), iso_date(day, last=True) if day else None
        if day and len(day.strip()) < len("YYYY-MM-DD"):
            self._notices["Observations dated by a month or a year count from its last day on"] += 1
        name = f"Observation/{observation['id']}" if "id" in observation else full_url
        for number, finding in enumerate(findings):
            values = (reference, date, *finding, number == 0, name)
            self._db.execute("INSERT INTO observation VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _add_condition(self, source: str, condition: Mapping[str, Any]) -> None:
        codings, words = fhir_elements.diagnosis(condition)
        status = fhir_elements.verification(condition)
        if status in fhir_elements.NOT_A_DIAGNOSIS:
            raise NotACase(NO_DIAGNOSIS, f"the Condition is {status}: no diagnosis")
        if not codings and not words:
            raise NotACase(NO_DIAGNOSIS, "a Condition without a code: no diagnosis")
        if fhir_elements.says_no_problem(codings, words):
            raise NotACase(NO_DIAGNOSIS, f"the Condition says {excerpt(words or codings[0].code)}: no diagnosis")
        if status in fhir_elements.SUSPECTED and not self._include_suspected:
            raise NotACase(NOT_CONFIRMED, f"the Condition is {status}: not a confirmed diagnosis")
        day = fhir_elements.condition_day(condition)
        values = (
            source,
            condition.get("id") or source,
            self._subject(source, condition),
            json.dumps(codings),
            words,
            iso_date(day) if day else None,
        )
        self._db.execute("INSERT INTO condition VALUES (?, ?, ?, ?, ?, ?)", values)
        if status is None:
            self._notices["Conditions without a verificationStatus count as diagnoses"] += 1
        elif status in fhir_elements.SUSPECTED:
            self._notices[f"Conditions that are {status} count as diagnoses"] += 1
        if day is None:
            self._notices["Conditions without a date have no age, and Observations of any time"] += 1

    def _subject(self, source: str, resource: Mapping[str, Any]) -> str | None:
        """What a resource calls its patient. A contained patient is added."""
        subject = resource.get("subject", {})
        reference = subject.get("reference")
        if reference is None:
            searches = _searches(subject.get("identifier", {}))
            return searches[0] if searches else None
        if not reference.startswith("#"):
            return _reference(reference)
        for patient in resource.get("contained", []):
            if patient.get("resourceType") == "Patient" and reference == f"#{patient.get('id', '').lstrip('#')}":
                searches = [name for identifier in patient.get("identifier", []) for name in _searches(identifier)]
                key = searches[0] if searches else f"{source}{reference}"
                self._insert_patient(key, patient, contained=True)
                return key
        return f"{source}{reference}"

    def cases(self) -> Iterator[clinical.Case | RejectedRow]:
        """The Conditions in the order in which they were added, and what cannot be read or is no diagnosis."""
        yield from self.resolve()
        conditions = self._db.execute("SELECT * FROM condition ORDER BY rowid")
        for source, case_id, reference, codings, words, day in conditions:
            found = self.patient(reference, case_id, day)
            if found is None:
                reason = (
                    f"the Condition's patient {reference!r} is missing"
                    if reference
                    else "a Condition without a patient"
                )
                yield RejectedRow(source, reason, excerpt(case_id))
                continue
            key, patient = found
            coded = [clinical.Coding(*coding) for coding in json.loads(codings)]
            yield clinical.make_case(source, patient, wordings(patient), coded, words, key, day)
        self.count_observations()

    def resolve(self) -> Iterator[RejectedRow]:
        """Read what was added and counts, and who is meant by which reference; yields what is unreadable or no case."""
        for source, resource, full_url in self._versions.newest(self._notices):
            yield from self._read(source, resource, full_url)
        # A name that several patients have refers to none. A contained patient has a name of its own, unless the name
        # is an identifier that a Patient of the source has.
        self._db.executescript(
            """
            CREATE INDEX observations_of ON observation (reference);
            CREATE TABLE resolved (reference TEXT PRIMARY KEY, patient TEXT);
            INSERT INTO resolved
                SELECT reference, min(patient) FROM name GROUP BY reference HAVING count(*) = 1;
            INSERT OR IGNORE INTO resolved SELECT patient, patient FROM patient
                WHERE contained AND patient NOT IN (SELECT reference FROM name);
            CREATE INDEX references_of ON resolved (patient);
            CREATE TABLE told (patient TEXT, date TEXT);
            """
        )

    def patients(self) -> list[str]:
        """The keys of the Patients, once resolved."""
        return [key for (key,) in self._db.execute("SELECT patient FROM patient WHERE NOT contained")]

    def refers_to(self, reference: str | None) -> str | None:
        """The key of the patient that is called so, once resolved; None for nobody."""
        query = "SELECT patient FROM resolved WHERE reference = ?"
        found = self._db.execute(query, (_reference(reference),)).fetchone()
        return str(found[0]) if found else None

    def diagnoses(self, key: str) -> Iterator[tuple[list[clinical.Coding], str | None]]:
        """The codings and words of a patient's confirmed Conditions, once resolved."""
        query = "SELECT codings, words FROM condition JOIN resolved USING (reference) WHERE patient = ? ORDER BY 1, 2"
        for codings, words in self._db.execute(query, (key,)):
            yield [clinical.Coding(*coding) for coding in json.loads(codings)], words

    def patient(self, reference: str | None, case_id: str, day: str | None) -> tuple[str, Patient] | None:
        """The key of whom ``reference`` means, and the patient as known on ``day``; None where there is no such one."""
        query = "SELECT patient, sex, birth FROM resolved JOIN patient USING (patient) WHERE reference = ?"
        found = self._db.execute(query, (reference,)).fetchone()
        if found is None:
            return None
        key, sex, birth = found
        self._db.execute("INSERT INTO told VALUES (?, ?)", (key, day))
        findings = {finding: present for finding, present, _ in self._latest(key, day)}
        if birth is None:
            self._notices["diagnoses of patients without a birthDate are told without an age"] += 1
        patient = Patient(
            case_id=case_id,
            disease="",
            present=tuple(finding for finding, present in findings.items() if present),
            absent=tuple(finding for finding, present in findings.items() if not present),
            sex=sex if sex in ("female", "male") else None,
            age=years_between(birth, day) if birth and day else None,
        )
        return key, patient

    def observations(self, key: str, until: str | None) -> list[str]:
        """References to the Observations that a patient is told from, where they have any."""
        return list(dict.fromkeys(resource for *_, resource in self._latest(key, until) if resource))

    def _latest(self, key: str, until: str | None) -> list[tuple[str, bool, str | None]]:
        """Finding in words, whether it is present, and where from: of the latest Observation of each code."""
        query = """SELECT code, finding, present, resource FROM observation
            WHERE reference IN (SELECT reference FROM resolved WHERE patient = ?) AND coalesce(date <= ?, 1)
            ORDER BY date, rowid"""
        rows = self._db.execute(query, (key, until))
        return list({code: (finding, bool(present), resource) for code, finding, present, resource in rows}.values())

    def count_observations(self) -> None:
        """Count the Observations that no Condition was told from, by their reason, and those without a date."""
        self._db.execute("CREATE INDEX told_of ON told (patient)")
        counts = self._db.execute(
            """
            SELECT CASE
                WHEN patient IS NULL THEN 'Observations whose patient is missing were set aside'
                WHEN patient NOT IN (SELECT patient FROM told)
                        AND patient IN (SELECT patient FROM patient WHERE contained)
                    THEN 'Observations whose patient is contained in them and has no diagnosis were set aside'
                WHEN patient NOT IN (SELECT patient FROM told)
                    THEN 'Observations of patients without a diagnosis were set aside'
                WHEN NOT EXISTS (SELECT 1 FROM told WHERE told.patient = resolved.patient
                        AND coalesce(observation.date <= told.date, 1))
                    THEN 'Observations later than every diagnosis of their patient were set aside'
                WHEN date IS NULL THEN 'Observations without a date are told with every diagnosis of their patient'
                END AS text, sum(whole)
            FROM observation LEFT JOIN resolved USING (reference) GROUP BY text HAVING text NOT NULL
            """
        )
        self._notices.update(dict(counts))


def wordings(patient: Patient) -> dict[str, str]:
    """The findings of a patient, which are words here, as :func:`osler.patients.write_sentences` takes them."""
    return {finding: finding for finding in (*patient.present, *patient.absent)}


def _is_of_the_whole_source(bundle: Mapping[str, Any]) -> bool:
    """Whether a Bundle is a page of a history, or the deletions of a bulk export."""
    entries = bundle.get("entry")
    return bundle.get("type") == "history" or (
        isinstance(entries, list)
        and any(isinstance(entry, dict) and "request" in entry for entry in entries)
        and not any(isinstance(entry, dict) and "resource" in entry for entry in entries)
    )


def _not_r4(source: str, resource: Mapping[str, Any], error: Exception) -> RejectedRow:
    reason = f"not a {resource['resourceType']} of FHIR R4 ({type(error).__name__}: {error})"
    return RejectedRow(source, reason, _id(resource))


def _id(resource: Mapping[str, Any]) -> str:
    return excerpt(f"{resource.get('resourceType')}/{resource.get('id')}")


# ── references ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _reference(text: str | None) -> str | None:
    """``Patient/1`` or ``Patient?identifier=…`` from a URL that ends in it; anything else as it is (urn:uuid:…)."""
    match = re.search(r"(?:^|/)(Patient(?:/[^/?#\s]+|\?identifier=.+))(?:/_history/.*)?$", unquote(text or ""))
    return match[1] if match else text


def _urls(patient_id: str | None) -> list[str]:
    """What references call a patient by the id, which in some exports is a UUID or its URN."""
    if patient_id is None:
        return []
    urn = patient_id if patient_id.startswith("urn:") else f"urn:uuid:{patient_id}"
    return [f"Patient/{patient_id}", urn]


def _searches(identifier: Mapping[str, Any]) -> list[str]:
    """The searches that find a patient by an identifier: by system and value, and by the value in any system."""
    value, system = identifier.get("value"), identifier.get("system", "")
    return [f"Patient?identifier={system}|{value}", f"Patient?identifier={value}"] if value else []
