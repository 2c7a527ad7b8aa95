"""Read GA4GH phenopackets (schema 2, as JSON) as rows: the findings in sentences, and the diagnosis.

Unlike :mod:`osler.patients.phenopacket_store`, which condenses one known release, this reads any phenopackets, one at a
time and without an ontology, and keeps every finding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from osler.patients import Patient, years, years_between
from osler.preparation.readers import clinical
from osler.preparation.readers.record import RawRow, RejectedRow, excerpt, iso_date
from osler.terminology import mid_sentence_case

# HPO's term for an onset below each limit (age in years), by the definitions of the terms.
ONSET_TERMS = (
    (28 / 365, "HP:0003623"),
    (1, "HP:0003593"),
    (5, "HP:0011463"),
    (16, "HP:0003621"),
    (math.inf, "HP:0003581"),
)
CONGENITAL = "HP:0003577"


def is_phenopacket(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is meant as a phenopacket. One without findings has at least a subject and metadata."""
    return "phenotypicFeatures" in content or ("subject" in content and "metaData" in content)


def read_phenopackets(packets: Iterable[RawRow | RejectedRow]) -> Iterator[RawRow | RejectedRow]:
    """Each phenopacket as a row of :data:`osler.preparation.readers.clinical.COLUMNS`, or why it cannot be read.

    The diagnosis is the one disease that is not excluded, or else that of the interpretations. Without a diagnosis the
    label is None. ``group`` is the first publication that the packet cites (PMID, else DOI), or else the patient's id.
    """
    for packet in packets:
        if isinstance(packet, RejectedRow):
            yield packet
            continue
        try:
            yield _row(packet.source, packet.columns)
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"not a phenopacket of schema 2 ({type(error).__name__}: {error})"
            yield RejectedRow(packet.source, reason, excerpt(packet.columns.get("id")))
        except ValueError as error:
            yield RejectedRow(packet.source, str(error), excerpt(packet.columns.get("id")))


def _row(source: str, content: Mapping[str, Any]) -> RawRow:
    if not is_phenopacket(content):
        raise ValueError("not a phenopacket: neither phenotypicFeatures nor subject and metaData")
    metadata, subject = content.get("metaData", {}), content.get("subject", {})
    features = content.get("phenotypicFeatures", [])
    if metadata.get("phenopacketSchemaVersion", "2").startswith("1") or any("negated" in f for f in features):
        raise ValueError("a phenopacket of schema 1, which marks excluded findings differently; convert it to schema 2")
    disease, onset = _diagnosis(content)
    encounter, birth = subject.get("timeAtLastEncounter", {}), subject.get("dateOfBirth")
    wordings = {f["type"]["id"]: mid_sentence_case(f["type"].get("label") or f["type"]["id"]) for f in features}
    present = dict.fromkeys(f["type"]["id"] for f in features if not f.get("excluded"))
    sex = subject.get("sex", "").lower()
    patient = Patient(
        case_id=content.get("id") or source,
        disease=disease.get("id", ""),
        present=tuple(present),
        absent=tuple(finding for finding in wordings if finding not in present),
        sex=sex if sex in ("female", "male") else None,
        age=_age(encounter, birth),
        onset=_onset(onset, birth),
    )
    cited = [reference.get("id", "") for reference in metadata.get("externalReferences", [])]
    publications = [i for kind in ("PMID:", "DOI:") for i in cited if i.startswith(kind)]
    group = publications[0] if publications else subject.get("id")
    time = encounter.get("timestamp") or onset.get("timestamp")
    diagnosis = (disease.get("label"), disease.get("id"))
    return clinical.make_row(source, patient, wordings, diagnosis, group, iso_date(time) if time else None)


def _diagnosis(content: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The term of the disease and the TimeElement of its onset; both empty if there is none."""
    diseases = [disease for disease in content.get("diseases", []) if not disease.get("excluded")]
    terms = {disease["term"]["id"]: (disease["term"], disease.get("onset", {})) for disease in diseases}
    if not terms:
        diagnoses = [interpretation.get("diagnosis", {}) for interpretation in content.get("interpretations", [])]
        terms = {d["disease"]["id"]: (d["disease"], {}) for d in diagnoses if "disease" in d}
    if len(terms) > 1:
        raise ValueError(f"{len(terms)} diagnoses ({', '.join(terms)}); a case has one right answer")
    return next(iter(terms.values()), ({}, {}))


def _age(time: Mapping[str, Any], birth: str | None) -> float | None:
    """Age in years at a TimeElement; None for weeks of gestation or nothing."""
    if "timestamp" in time and birth:
        return years_between(iso_date(birth), iso_date(time["timestamp"]))
    age = time.get("age") or time.get("ageRange", {}).get("start", {})
    return years(age.get("iso8601duration"))


def _onset(time: Mapping[str, Any], birth: str | None) -> str | None:
    """HPO's term for the TimeElement of an onset."""
    if "ontologyClass" in time:
        return str(time["ontologyClass"]["id"])
    age = _age(time, birth)
    if age is None:
        return None
    return next(term for limit, term in ONSET_TERMS if age < limit) if age else CONGENITAL
