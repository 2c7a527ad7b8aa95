"""Outside the text nobody is named: what is set aside, what is grouped, and what is called by a keyed hash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from osler.preparation.pseudonyms import WITHHELD, Pseudonyms, pseudonym
from osler.preparation.readers.record import Record, RejectedRow

KEY = "a secret that nobody guesses"


@pytest.fixture(scope="module")
def pseudonyms() -> Pseudonyms:
    pytest.importorskip("presidio_analyzer", reason="the extra deid is not installed")
    return Pseudonyms(KEY)


def row(**changes: Any) -> Record:
    record = {"case_id": "7", "text": "x", "label": "gout", "group": "g", "date": None, "subgroups": {}}
    return Record(**{**record, "source": "whitfield.csv:2", "code": None, **changes})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("clinician", "Dr Alan Pemberton", "NAME"),
        ("clinician", "Pemberton, Alan", "NAME"),
        ("patient_name", "Margaret Whitfield", "NAME"),
        ("postcode", "SW1A 2AA", "POSTCODE"),
        ("phone", "020 7946 0958", "PHONE"),
        ("mrn", "00483921", "RECORD"),
        ("locker", "4093817", "RECORD"),
        ("admitted", "2019-04-03", "DATE"),
        ("site", "Leeds General Infirmary", "ORGANIZATION"),
        (None, "Iron deficiency anaemia (Mrs Margaret Whitfield)", "NAME"),
        (None, "gout, discussed with Dr Smith", "NAME"),
        (None, "gout in a 93-year-old man", "AGE"),
    ],
)
def test_a_label_or_subgroup_that_names_somebody_is_set_aside(
    pseudonyms: Pseudonyms, column: str | None, value: str, kind: str
) -> None:
    named = pseudonyms.check(row(label=value) if column is None else row(subgroups={column: value}))
    assert isinstance(named, RejectedRow)
    assert named.source == "whitfield.csv:2", "whoever runs it has to find the row"
    where = "label" if column is None else f"subgroup {column}"
    assert f"the {where} identifies somebody ({kind})" in named.reason
    kept = pseudonyms.mask_rejected(named)
    assert kept == RejectedRow("file-1:2", named.reason, "")
    assert pseudonyms.mask_rejected(RejectedRow("whitfield.csv:3", "'Whitfield' is no date", "")).reason == WITHHELD


@pytest.mark.parametrize(
    "subgroups",
    [
        {"sex": "female", "age": "57", "age_band": "40-64", "ethnicity": "Black or Black British - Caribbean"},
        {"ward": "ICU", "insurance": "Medicare", "language": "English", "year": "2019", "month": "2019-05"},
        {"specialty": "Neurology", "smoker": "true", "bmi": "31.2", "triage": "3", "site": "B", "season": "Summer"},
    ],
)
@pytest.mark.parametrize(
    "label", ["Parkinson", "Wilson disease", "Bell's palsy", "Lantern disease (OMIM:900001)", "E11.9", "Flu H1N1 2009"]
)
def test_diseases_and_groups_of_people_stay(pseudonyms: Pseudonyms, subgroups: dict[str, str], label: str) -> None:
    record = row(subgroups=subgroups, label=label)
    assert pseudonyms.check(record) is record
    kept = pseudonyms.mask(record)
    assert json.loads(kept["subgroups"]) == subgroups
    assert kept["label"] == label
    assert kept["identifiers"] == "[]"


def test_a_code_of_a_terminology_is_no_record_number_and_a_table_is_told_what_was_seen(pseudonyms: Pseudonyms) -> None:
    for label in ("Type 2 diabetes mellitus (44054006)", "44054006"):
        coded = row(label=label, code="44054006")
        assert pseudonyms.check(coded) is coded
        of_table = pseudonyms.check(row(label=label))
        assert isinstance(of_table, RejectedRow)
        assert "a number that looks like a record number: if it is the code of the disease, write" in of_table.reason
    named = pseudonyms.check(row(label="gout, Mrs Whitfield (44054006)", code="44054006"))
    assert isinstance(named, RejectedRow), "the words of the label are searched as ever"


def test_ages_over_89_are_grouped_and_audited(pseudonyms: Pseudonyms) -> None:
    record = row(subgroups={"age": "93"})
    assert pseudonyms.check(record) is record
    kept = pseudonyms.mask(record)
    assert json.loads(kept["subgroups"]) == {"age": "90+"}
    (audit,) = json.loads(kept["identifiers"])
    expected = {"case_id": kept["case_id"], "field": "subgroup age", "start": 0, "end": 2, "type": "AGE"}
    assert audit == {**expected, "rule": audit["rule"]}


def test_ids_and_groups_are_hashes_of_the_key_and_files_are_numbered(pseudonyms: Pseudonyms) -> None:
    first, other = (pseudonyms.mask(row(source=source)) for source in ("a:b.json:3:1", "whitfield.csv:9"))
    assert first["case_id"] == other["case_id"] == pseudonym("7", KEY) != pseudonym("7", KEY + "!")
    assert first["group"] == pseudonym("g", KEY)
    assert pseudonyms.mask(row(group=None))["group"] is None
    assert first["source"].partition(":")[2] == "3:1"
    assert first["source"].partition(":")[0] != other["source"].partition(":")[0]
    unnamed = row(case_id="whitfield.csv:2")
    assert pseudonyms.mask(unnamed)["case_id"] == pseudonym("x", KEY), "the same wherever it stands"


def test_without_a_key_all_stays_and_a_row_without_an_id_is_called_after_its_text() -> None:
    plain = Pseudonyms(None)
    record = row(label="Mrs Whitfield", subgroups={"age": "93"})
    assert plain.check(record) is record
    kept = plain.mask(record)
    as_read = {name: value for name, value in record.items() if name != "code"}
    assert kept == {**as_read, "subgroups": json.dumps({"age": "93"}), "identifiers": "[]"}
    assert plain.mask(row(case_id="whitfield.csv:2"))["case_id"] == pseudonym("x", "")
    assert plain.mask_rejected(RejectedRow("a.csv:1", "why", "x")) == RejectedRow("a.csv:1", "why", "x")
