"""An answer as FHIR R4 resources, and what the FHIR interface says of itself.

Sources: FHIR R4 (4.0.1), RiskAssessment, DiagnosticReport, Condition, Device, CapabilityStatement, OperationDefinition;
for the security label AIAST, HL7's code system v3-ObservationValue.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import osler
from osler.preparation import FhirPatient
from osler.serving.diagnosis import NO_CALIBRATION, Diagnosis, RankedLabel
from osler.serving.problems import FHIR_JSON

Json = dict[str, Any]

# The URI of each vocabulary in FHIR. Source: FHIR R4, terminologies-systems; HL7 Terminology for MONDO and HPO.
SYSTEMS = {
    "OMIM": "http://www.omim.org",
    "ORPHA": "http://www.orpha.net",
    "MONDO": "http://purl.obolibrary.org/obo/mondo.owl",
    "HP": "http://human-phenotype-ontology.org",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
}
BY_MACHINE = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
DIFFERENTIAL = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status",
            "code": "differential",
            "display": "Differential",
        }
    ]
}
RESEARCH = "For research, under a clinician's eyes: no clinical evidence, no medical device."
PERCENT = "probabilityDecimal is a percentage, as FHIR R4 defines it."


def is_recorded(label: RankedLabel, patient: FhirPatient | None) -> bool:
    """Whether a diagnosis is a confirmed Condition of the patient, by its code or its name."""
    if patient is None:
        return False
    known = set(_codes(label))
    for codings, words in patient.diagnoses:
        names = {(words or "").casefold(), *((coding.name or "").casefold() for coding in codings)}
        coded = {(coding.system, coding.code) for coding in codings}
        ids = {coding.code for coding in codings}
        if label.name.casefold() in names or label.label in ids or known & coded:
            return True
    return False


def percent(label: RankedLabel) -> str:
    """The probability for people; nothing where the model gives none."""
    return "" if label.probability is None else f"{label.probability:.1%}"


def concept(label: RankedLabel) -> Json:
    """A diagnosis as a CodeableConcept: with its codes in vocabularies that have a URI in FHIR."""
    coding = [{"system": system, "code": code, "display": label.name} for system, code in _codes(label)]
    return {"coding": coding, "text": label.name} if coding else {"text": label.name}


def _codes(label: RankedLabel) -> list[tuple[str, str]]:
    """Pairs of a system's URI and a code."""
    vocabulary, _, number = label.label.partition(":")
    codes = []
    if vocabulary in SYSTEMS and number:
        codes.append((SYSTEMS[vocabulary], label.label if vocabulary in ("HP", "MONDO") else number))
    if label.icd10cm is not None:
        codes.append((SYSTEMS["ICD10CM"], label.icd10cm))
    return codes


def answer_bundle(answer: Diagnosis, patient: FhirPatient | None, at: datetime) -> Json:
    """The answer as a collection: Device, RiskAssessment, DiagnosticReport, and the Conditions of the differential.

    Conditions and codes of a conclusion are there only where the answer is told (``abstained``): what is too unsure
    is to be read as a number, and never found in a list of problems.

    Args:
        patient: None where a text was sent.
    """
    device, risk = (f"urn:uuid:{uuid.uuid4()}" for _ in range(2))
    told = not answer.abstained
    subject = _subject(patient)
    when = at.isoformat(timespec="seconds")
    meta = {"source": device, "security": [BY_MACHINE]}
    new = [label for label in answer.diagnoses if not is_recorded(label, patient)] if told else []
    resources: list[tuple[str, Json]] = [
        (device, _device(answer)),
        (
            risk,
            {
                "resourceType": "RiskAssessment",
                "meta": meta,
                "status": "preliminary",
                "method": {"text": _method(answer)},
                "code": {"text": "Differential diagnosis"},
                "subject": subject,
                "occurrenceDateTime": when,
                "performer": {"reference": device},
                "basis": _basis(patient),
                "prediction": [_prediction(label, told, patient) for label in answer.diagnoses],
                "note": [{"text": text} for text in _notes(answer, patient)],
            },
        ),
        (f"urn:uuid:{uuid.uuid4()}", _report(answer, subject, when, meta)),
    ]
    for label in new:
        condition = {
            "resourceType": "Condition",
            "meta": meta,
            "verificationStatus": DIFFERENTIAL,
            "code": concept(label),
            "subject": subject,
            "recordedDate": when,
            "evidence": [{"detail": [{"reference": risk}]}],
            "note": [{"text": " ".join(filter(None, (f"Probability {percent(label)}.", RESEARCH)))}],
        }
        resources.append((f"urn:uuid:{uuid.uuid4()}", condition))
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": when,
        "entry": [{"fullUrl": url, "resource": _filled(resource)} for url, resource in resources],
    }


