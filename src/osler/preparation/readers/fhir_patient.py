"""One patient's FHIR R4 Bundle as the text that a model is asked with: the one that preparing it would have made.

Observations become the sentences that :func:`osler.preparation.readers.fhir.read_conditions` writes for a Condition of
that day. Documents, which preparing leaves out, follow as they are, cleaned. Conditions are no part of the text, for in
training they are the answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import date
from typing import Any, NamedTuple

from osler.errors import InputError
from osler.preparation.cleaning_steps import ControlCharacters, Encoding, Html, Whitespace
from osler.preparation.label_masking import LabelNames
from osler.preparation.readers import clinical
from osler.preparation.readers.fhir import ResourceStore, wordings
from osler.preparation.readers.record import UNREADABLE, RawRow, iso_date

DOCUMENTS = {  # and where they have their day
    "DiagnosticReport": ("effectiveDateTime", "issued"),
    "DocumentReference": ("date",),
    "Composition": ("date",),
}
NOT_COUNTED = {"entered-in-error", "cancelled", "superseded"}  # a document's status
_REFERENCE = re.compile(
    r"[A-Za-z]{1,40}/[A-Za-z0-9.-]{1,64}|urn:(?:uuid|oid):[A-Za-z0-9.-]{1,64}|https?://[\w.~:/?#@!$&'()*+,;=%-]{1,500}",
    re.ASCII,
)
_CLEANING = [step("as in preparing") for step in (Encoding, Html, ControlCharacters, Whitespace)]


class FhirPatient(NamedTuple):
    """A patient to ask about.

    Attributes:
        text: what is told of them; empty where there is nothing to tell.
        reference: what refers to the Patient: ``Patient/ID``, or a ``urn:uuid:``; None where nothing valid does.
        basis: references to the Observations and documents that the text is of, where they have any.
        diagnoses: codings and words of each confirmed Condition.
        left_out: what of the Bundle is not told, in words that hold nothing of the patient.
    """

    text: str
    reference: str | None
    basis: list[str]
    diagnoses: list[tuple[list[clinical.Coding], str | None]]
    left_out: list[str]


class Document(NamedTuple):
    """A text among the resources: whose it is, its day, what refers to it."""

    subject: str | None
    day: str | None
    reference: str | None
    text: str


def read_patient(bundle: Mapping[str, Any], today: date) -> FhirPatient:
    """The patient of a Bundle as known on the day of its ``timestamp``, or else ``today``.

    Raises:
        InputError: it is no Bundle, or has not exactly one Patient; the message holds nothing of the patient.
    """
    if bundle.get("resourceType") != "Bundle" or not isinstance(bundle.get("entry", []), list):
        raise InputError("not a Bundle of FHIR R4; send one with the Patient and their Observations")
    day = _day(bundle, ("timestamp",)) or today.isoformat()
    notices: Counter[str] = Counter()
    entries = bundle.get("entry", [])
    documents = [entry for entry in entries if _kind(entry) in DOCUMENTS]
    rest = {**bundle, "entry": [entry for entry in entries if _kind(entry) not in DOCUMENTS]}
    with closing(ResourceStore(include_suspected=False, notices=notices)) as store:
        unread = [*store.add_entries(RawRow("Bundle", rest)), *store.resolve()]
        keys = store.patients()
        if len(keys) != 1:
            raise InputError(f"the Bundle has {len(keys)} Patients that can be read; send exactly one, with an id")
        (key,) = keys
        found = store.patient(key, key, day)
        if found is None:
            raise InputError("several resources of the Bundle have the Patient's id; send exactly one")
        patient = found[1]
        case = clinical.make_case("Bundle", patient, wordings(patient), [], None, key, day)
        told = []
        for document in _read_documents(documents, notices):
            if store.refers_to(document.subject) != key:
                notices["documents of another patient, or of none, were set aside"] += 1
            elif document.day and document.day > day:
                notices["documents later than the Bundle were set aside"] += 1
            else:
                told.append(document)
        store.count_observations()
        basis = store.observations(key, day) if patient.present else []
        diagnoses = list(store.diagnoses(key))
    faults = sum(row.kind == UNREADABLE for row in unread)
    left_out = [f"{number} × {text}" for text, number in notices.most_common() if _left_out(text)]
    left_out += [f"{faults} × resources could not be read"] if faults else []
    told.sort(key=lambda document: document.day or "")
    texts = [case.columns["text"], *(document.text for document in told)]
    return FhirPatient(
        text="\n".join(filter(None, texts)),
        reference=next(iter(_valid([key])), None),
        basis=_valid([*basis, *(document.reference for document in told)]),
        diagnoses=diagnoses,
        left_out=left_out,
    )


def _left_out(notice: str) -> bool:
    """Whether a notice is of something that is not told, and not of how a Condition was read."""
    return notice.isascii() and notice.endswith(("set aside", "not read", "skipped"))


def _valid(references: Iterable[Any]) -> list[str]:
    """Those that FHIR has in this form."""
    return [one for one in references if isinstance(one, str) and _REFERENCE.fullmatch(one)]


def _kind(entry: Any) -> str | None:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) else None


def _read_documents(entries: list[dict[str, Any]], notices: Counter[str]) -> Iterator[Document]:
    for entry in entries:
        resource = entry["resource"]
        try:
            if NOT_COUNTED & {resource.get("status"), resource.get("docStatus")}:
                notices["documents that are cancelled, superseded or entered in error were set aside"] += 1
                continue
            text = "\n".join(filter(None, map(_cleaned, _texts(resource, notices))))
            subject = (resource.get("subject") or {}).get("reference")
            if subject is not None:
                subject.encode()  # it is text, and no half of a character stands in it
            day = _day(resource, DOCUMENTS[resource["resourceType"]])
        except (AttributeError, KeyError, TypeError, ValueError):
            notices["documents that are not of FHIR R4 were not read"] += 1
            continue
        name = f"{resource['resourceType']}/{resource['id']}" if "id" in resource else entry.get("fullUrl")
        if text:
            yield Document(subject, day, name, text)


def _texts(resource: Mapping[str, Any], notices: Counter[str]) -> Iterator[str]:
    """The texts of a document."""
    kind = resource["resourceType"]
    if kind == "Composition":
        yield from _sections(resource.get("section", []))
        return
    if kind == "DiagnosticReport":
        attachments = resource.get("presentedForm", [])
        yield resource.get("conclusion", "")
    else:
        attachments = [content["attachment"] for content in resource.get("content", [])]
    for attachment in attachments:
        content = attachment.get("contentType", "text/plain")
        if "data" not in attachment:
            notices["attachments that are a link were not read"] += 1
        elif content.partition(";")[0].strip().lower() not in ("text/plain", "text/html"):
            notices["attachments that are no text were not read"] += 1
        else:
            yield _decoded(attachment["data"])


def _sections(sections: list[dict[str, Any]]) -> Iterator[str]:
    """Title and narrative of each section, those within it next."""
    waiting = sections[::-1]
    while waiting:
        section = waiting.pop()
        yield section.get("title", "")
        yield (section.get("text") or {}).get("div", "")
        waiting += section.get("section", [])[::-1]


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("not UTF-8 in base64") from None


def _cleaned(text: str) -> str:
    """The text after the steps of preparing that change how a text is written, and nothing of what it says."""
    for step in _CLEANING:
        text = step(text, "", LabelNames(set())) or ""
    return text


def _day(resource: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    day = next((resource[name] for name in names if resource.get(name)), None)
    if day is None:
        return None
    try:
        return iso_date(day, last=True)
    except (AttributeError, TypeError, ValueError):
        return None
