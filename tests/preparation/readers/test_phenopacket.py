"""Phenopackets in every form that their JSON may have; the diagnosis is the solved one, and no age is lost unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from osler.errors import InputError
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import (
    NO_DIAGNOSIS,
    NOT_CONFIRMED,
    SEVERAL_DIAGNOSES,
    UNREADABLE,
    Notice,
    Record,
    RejectedRow,
)

GLOW, HUM = {"id": "OMIM:1", "label": "Lantern disease"}, {"id": "MONDO:2", "label": "Humming disease"}
ADA: dict[str, Any] = {
    "id": "ada",
    "subject": {"id": "Ada", "sex": "FEMALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P5Y6M"}}},
    "phenotypicFeatures": [{"type": {"id": "HP:9000010", "label": "Glowing skin"}}],
    "diseases": [{"term": GLOW}],
    "metaData": {"externalReferences": [{"id": "PMID:901"}]},
}


def interpretation(status: str, disease: dict[str, Any]) -> dict[str, Any]:
    return {"id": "i", "progressStatus": status, "diagnosis": {"disease": disease}}


class Packets:
    """What became of phenopackets that stand one a line."""

    def __init__(self, folder: Path, *packets: dict[str, Any], include_suspected: bool = False) -> None:
        path = folder / "packets.jsonl"
        # Ben makes sure that one row has a label.
        lines = [*packets, {**ADA, "id": "ben"}]
        path.write_text("".join(json.dumps(packet) + "\n" for packet in lines))
        rows = list(read(str(path), None, include_suspected=include_suspected))
        records: list[Record] = [row for row in rows if not isinstance(row, RejectedRow | Notice)]
        self.records = [record for record in records if record["case_id"] != "ben"]
        self.rejected = [row for row in rows if isinstance(row, RejectedRow)]
        self.notices = {row.text: row.number for row in rows if isinstance(row, Notice)}


# ── what is the diagnosis ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_solved_disease_is_the_diagnosis_and_what_else_the_patient_has_is_not(tmp_path: Path) -> None:
    onset = {"age": {"iso8601duration": "P40Y"}}
    comorbid = [{"term": HUM, "onset": onset}]
    packets = Packets(tmp_path, {**ADA, "diseases": comorbid, "interpretations": [interpretation("SOLVED", GLOW)]})
    assert packets.records[0]["label"] == "Lantern disease (OMIM:1)"
    assert "adult life" not in (packets.records[0]["text"] or ""), "the onset of the other disease"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"interpretations": [interpretation("UNSOLVED", GLOW)]}, NO_DIAGNOSIS),
        ({"interpretations": [interpretation("UNSOLVED", GLOW)], "diseases": []}, NO_DIAGNOSIS),
        ({"interpretations": [interpretation("IN_PROGRESS", GLOW)]}, NOT_CONFIRMED),
        ({"interpretations": [interpretation("COMPLETED", GLOW)], "diseases": []}, NOT_CONFIRMED),
        ({"interpretations": [{"id": "i", "diagnosis": {"disease": GLOW}}], "diseases": []}, NOT_CONFIRMED),
        ({"diseases": [{"term": GLOW}, {"term": HUM}]}, SEVERAL_DIAGNOSES),
    ],
)
def test_a_packet_without_one_solved_disease_is_set_aside_with_its_kind(
    tmp_path: Path, changes: dict[str, Any], kind: str
) -> None:
    packets = Packets(tmp_path, {**ADA, **changes})
    assert not packets.records
    assert [row.kind for row in packets.rejected] == [kind]
    suspected = Packets(tmp_path, {**ADA, **changes}, include_suspected=True)
    assert len(suspected.records) == (kind == NOT_CONFIRMED)
    assert ("suspected diagnoses (no interpretation is SOLVED) count as diagnoses" in suspected.notices) == (
        kind == NOT_CONFIRMED
    )


def test_one_disease_in_two_vocabularies_is_one_diagnosis(tmp_path: Path) -> None:
    twice = [{"term": {"id": "ORPHA:7", "label": "lantern disease"}}, {"term": GLOW}]
    assert Packets(tmp_path, {**ADA, "diseases": twice}).records[0]["label"] == "Lantern disease (OMIM:1)"


def test_a_disease_is_one_label_whatever_name_it_came_with(tmp_path: Path) -> None:
    terms = [{"id": "OMIM:1", "label": name} for name in ("LANTERN DISEASE; LD", "")]
    packets = Packets(
        tmp_path, *({**ADA, "id": str(i), "diseases": [{"term": t}]} for i, t in enumerate([*terms, GLOW]))
    )
    assert {record["label"] for record in packets.records} == {"Lantern disease (OMIM:1)"}


# ── every form of it ─────────────────────────────────────────────────────────────────────────────────────────────────


def in_snake_case(value: Any) -> Any:
    names = {
        "timeAtLastEncounter": "time_at_last_encounter",
        "phenotypicFeatures": "phenotypic_features",
        "metaData": "meta_data",
        "externalReferences": "external_references",
    }
    if isinstance(value, list):
        return [in_snake_case(item) for item in value]
    return {names.get(k, k): in_snake_case(v) for k, v in value.items()} if isinstance(value, dict) else value


def test_field_names_in_snake_case_and_enums_as_numbers_are_the_same_packet(tmp_path: Path) -> None:
    (expected,) = Packets(tmp_path, ADA).records
    snake = in_snake_case({**ADA, "subject": {**ADA["subject"], "sex": 1}})
    assert Packets(tmp_path, snake).records == [expected]
    (tmp_path / "one.json").write_text(json.dumps(snake))
    assert next(read(str(tmp_path / "one.json"), None)) == {**expected, "source": "one.json:1"}


@pytest.mark.parametrize("sex", ["\ud83d", "female", [], 1e300])
def test_a_packet_that_is_not_as_the_schema_says_is_one_rejected_row(tmp_path: Path, sex: Any) -> None:
    packets = Packets(tmp_path, {**ADA, "subject": {"sex": sex}}, {**ADA, "id": "next"})
    assert [record["case_id"] for record in packets.records] == ["next"]
    assert packets.rejected[0].reason.startswith("not a phenopacket of schema 2")


def test_everyone_in_a_family_or_a_cohort_is_a_row_and_a_family_stays_together(tmp_path: Path) -> None:
    uncited = {**ADA, "metaData": {}}
    relative = {**uncited, "id": "cleo", "subject": {"id": "Cleo"}}
    family = {"id": "F1", "proband": uncited, "relatives": [relative, {**relative, "id": "dan", "diseases": "none"}]}
    packets = Packets(tmp_path, family, {"id": "C", "members": [{**ADA, "id": "eve"}, {**uncited, "id": "fay"}]})
    assert [(record["case_id"], record["group"], record["source"]) for record in packets.records] == [
        ("ada", "F1", "packets.jsonl:1:1"),
        ("cleo", "F1", "packets.jsonl:1:2"),
        ("eve", "PMID:901", "packets.jsonl:2:1"),
        ("fay", "Ada", "packets.jsonl:2:2"),
    ]
    assert [(row.source, row.kind) for row in packets.rejected] == [("packets.jsonl:1:3", UNREADABLE)], "alone"


def test_a_table_with_columns_of_those_names_is_a_table(tmp_path: Path) -> None:
    row = {"proband": "yes", "members": 4, "subject": "x", "metadata": "y"}
    (tmp_path / "table.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="is a table: name its text and label columns"):
        list(read(str(tmp_path / "table.jsonl"), None))


# ── ages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": {"sex": "FEMALE", "ageAtCollection": {"age": "P7Y"}}},
        {"diseases": [{"term": GLOW, "ageOfOnset": {"age": "P6M"}}]},
        {"phenotypicFeatures": [{"type": {"id": "HP:1"}, "negated": True}]},
        {"phenotypicFeatures": [{"type": {"id": "HP:1"}, "classOfOnset": {"id": "HP:0003577"}}]},
        {"metaData": {"phenopacketSchemaVersion": "1.0.0"}},
    ],
)
def test_schema_1_is_refused_by_its_fields_if_not_by_its_version(tmp_path: Path, changes: dict[str, Any]) -> None:
    (row,) = Packets(tmp_path, {**ADA, **changes}).rejected
    assert row.reason.startswith("a phenopacket of schema 1")


@pytest.mark.parametrize(
    ("time", "told", "notice"),
    [
        ({"age": {"iso8601duration": "P0.5Y"}}, "A 6-month-old girl", None),
        ({"ageRange": {"start": {"iso8601duration": "P3Y"}}}, "A 3-year-old girl", "ages given as a range"),
        ({"timestamp": "2024-01-01T00:00:00Z"}, "A female patient", "(as timestamp) give no age"),
        ({"gestationalAge": {"weeks": 32}}, "A female patient", "(as gestational_age) give no age"),
    ],
)
def test_an_age_is_told_or_counted(tmp_path: Path, time: dict[str, Any], told: str, notice: str | None) -> None:
    packets = Packets(tmp_path, {**ADA, "subject": {"sex": "FEMALE", "timeAtLastEncounter": time}})
    assert (packets.records[0]["text"] or "").startswith(told)
    assert [text for text in packets.notices if notice and notice in text] == [
        text for text in packets.notices if "labelled" not in text
    ]


def test_an_age_that_is_no_duration_sets_the_packet_aside(tmp_path: Path) -> None:
    subject = {"timeAtLastEncounter": {"age": {"iso8601duration": "5 years"}}}
    (row,) = Packets(tmp_path, {**ADA, "subject": subject}).rejected
    assert row.reason == "the age '5 years' is not a duration of ISO 8601 (such as P5Y6M)"


def test_an_onset_that_cannot_be_told_is_counted(tmp_path: Path) -> None:
    onset = {"interval": {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}}
    packets = Packets(tmp_path, {**ADA, "diseases": [{"term": GLOW, "onset": onset}]})
    assert packets.notices["times of onset (as interval) are not told"] == 1
