"""Read GA4GH phenopackets (schema 2, as JSON) as rows: the findings in sentences, and the diagnosis.

Unlike :mod:`osler.patients.phenopacket_store`, which condenses one known release, this reads any phenopackets, one at a
time and without an ontology, and keeps every finding. The schema's own messages parse them, so everything that
protobuf's JSON allows is read (``phenotypic_features``, enums as numbers), and an unknown field is named, not lost.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from phenopackets import Phenopacket, Sex, TimeElement

from osler.patients import ONSET_PHRASES, Patient, find_diagnosis, years, years_between
from osler.preparation.readers import clinical
from osler.preparation.readers.record import (
    NO_DIAGNOSIS,
    NOT_CONFIRMED,
    SEVERAL_DIAGNOSES,
    NotACase,
    Notice,
    RawRow,
    RejectedRow,
    excerpt,
)
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
PARSER_ERRORS = (RecursionError, SystemError)  # SystemError: half a surrogate pair as the name of an enum's value
# Fields that only schema 1 has, in lower case and without underscores.
SCHEMA_1_FIELDS = (
    "negated|ageatcollection|agerangeatcollection|ageofonset|agerangeofonset|classofonset|genes|variants|htsfiles"
)
NOT_SCHEMA_2 = "not a phenopacket of schema 2"
SCHEMA_1 = "a phenopacket of schema 1, which writes ages and excluded findings differently; convert it to schema 2"


def is_phenopacket(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is meant as a phenopacket, or as a Family or a Cohort of phenopackets.

    A phenopacket without findings has at least a subject and metadata.
    """
    if any(isinstance(member, dict) and is_phenopacket(member) for member in _members(content)):
        return True
    if "phenotypicFeatures" in content or "phenotypic_features" in content:
        return True
    return "subject" in content and ("metaData" in content or "meta_data" in content)


def read_phenopackets(
    packets: Iterable[RawRow | RejectedRow], include_suspected: bool
) -> Iterator[clinical.Case | RejectedRow | Notice]:
    """Each phenopacket as a case, or why it is none. The place of one in a Family or Cohort ends in its number.

    The diagnosis is that of :func:`osler.patients.find_diagnosis`. ``group`` is the first publication that the packet
    cites (PMID, else DOI), or else the patient's id; in a Family that of the proband, or else the Family.

    Args:
        include_suspected: whether a suspected diagnosis counts.
    """
    notices: Counter[str] = Counter()
    for row in packets:
        if isinstance(row, RejectedRow):
            yield row
            continue
        members = list(_parse_members(row))
        parsed = [member for member in members if not isinstance(member, RejectedRow)]
        family = None
        if _is_family(row.columns):
            cited = filter(None, (_publication(packet) for _, packet in parsed))
            family = next(cited, None) or row.columns.get("id") or row.source
        for member in members:
            if isinstance(member, RejectedRow):
                yield member
                continue
            source, packet = member
            try:
                yield _case(source, packet, family, include_suspected, notices)
            except NotACase as error:
                yield RejectedRow(source, str(error), excerpt(packet.id), error.kind)
            except ValueError as error:
                yield RejectedRow(source, str(error), excerpt(packet.id))
    yield from (Notice(text, number) for text, number in notices.most_common())


def _is_family(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("proband"), dict)


def _members(content: Mapping[str, Any]) -> list[Any]:
    """The phenopackets in a Family, whose proband comes first, or in a Cohort; none in anything else."""
    lists = [content.get("relatives"), content.get("members")]
    several = [member for members in lists if isinstance(members, list) for member in members]
    return [content["proband"], *several] if _is_family(content) else several


def _parse_members(row: RawRow) -> Iterator[tuple[str, Phenopacket] | RejectedRow]:
    """Place and content of the phenopacket, or of each one in a Family or Cohort."""
    members = _members(row.columns) if is_phenopacket(row.columns) else []
    places = [f"{row.source}:{number}" for number in range(1, len(members) + 1)]
    for place, content in zip(places or [row.source], members or [row.columns], strict=True):
        try:
            yield place, _parse(content)
        except (AttributeError, TypeError, ValueError, *PARSER_ERRORS) as error:
            reason = (
                str(error) if isinstance(error, ValueError) else f"{NOT_SCHEMA_2} ({type(error).__name__}: {error})"
            )
            yield RejectedRow(place, reason, excerpt(content.get("id") if isinstance(content, dict) else content))


