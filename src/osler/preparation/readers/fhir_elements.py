"""Read the elements of FHIR R4's Conditions and Observations: codes, certainty, days, values in words, findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from osler.preparation.readers.clinical import Coding
from osler.terminology import mid_sentence_case

CONFIRMED = ("confirmed",)
SUSPECTED = ("differential", "provisional", "unconfirmed")
NOT_A_DIAGNOSIS = ("refuted", "entered-in-error")
VERIFICATION_STATUSES = (*CONFIRMED, *SUSPECTED, *NOT_A_DIAGNOSIS)
# How Germany says it, in an extension of an ICD-10-GM code: certain, status after, suspected, excluded.
GERMAN_CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
GERMAN_CERTAINTIES = {"G": "confirmed", "Z": "confirmed", "V": "provisional", "A": "refuted"}
ASSERTED_DATE = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
# Codes that say that there are no problems, or that nothing is known of them (SNOMED CT and HL7's patient summary).
NO_PROBLEMS = {"160245001", "no-known-problems", "no-problem-info"}
# Systems whose codes can be findings by themselves; others, as LOINC's, ask a question that needs a value.
FINDINGS = ("http://snomed.info/sct", "http://human-phenotype-ontology.org", "http://purl.obolibrary.org/obo/hp.owl")
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


class Finding(NamedTuple):
    """Its code, wording and whether it is present."""

    code: str
    wording: str
    present: bool


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def diagnosis(condition: Mapping[str, Any]) -> tuple[list[Coding], str | None]:
    """The codings of a Condition, and its words for it."""
    concept = condition.get("code", {})
    codings = [
        Coding(_string(coding, "system"), code, _string(coding, "display"))
        for coding in concept.get("coding", [])
        if (code := _string(coding, "code"))
    ]
    words = [_string(concept, "text"), *(_string(coding, "display") for coding in concept.get("coding", []))]
    return codings, next(filter(None, words), None)


def says_no_problem(codings: list[Coding], words: str | None) -> bool:
    """Whether a diagnosis is none: "no current problems", or one of SNOMED CT's situations, such as a family history.

    Its situations are what was suspected, excluded, planned, or is known of others.
    """
    names = [name.lower() for name in (words, *(coding.name for coding in codings)) if name]
    return any(coding.code in NO_PROBLEMS for coding in codings) or any(
        name.endswith("(situation)") or name.startswith(("no current ", "no known ")) for name in names
    )


def verification(condition: Mapping[str, Any]) -> str | None:
    """The least certain status that a Condition gives; None if it gives none.

    Raises:
        ValueError: ``verificationStatus`` has no status of R4.
    """
    concept = condition.get("verificationStatus") or {}
    codes = [coding.get("code") for coding in concept.get("coding", [])]
    statuses = [status for status in VERIFICATION_STATUSES if status in codes]
    if concept and not statuses:
        raise ValueError(f"verificationStatus is none of {', '.join(VERIFICATION_STATUSES)}")
    for coding in condition.get("code", {}).get("coding", []):
        certainty = (_extension(coding, GERMAN_CERTAINTY).get("valueCoding") or {}).get("code")
        statuses += [GERMAN_CERTAINTIES[certainty]] if certainty in GERMAN_CERTAINTIES else []
    return max(statuses, key=VERIFICATION_STATUSES.index, default=None)


def condition_day(condition: Mapping[str, Any]) -> str | None:
    """When a Condition was recorded, or else asserted, or else began, as it is written."""
    days = (
        condition.get("recordedDate"),
        _extension(condition, ASSERTED_DATE).get("valueDateTime"),
        condition.get("onsetDateTime"),
        condition.get("onsetPeriod", {}).get("start"),
    )
    return next(filter(None, days), None)


def _extension(element: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    return next((extension for extension in element.get("extension", []) if extension.get("url") == url), {})


def _string(element: Mapping[str, Any], name: str) -> str | None:
    value = element.get(name)
    if not isinstance(value, str | None):
        raise TypeError(f"{name} is a {type(value).__name__}")
    return " ".join(value.split()) or None if value else None


# ── observations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def observation_day(observation: Mapping[str, Any]) -> str | None:
    """When something was observed (of a period, its end), or else issued, as it is written."""
    day = observation.get("effectiveDateTime") or observation.get("effectiveInstant")
    period = observation.get("effectivePeriod", {})
    return day or period.get("end") or period.get("start") or observation.get("issued")


def findings(observation: Mapping[str, Any]) -> list[Finding]:
    """The findings of an Observation and its components; none if it has no result of its own."""
    parts = [observation, *observation.get("component", [])]
    return [finding for finding in map(_finding, parts) if finding is not None]


def _finding(observation: Mapping[str, Any]) -> Finding | None:
    name, code = _concept(observation.get("code", {}))
    if not (name or code) or "dataAbsentReason" in observation:
        return None
    wording = mid_sentence_case(name or code or "")
    value = _value(observation)
    interpretations = [_concept(concept) for concept in observation.get("interpretation", [])]
    if any(_is_one_of(answer, NEGATIVE) for answer in (*interpretations, value) if answer):
        return Finding(code or wording, wording, False)
    remarks = [INTERPRETATIONS.get(mark or "") or (text or mark or "").lower() for text, mark in interpretations]
    if value is None and not any(remarks) and not _is_finding_by_itself(observation):
        return None
    if value and not _is_one_of(value, POSITIVE):
        wording += f" {value[0] or value[1]}"
    return Finding(code or wording, wording + (f" ({', '.join(remarks)})" if any(remarks) else ""), True)


def _is_finding_by_itself(observation: Mapping[str, Any]) -> bool:
    """Whether the code alone says what was found: "Fever", but not "Body temperature"."""
    if "component" in observation or "hasMember" in observation:
        return False
    if any(name.lstrip("_").startswith("value") for name in observation):  # masked, or of a kind not told
        return False
    return any(coding.get("system") in FINDINGS for coding in observation.get("code", {}).get("coding", []))


def _concept(concept: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Name and code of a CodeableConcept, from its first coding that has a name."""
    codings = concept.get("coding", [])
    coding = next((c for c in codings if c.get("display")), codings[0] if codings else {})
    return _string(coding, "display") or _string(concept, "text"), _string(coding, "code")


