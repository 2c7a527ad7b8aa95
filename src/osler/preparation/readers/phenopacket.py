"""GA4GH phenopackets (schema 2, as JSON) as rows: the patient's findings in words, and the diagnosis.

Other than :mod:`phenopacket_store`, which condenses one known release for the task ``rare_disease``, this reads
anybody's, one at a time, needs no ontology and keeps every finding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from osler.patients import Patient, years, years_between
from osler.preparation.readers import clinical
from osler.preparation.readers.record import Raw, Rejected, excerpt, iso_date
from osler.terminology import mid_sentence_case

# HPO's terms for an onset at an age in years below each limit, as their definitions say.
ONSETS = ((28 / 365, "HP:0003623"), (1, "HP:0003593"), (5, "HP:0011463"), (16, "HP:0003621"), (math.inf, "HP:0003581"))
CONGENITAL = "HP:0003577"


def is_phenopacket(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is meant as a phenopacket; one without findings has a subject and metadata at least."""
    return "phenotypicFeatures" in content or ("subject" in content and "metaData" in content)


def rows(packets: Iterable[Raw | Rejected]) -> Iterator[Raw | Rejected]:
    """Each phenopacket as a row of :data:`osler.preparation.readers.clinical.COLUMNS`, or the reason why it is none.

    The diagnosis is the one disease that is not excluded, else the one of the interpretations; without any the label is
    None. ``group`` is the first publication the packet cites (PMID, else DOI), else the patient's id.
    """
    for packet in packets:
        if isinstance(packet, Rejected):
            yield packet
            continue
        try:
            yield _row(packet.source, packet.columns)
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"not a phenopacket of schema 2 ({type(error).__name__}: {error})"
            yield Rejected(packet.source, reason, excerpt(packet.columns.get("id")))
        except ValueError as error:
            yield Rejected(packet.source, str(error), excerpt(packet.columns.get("id")))


def _row(source: str, content: Mapping[str, Any]) -> Raw:
    if not is_phenopacket(content):
        raise ValueError("not a phenopacket: neither phenotypicFeatures nor subject and metaData")
    metadata, subject = content.get("metaData", {}), content.get("subject", {})
    features = content.get("phenotypicFeatures", [])
    if metadata.get("phenopacketSchemaVersion", "2").startswith("1") or any("negated" in f for f in features):
        raise ValueError("a phenopacket of schema 1, which says in another way what was not found; convert it to 2")
    disease, onset = _diagnosis(content)
    encounter, birth = subject.get("timeAtLastEncounter", {}), subject.get("dateOfBirth")
    words = {f["type"]["id"]: mid_sentence_case(f["type"].get("label") or f["type"]["id"]) for f in features}
    present = dict.fromkeys(f["type"]["id"] for f in features if not f.get("excluded"))
    sex = subject.get("sex", "").lower()
    patient = Patient(
        case_id=content.get("id") or source,
        disease=disease.get("id", ""),
        present=tuple(present),
        absent=tuple(finding for finding in words if finding not in present),
        sex=sex if sex in ("female", "male") else None,
        age=_age(encounter, birth),
        onset=_onset(onset, birth),
    )
    cited = [reference.get("id", "") for reference in metadata.get("externalReferences", [])]
    publications = [i for kind in ("PMID:", "DOI:") for i in cited if i.startswith(kind)]
    group = publications[0] if publications else subject.get("id")
    seen = encounter.get("timestamp") or onset.get("timestamp")
    diagnosis = (disease.get("label"), disease.get("id"))
    return clinical.row(source, patient, words, diagnosis, group, iso_date(seen) if seen else None)


def _diagnosis(content: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The term of the one disease, and the TimeElement of its onset; empty where there is none."""
    diseases = [disease for disease in content.get("diseases", []) if not disease.get("excluded")]
    found = {disease["term"]["id"]: (disease["term"], disease.get("onset", {})) for disease in diseases}
    if not found:
        diagnoses = [interpretation.get("diagnosis", {}) for interpretation in content.get("interpretations", [])]
        found = {d["disease"]["id"]: (d["disease"], {}) for d in diagnoses if "disease" in d}
    if len(found) > 1:
        raise ValueError(f"{len(found)} diagnoses ({', '.join(found)}); a case has one right answer")
    return next(iter(found.values()), ({}, {}))


def _age(time: Mapping[str, Any], birth: str | None) -> float | None:
    """Years at a TimeElement; None for weeks of gestation, and for nothing."""
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
    return next(term for limit, term in ONSETS if age < limit) if age else CONGENITAL