def _filled(resource: Json) -> Json:
    """Without what is empty, which JSON of FHIR may not have."""
    return {name: value for name, value in resource.items() if value not in (None, [], {})}


def _subject(patient: FhirPatient | None) -> Json:
    if patient is None or patient.reference is None:
        return {"display": "the patient of this request"}
    return {"reference": patient.reference}


def _basis(patient: FhirPatient | None) -> list[Json]:
    if patient is None:
        return [{"display": "the text of this request"}]
    return [{"reference": reference} for reference in patient.basis]


def _method(answer: Diagnosis) -> str:
    how = "with a temperature fitted on validation cases" if answer.calibrated else NO_CALIBRATION
    return f"Osler {osler.__version__}, language model {answer.model.name}@{answer.model.version}, {how}"


def _device(answer: Diagnosis) -> Json:
    name = answer.model
    versions = {"recipe": name.version, "recipe sha256": name.recipe_sha256, "weights sha256": name.weights_sha256}
    return {
        "resourceType": "Device",
        "status": "active",
        "type": {"text": "language model"},
        "deviceName": [{"name": name.name, "type": "model-name"}],
        "version": [{"type": {"text": what}, "value": value} for what, value in versions.items()],
        "note": [{"text": RESEARCH}],
    }


def _prediction(label: RankedLabel, told: bool, patient: FhirPatient | None) -> Json:
    reasons = ["" if told else "too unsure to be told as a diagnosis"]
    reasons.append("already a confirmed Condition of the patient" if is_recorded(label, patient) else "")
    return _filled(
        {
            "outcome": concept(label),
            "probabilityDecimal": None if label.probability is None else round(100 * label.probability, 6),
            "rationale": "; ".join(filter(None, reasons)) or None,
        }
    )


def _notes(answer: Diagnosis, patient: FhirPatient | None) -> list[str]:
    notes = [RESEARCH, PERCENT]
    if answer.abstained:
        notes.append(f"Abstained: {answer.reason}.")
    notes += [f"Warning: {warning}." for warning in answer.warnings]
    if patient and patient.left_out:
        notes.append(f"Not told to the model: {'; '.join(patient.left_out)}.")
    return notes


def _report(answer: Diagnosis, subject: Json, when: str, meta: Json) -> Json:
    if not answer.abstained:
        named: Sequence[str] = [f"{label.name} {percent(label)}".strip() for label in answer.diagnoses]
        conclusion = f"Differential diagnosis of a language model: {'; '.join(named)}. {RESEARCH}"
    else:
        conclusion = f"No diagnosis is told: {answer.reason}. {RESEARCH}"
    return {
        "resourceType": "DiagnosticReport",
        "meta": meta,
        "status": "preliminary",
        "code": {"text": "Differential diagnosis"},
        "subject": subject,
        "effectiveDateTime": when,
        "issued": when,
        "conclusion": conclusion,
        "conclusionCode": [concept(label) for label in answer.diagnoses] if not answer.abstained else [],
    }


def capability_statement() -> Json:
    """What the FHIR interface can do; the operation's definition is within it."""

    def parameter(name: str, kind: str, text: str, use: str = "in") -> Json:
        least = int(use == "out")
        return {"name": name, "use": use, "min": least, "max": "1", "type": kind, "documentation": text}

    operation = {
        "resourceType": "OperationDefinition",
        "id": "diagnose",
        "name": "Diagnose",
        "status": "active",
        "kind": "operation",
        "description": "Ranked diagnoses for a patient. Give a resource or a text.",
        "code": "diagnose",
        "system": True,
        "type": False,
        "instance": False,
        "parameter": [
            parameter("resource", "Bundle", "One Patient, their Observations, documents and confirmed Conditions."),
            parameter("text", "string", "A description of the patient."),
            parameter("topK", "integer", "How many diagnoses to answer with, 5 by default; also in the URL."),
            parameter("model", "string", "Which model answers, the first by default; also in the URL."),
            parameter(
                "return", "Bundle", "RiskAssessment, DiagnosticReport, Conditions and the model as Device.", "out"
            ),
        ],
    }
    return {
        "resourceType": "CapabilityStatement",
        "contained": [operation],
        "status": "active",
        "date": "2026-12-01",
        "kind": "instance",
        "software": {"name": "Osler", "version": osler.__version__},
        "implementation": {"description": f"Diagnoses by language models. {RESEARCH}"},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON],
        "rest": [
            {
                "mode": "server",
                "documentation": "One operation. Nothing is stored, and no resource can be read.",
                "operation": [{"name": "diagnose", "definition": "#diagnose"}],
            }
        ],
    }