def _is_one_of(answer: tuple[str | None, str | None], answers: set[str]) -> bool:
    text, code = answer
    return (text or "").strip().lower() in answers or code in answers


def _value(observation: Mapping[str, Any]) -> tuple[str | None, str | None] | None:
    """The value in words, and its code if it has one; None if there is none, and for periods and sampled data."""
    for kind in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if kind in observation:
            return str(observation[kind]), None
    if "valueBoolean" in observation:
        return "yes" if observation["valueBoolean"] else "no", None
    if "valueCodeableConcept" in observation:
        name, code = _concept(observation["valueCodeableConcept"])
        return (name, code) if name or code else None
    words = None
    if "valueQuantity" in observation:
        words = _quantity(observation["valueQuantity"])
    elif "valueRange" in observation:
        ends = (_quantity(observation["valueRange"].get(end, {})) for end in ("low", "high"))
        words = " to ".join(filter(None, ends)) or None
    elif "valueRatio" in observation:
        terms = [_quantity(observation["valueRatio"].get(term, {})) for term in ("numerator", "denominator")]
        words = " : ".join(term for term in terms if term) if all(terms) else None
    return (words, None) if words else None


def _quantity(quantity: Mapping[str, Any]) -> str | None:
    """A Quantity in words; None without a value, which R4 allows."""
    if quantity.get("value") is None:
        return None
    number = f"{quantity.get('comparator', '')}{quantity['value']}"
    return " ".join(filter(None, (number, quantity.get("unit") or quantity.get("code"))))