def _parse(content: Mapping[str, Any]) -> Phenopacket:
    if not is_phenopacket(content):
        raise ValueError("not a phenopacket: neither phenotypicFeatures nor subject and metaData")
    try:
        packet = ParseDict(content, Phenopacket())
    except ParseError as error:
        if re.search(rf'has no field named "({SCHEMA_1_FIELDS})"', str(error).replace("_", ""), re.IGNORECASE):
            raise ValueError(SCHEMA_1) from None
        raise ValueError(f"{NOT_SCHEMA_2} ({str(error).splitlines()[0]})") from None
    if packet.meta_data.phenopacket_schema_version.startswith("1"):
        raise ValueError(SCHEMA_1)
    if not all(feature.type.id for feature in packet.phenotypic_features):
        raise ValueError(f"{NOT_SCHEMA_2} (a phenotypicFeature has no type, or its type no id)")
    return packet


def _case(
    source: str, packet: Phenopacket, family: str | None, include_suspected: bool, notices: Counter[str]
) -> clinical.Case:
    diagnosis = find_diagnosis(packet)
    ids = [term.id for term in diagnosis.terms]
    if diagnosis.status == "unsolved":
        raise NotACase(NO_DIAGNOSIS, "the interpretation is UNSOLVED: no diagnosis")
    if diagnosis.status == "suspected" and ids and not include_suspected:
        raise NotACase(NOT_CONFIRMED, f"no interpretation is SOLVED: {', '.join(ids)} is only suspected")
    # One disease may be coded in several vocabularies.
    if len({term.label.strip().casefold() or term.id for term in diagnosis.terms}) > 1:
        raise NotACase(SEVERAL_DIAGNOSES, f"{len(ids)} diagnoses ({', '.join(ids)}); a case has one right answer")
    subject, features = packet.subject, packet.phenotypic_features
    encounter, birth = subject.time_at_last_encounter, _day(subject, "date_of_birth")
    onset = next((d.onset for d in packet.diseases if d.term.id in ids and d.HasField("onset")), TimeElement())
    wordings = {f.type.id: mid_sentence_case(f.type.label or f.type.id) for f in features}
    present = dict.fromkeys(f.type.id for f in features if not f.excluded)
    sex = Sex.Name(subject.sex).lower()
    patient = Patient(
        case_id=packet.id or source,
        disease=ids[0] if ids else "",
        present=tuple(present),
        absent=tuple(finding for finding in wordings if finding not in present),
        sex=sex if sex in ("female", "male") else None,
        age=_age(encounter, birth),
        onset=_onset(onset, birth),
    )
    if (kind := encounter.WhichOneof("element")) and patient.age is None:
        notices[f"times of the last encounter (as {kind}) give no age and are not told"] += 1
    if encounter.HasField("age_range"):
        notices["ages given as a range are told as its start"] += 1
    if (kind := onset.WhichOneof("element")) and patient.onset not in ONSET_PHRASES:
        notices[f"times of onset (as {kind}) are not told"] += 1
    if diagnosis.status == "suspected" and ids:
        notices["suspected diagnoses (no interpretation is SOLVED) count as diagnoses"] += 1
    codings = [clinical.Coding(term.id.partition(":")[0], term.id, term.label or None) for term in diagnosis.terms]
    group = family or _publication(packet) or subject.id or None
    day = _day(encounter, "timestamp") or _day(onset, "timestamp")
    return clinical.make_case(source, patient, wordings, codings, None, group, day)


def _publication(packet: Phenopacket) -> str | None:
    cited = [reference.id for reference in packet.meta_data.external_references]
    return next((i for kind in ("PMID:", "DOI:") for i in cited if i.startswith(kind)), None)


def _day(message: Message, field: str) -> str | None:
    """The date of the timestamp in a field of ``message``; None if it is not set."""
    return getattr(message, field).ToJsonString()[:10] if message.HasField(field) else None


def _age(time: TimeElement, birth: str | None) -> float | None:
    """Age in years at a TimeElement, or at its start; None for what has no age: weeks of gestation, onset terms.

    Raises:
        ValueError: an age is no duration of ISO 8601.
    """
    if birth and (day := _day(time, "timestamp") or _day(time.interval, "start")):
        return years_between(birth, day)
    duration = time.age.iso8601duration or time.age_range.start.iso8601duration
    if duration and years(duration) is None:
        raise ValueError(f"the age {excerpt(duration)} is not a duration of ISO 8601 (such as P5Y6M)")
    return years(duration)


def _onset(time: TimeElement, birth: str | None) -> str | None:
    """HPO's term for the TimeElement of an onset."""
    if time.ontology_class.id:
        return str(time.ontology_class.id)
    age = _age(time, birth)
    if age is None:
        return None
    return next(term for limit, term in ONSET_TERMS if age < limit) if age else CONGENITAL
