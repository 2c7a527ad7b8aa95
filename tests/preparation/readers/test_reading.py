"""Whatever a user exports becomes rows of one schema; what cannot be read is set aside by file and row. No network."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from project import ROOT
from pyarrow import parquet

from osler.errors import InputError
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import MAX_EXCERPT, MAX_FIELD_BYTES, Columns, Notice, Record, RejectedRow

SHARED = Path(os.environ.get("OSLER_DATA_DIR") or ROOT.parent / "shared" / "data")
NOTE = Columns(text="note", label="diagnosis")
FULL = Columns("note", "diagnosis", case_id="id", group="patient", date="day", subgroups=("sex", "ward"))
ROWS = [
    {"id": 1, "note": "Cough, fever", "diagnosis": "flu", "patient": "p1", "day": "2024-03-05", "sex": "f", "ward": 3},
    {"id": 2, "note": "A red\ntoe", "diagnosis": "gout", "patient": "", "day": "2024-03", "sex": "m", "ward": None},
]


def records(source: Path | str, columns: Columns | None, revision: str | None = None) -> list[Record]:
    rows = list(read(str(source), columns, revision))
    assert not [row for row in rows if isinstance(row, RejectedRow)]
    return [row for row in rows if not isinstance(row, RejectedRow | Notice)]


def both(source: Path | str, columns: Columns | None) -> tuple[list[Record], list[RejectedRow]]:
    rows = list(read(str(source), columns))
    found = [row for row in rows if not isinstance(row, RejectedRow | Notice)]
    return found, [row for row in rows if isinstance(row, RejectedRow)]


def refused(source: Path | str, columns: Columns | None, revision: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        list(read(str(source), columns, revision))
    assert "\n" not in str(error.value)
    return str(error.value)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def jsonl(path: Path, rows: list[Any]) -> Path:
    return write(path, "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def table(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


# ── every format, one schema ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz", "e.ndjson", "e.csv", "e.tsv", "e.parquet"])
def test_the_same_rows_are_the_same_records_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if ".csv" in name or ".tsv" in name:
        table(path, ROWS, "\t" if ".tsv" in name else ",")
    elif ".parquet" in name:
        as_parquet(path, ROWS)
    else:
        jsonl(path, ROWS)
    line = 2 if name in ("e.csv", "e.tsv") else 1  # of the first row
    assert records(path, FULL) == [
        {
            "case_id": "1",
            "text": "Cough, fever",
            "label": "flu",
            "group": "p1",
            "date": "2024-03-05",
            "subgroups": {"sex": "f", "ward": "3"},
            "source": f"{name}:{line}",
            "code": None,
        },
        {
            "case_id": "2",
            "text": "A red\ntoe",
            "label": "gout",
            "group": None,
            "date": "2024-03-01",
            "subgroups": {"sex": "m"},
            "source": f"{name}:{line + 1}",
            "code": None,
        },
    ]


def test_a_row_without_an_id_is_called_after_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'note,diagnosis\n"two\nlines",flu\n\nCough,flu\n')
    assert [r["case_id"] for r in records(path, NOTE)] == ["a.csv:2", "a.csv:5"], "the lines where they begin"
    path = jsonl(tmp_path / "a.jsonl", ["", {"note": "x", "diagnosis": "flu", "id": " "}])
    assert records(path, Columns("note", "diagnosis", "id"))[0]["case_id"] == "a.jsonl:2"


def test_blank_texts_and_labels_are_given_as_they_stand_for_cleaning_to_count(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", [{"note": None, "diagnosis": "flu"}, {"note": " ", "diagnosis": ""}, {"note": "x"}]
    )
    found = records(path, NOTE)
    assert [(r["text"], r["label"]) for r in found] == [(None, "flu"), (" ", ""), ("x", None)]


def test_integers_and_booleans_are_labels(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"note": "x", "diagnosis": 7}, {"note": "y", "diagnosis": True}])
    assert [r["label"] for r in records(path, NOTE)] == ["7", "true"]


def test_a_folder_of_tables_is_one_source_and_its_files_are_named(tmp_path: Path, caplog: Any) -> None:
    for name in ("b/two.csv", "a/one.csv"):
        write(tmp_path / "export" / name, f"note,diagnosis\n{name},flu\n")
    write(tmp_path / "export" / ".hidden.jsonl", "{}")
    write(tmp_path / "export" / "README.md", "About")
    found = records(tmp_path / "export", NOTE)
    assert [(r["case_id"], r["text"]) for r in found] == [("a/one.csv:2", "a/one.csv"), ("b/two.csv:2", "b/two.csv")]
    assert "skipped 1 files of other kinds, such as README.md" in caplog.text


def test_a_utf8_bom_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbfnote,diagnosis\r\nCough,flu\r\n")
    assert [(r["text"], r["label"]) for r in records(path, NOTE)] == [("Cough", "flu")]
    path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"note": "Cough", "diagnosis": "flu"}')
    assert records(path, NOTE)[0]["text"] == "Cough"


def test_nul_in_a_text_is_left_to_cleaning(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"note": "Cou\x00gh", "diagnosis": "flu"}])
    assert records(path, NOTE)[0]["text"] == "Cou\x00gh"
    path = write(tmp_path / "a.csv", "note,diagnosis\nCou\x00gh,flu\nToe,gout\n")
    found, rejected = both(path, NOTE)
    if sys.version_info >= (3, 11):
        assert (found[0]["text"], rejected) == ("Cou\x00gh", [])
    else:  # where csv cannot read it
        assert [r.source for r in rejected] == ["a.csv:2"]
    assert found[-1]["text"] == "Toe"


def peak(source: Path, columns: Columns) -> int:
    """Bytes that Python held at most while the rows went by."""
    tracemalloc.start()
    try:
        for row in read(str(source), columns):
            assert not isinstance(row, RejectedRow)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_two_hundred_thousand_rows_are_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    line = '{{"id": {n}, "note": "{n} ' + "cough and fever " * 12 + '", "diagnosis": "flu"}}\n'
    with path.open("w") as file:
        file.writelines(line.format(n=n) for n in range(200_000))
    assert path.stat().st_size > 40e6
    assert peak(path, NOTE) < 2e6
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:20_000]))
    assert peak(path, Columns("note", "diagnosis", case_id="id")) < 6e6, "a hash and a place for each id"


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_column_that_is_not_there_ends_in_the_list_of_those_there_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    make = {"a.csv": table, "a.jsonl": jsonl, "a.parquet": as_parquet}[name]
    make(path, [{"notes": "Cough", "diagnosis": "flu"}])
    assert "no column 'note'; it has notes, diagnosis; did you mean notes?" in refused(path, NOTE)
    assert "name its text and label columns (it has notes, diagnosis)" in refused(path, None)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_of_several_columns_the_wrong_one_is_named_whatever_separates_them(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "e.csv").write_text(delimiter.join(("id", "patient", "note", "diagnosis")) + "\n")
    message = refused(tmp_path / "e.csv", Columns("note", "diagnosis", group="pat"))
    assert "no column 'pat'; it has id, patient, note, diagnosis; did you mean patient?" in message


def test_a_column_that_only_some_json_rows_have_is_there(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"note": "x"}] * 99 + [{"note": "y", "diagnosis": "flu"}])
    assert records(path, NOTE)[99]["label"] == "flu"
    jsonl(path, [{"note": "x"}] * 150)
    assert "no column 'diagnosis'" in refused(path, NOTE)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "note,diagnosis,note\na,b,c\n")
    assert "2 columns are called 'note'" in refused(path, NOTE)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "sep=;\n", '"sep=;"\n', "\ufeff\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_a_table_is_read_whatever_separates_its_columns_and_lines(
    tmp_path: Path, name: str, start: str, newline: str
) -> None:
    content = start + 'id;note;diagnosis\n1;"Cough; fever, rash\nand more";flu\n2;Toe;gout\n'
    path = write(tmp_path / name, content.replace("\n", newline))
    found = records(path, Columns("note", "diagnosis", "id"))
    assert [(r["case_id"], (r["text"] or "").split(), r["label"]) for r in found] == [
        ("1", ["Cough;", "fever,", "rash", "and", "more"], "flu"),
        ("2", ["Toe"], "gout"),
    ]
    assert found[0]["source"] == f"{name}:{2 + start.count(chr(10))}", "the line in the file as it is"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_usual_delimiter_is_found_and_any_other_can_be_said(tmp_path: Path, delimiter: str) -> None:
    path = table(tmp_path / "a.csv", [{"note": "a", "diagnosis": "b"}], delimiter)
    assert [(r["text"], r["label"]) for r in records(path, NOTE)] == [("a", "b")]
    assert "(it has note, diagnosis)" in refused(path, None)
    assert records(write(path, "sep=^\nnote^diagnosis\na^b\n"), NOTE)[0]["label"] == "b"


def test_a_title_above_the_header_is_named_with_the_line_of_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Export of 1 February,\n,\nnote,diagnosis\nCough,flu\n")
    assert refused(path, NOTE).endswith("a.csv: its columns are named in line 3; delete the lines above that one")


def test_what_excel_writes_instead_of_a_value_is_not_taken_for_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,note,diagnosis\n="007",Cough_x000D_\nand fever,flu\n'.replace("_\n", "_ "))
    (record,) = records(path, Columns("note", "diagnosis", "id"))
    assert (record["case_id"], (record["text"] or "").split()) == ("007", ["Cough", "and", "fever"])


@pytest.mark.parametrize("number", ["1.23457E+15", "1,23457E+15", "1E+50", "1.234567890123e+15"])
@pytest.mark.parametrize("column", ["patient", "id", "diagnosis"])
def test_numbers_that_a_spreadsheet_rounded_are_not_one_patient_or_label(
    tmp_path: Path, column: str, number: str
) -> None:
    rows = [{**ROWS[0], column: number}, ROWS[1]]
    found, rejected = both(table(tmp_path / "a.csv", rows), Columns("note", "diagnosis", "id", "patient"))
    assert [r["case_id"] for r in found] == ["2"]
    assert f"the column '{column}' holds '{number}', a number that a spreadsheet rounded" in rejected[0].reason


def test_suspected_diagnoses_cannot_be_asked_of_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "note,diagnosis\nCough,flu\n")
    with pytest.raises(InputError, match="is a table, which does not say what is suspected"):
        next(read(str(path), NOTE, include_suspected=True))


def test_a_label_column_that_is_all_null_is_found_out_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "note,diagnosis\nCough,\nToe, \n")
    assert refused(path, NOTE).endswith("a.csv: the label column 'diagnosis' is empty in all 2 rows; name another one")


# ── rows that are set aside ──────────────────────────────────────────────────────────────────────────────────────────


def test_broken_json_in_the_middle_is_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {"note": "Cough", "diagnosis": "flu"}
    cut = '{"note": "' + "long " * 100
    path = jsonl(tmp_path / "a.jsonl", [cut, good, '{"note": "x", diagnosis}', "[1, 2]", "[" * 100_000, good])
    found, rejected = both(path, NOTE)
    assert [r["source"] for r in found] == ["a.jsonl:2", "a.jsonl:6"]
    assert [r.source for r in rejected] == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:4", "a.jsonl:5"]
    assert rejected[0].reason.startswith("not JSON: Unterminated string")
    assert "column 15" in rejected[1].reason
    assert "holds a list" in rejected[2].reason
    assert all(len(r.excerpt) <= MAX_EXCERPT for r in rejected)
    assert rejected[1].excerpt == repr('{"note": "x", diagnosis}')


def test_a_file_of_which_nothing_can_be_read_is_refused_with_its_first_reason(tmp_path: Path) -> None:
    assert "none of the first rows can be read; a.jsonl:1: not JSON" in refused(
        jsonl(tmp_path / "a.jsonl", ["x"] * 3), NOTE
    )


def test_bytes_that_are_not_utf8_are_found_by_their_offset(tmp_path: Path) -> None:
    content = b"note,diagnosis\nCough,flu\nCaf\xe9,flu\n\xc3\x84tzend,flu\n"
    found, rejected = both(write(tmp_path / "a.csv", content), NOTE)
    assert [r["text"] for r in found] == ["Cough", "Ätzend"]
    offset = content.index(b"\xe9")
    assert [(r.source, r.reason) for r in rejected] == [
        (
            "a.csv:3",
            f"not UTF-8 at byte {offset} of the file (invalid continuation byte); if Windows wrote it, convert it:"
            " iconv -f WINDOWS-1252 -t UTF-8",
        )
    ]
    lines = b'\xef\xbb\xbf{"note": "Cough", "diagnosis": "flu"}\n{"note": "Caf\xe9", "diagnosis": "flu"}\n'
    found, rejected = both(write(tmp_path / "a.jsonl", lines), NOTE)
    assert rejected[0].source == "a.jsonl:2"
    assert f"byte {lines.index(0xE9)} " in rejected[0].reason


def test_text_that_is_not_utf8_inside_parquet_is_set_aside_alone(tmp_path: Path) -> None:
    texts = pyarrow.array([b"Cough", b"Caf\xe9", b"Toe"]).view(pyarrow.string())
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"note": texts, "diagnosis": ["flu", "flu", "gout"]}), path)
    found, rejected = both(path, NOTE)
    assert [(r["source"], r["text"]) for r in found] == [("a.parquet:1", "Cough"), ("a.parquet:3", "Toe")]
    assert rejected[0].source == "a.parquet:2"
    assert "not UTF-8 at byte 3 of a field" in rejected[0].reason


def test_half_a_surrogate_pair_is_set_aside(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        r'{"note": "a \ud83d b", "diagnosis": "flu"}' + "\n" + r'{"note": "\ud83d\ude00", "diagnosis": "x"}',
    )
    found, rejected = both(path, NOTE)
    assert [r["text"] for r in found] == ["😀"]
    assert "surrogate" in rejected[0].reason


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_field_of_ten_megabytes_is_set_aside(tmp_path: Path, name: str) -> None:
    texts = ["Cough", "x" * 10_000_000, "y" * MAX_FIELD_BYTES, "é" * (MAX_FIELD_BYTES // 2 + 1), "Toe"]
    make = {"a.csv": table, "a.jsonl": jsonl, "a.parquet": as_parquet}[name]
    make(tmp_path / name, [{"note": text, "diagnosis": "flu"} for text in texts])
    limit = csv.field_size_limit()
    found, rejected = both(tmp_path / name, NOTE)
    assert [r["text"][:1] for r in found if r["text"]] == ["C", "y", "T"], "exactly a megabyte is read"
    assert len(rejected) == 2
    assert all(str(MAX_FIELD_BYTES) in r.reason.replace(",", "") and len(r.excerpt) <= MAX_EXCERPT for r in rejected)
    assert csv.field_size_limit() == limit, "the limit of everybody else in this process is as it was"


def test_a_line_without_end_is_passed_over_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osler.preparation.readers.text_lines.MAX_LINE_BYTES", 100)
    for name in ("a.csv", "a.jsonl"):
        make = {"a.csv": table, "a.jsonl": jsonl}[name]
        make(tmp_path / name, [{"note": text, "diagnosis": "flu"} for text in ("Cough", "x" * 333, "Toe")])
        found, rejected = both(tmp_path / name, NOTE)
        assert [r["text"] for r in found] == ["Cough", "Toe"]
        assert rejected[0].reason.startswith("a line of 3")


def test_a_row_with_too_few_or_too_many_fields_is_set_aside(tmp_path: Path) -> None:
    found, rejected = both(write(tmp_path / "a.csv", "note,diagnosis\nCough\nCough, fever,flu\nToe,gout\n"), NOTE)
    assert [r["text"] for r in found] == ["Toe"]
    assert [(r.source, r.reason) for r in rejected] == [
        ("a.csv:2", "1 fields; the header has 2"),
        ("a.csv:3", "3 fields; the header has 2"),
    ]


def test_stray_quotation_marks_are_set_aside_with_all_the_lines_they_took(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'note,diagnosis\n"Cough,flu\nToe,gout\n"Rash",measles\nFever,flu\n"open,flu\n')
    found, rejected = both(path, NOTE)
    assert [r["text"] for r in found] == ["Fever"]
    assert [r.source for r in rejected] == ["a.csv:2", "a.csv:6"]
    assert "(from there to line 4)" in rejected[0].reason
    assert "unexpected end of data" in rejected[1].reason


def test_a_repeated_id_names_the_first_row_that_had_it(tmp_path: Path) -> None:
    ids = Columns("note", "diagnosis", case_id="id")
    rows = [{"id": i, "note": "x", "diagnosis": "flu"} for i in ("a", "b", "a", 1, "1", 1.5)]
    found, rejected = both(jsonl(tmp_path / "a.jsonl", rows), ids)
    assert [r["case_id"] for r in found] == ["a", "b", "1"]
    assert rejected[0].reason.startswith("the id 'a' is already used in a.jsonl:1")
    assert rejected[1].reason.startswith("the id '1' is already used in a.jsonl:4"), "1 and '1' are the same id"
    assert "the column 'id' holds a float; expected text or an integer" in rejected[2].reason


@pytest.mark.parametrize(
    ("value", "type_name"), [(["Cough"], "list"), ({"a": "b"}, "dict"), (3, "int"), (True, "bool")]
)
@pytest.mark.parametrize("make", [jsonl, as_parquet])
def test_a_text_that_is_none_is_set_aside_with_its_type(tmp_path: Path, make: Any, value: Any, type_name: str) -> None:
    path = make(tmp_path / ("a.jsonl" if make is jsonl else "a.parquet"), [{"note": value, "diagnosis": "flu"}])
    (row,) = read(str(path), NOTE)
    assert isinstance(row, RejectedRow)
    assert row.reason == f"the column 'note' holds a {type_name}; expected text"


def test_a_date_that_is_ambiguous_is_set_aside(tmp_path: Path) -> None:
    dates = ["2024-02-29T23:59:00+01:00", "2024", "03/05/2024", "2023-02-29", None]
    path = jsonl(tmp_path / "a.jsonl", [{"note": "x", "diagnosis": "flu", "day": day} for day in dates])
    found, rejected = both(path, Columns("note", "diagnosis", date="day"))
    assert [r["date"] for r in found] == ["2024-02-29", "2024-01-01", None]
    assert [r.reason for r in rejected] == [
        "'03/05/2024' is not an ISO 8601 date (YYYY-MM-DD)",
        "'2023-02-29' is not an ISO 8601 date (YYYY-MM-DD)",
    ]


# ── files that are refused ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf16_is_refused_with_the_way_to_utf8(tmp_path: Path, name: str, encoding: str) -> None:
    path = write(tmp_path / name, "note,diagnosis\nCough,flu\n".encode(encoding))
    assert "convert it to UTF-8: iconv" in refused(path, NOTE)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.csv.gz"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    for content in ("", "\n\n", "note,diagnosis\n" if "csv" in name else " "):
        message = refused(write(tmp_path / name, content), NOTE)
        assert "is empty" in message or "has no rows" in message


def test_an_empty_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(
        pyarrow.table({"note": pyarrow.array([], "string"), "diagnosis": pyarrow.array([], "string")}), path
    )
    assert "has no rows" in refused(path, NOTE)
    assert "cannot be read as Parquet" in refused(write(path, b"PAR1"), NOTE)


def test_a_parquet_file_of_another_schema_in_a_folder_is_refused_before_a_row_is_read(tmp_path: Path) -> None:
    as_parquet(tmp_path / "p" / "1.parquet", [{"note": "x", "diagnosis": "flu"}])
    as_parquet(tmp_path / "p" / "2.parquet", [{"diagnosis": None, "note": "y", "more": 1}])
    assert len(records(tmp_path / "p", NOTE)) == 2, "order, other columns and nulls do not matter"
    other = as_parquet(tmp_path / "p" / "3.parquet", [{"note": "x", "diagnosis": 3}])
    rows = read(str(tmp_path / "p"), NOTE)
    with pytest.raises(InputError, match=r"3\.parquet: the column 'diagnosis' is integer, in .*1\.parquet text; write"):
        next(rows)
    as_parquet(other, [{"note": "x"}])
    assert "3.parquet: no column 'diagnosis'; it has note" in refused(tmp_path / "p", NOTE)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_file_that_is_changed_while_it_is_read_is_refused(tmp_path: Path, name: str) -> None:
    make = {"a.csv": table, "a.jsonl": jsonl, "a.parquet": as_parquet}[name]
    path = make(tmp_path / name, [{"note": "x", "diagnosis": "flu"}] * 3000)
    rows: Iterator[Any] = read(str(path), NOTE)
    next(rows)
    with path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(InputError, match="was changed while it was read"):
        list(rows)


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(os.urandom(50_000).hex().encode())[:-20_000])
    assert "cannot be read" in refused(path, NOTE)


def test_what_is_not_there_or_of_no_known_kind_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read(str(tmp_path / "a.csv"), NOTE)
    assert "expected .jsonl" in refused(write(tmp_path / "a.xlsx", "x"), NOTE)
    (tmp_path / "empty").mkdir()
    assert "it holds none" in refused(tmp_path / "empty", NOTE)
    for name in ("m/a.csv", "m/b.csv", "m/c.jsonl"):
        write(tmp_path / name, "x")
    assert "it holds 2 .csv and 1 .jsonl" in refused(tmp_path / "m", NOTE)
    array = write(tmp_path / "a.json", json.dumps([{"note": "x", "diagnosis": "flu"}]))
    assert "neither phenopackets nor a FHIR bundle" in refused(array, NOTE)


# ── the Hub ──────────────────────────────────────────────────────────────────────────────────────────────────────────

COMMIT = "0123456789" * 4


def test_the_numbers_of_classes_are_read_as_their_names_and_hidden_ones_as_missing(tmp_path: Path) -> None:
    kinds = datasets.Features(
        {"note": datasets.Value("string"), "diagnosis": datasets.ClassLabel(names=["asthma", "gout"])}
    )
    made = datasets.Dataset.from_dict({"note": ["a", "b", "c"], "diagnosis": [1, 0, -1]}, features=kinds)
    made.to_parquet(tmp_path / "a.parquet")
    assert [row["label"] for row in records(tmp_path / "a.parquet", NOTE)] == ["gout", "asthma", None]
    table = parquet.read_table(tmp_path / "a.parquet")
    table = table.set_column(1, "diagnosis", [[7, 1, 0]]).replace_schema_metadata(table.schema.metadata)
    parquet.write_table(table, tmp_path / "b.parquet")
    found, (bad,) = both(tmp_path / "b.parquet", NOTE)
    assert [row["label"] for row in found] == ["gout", "asthma"]
    assert bad.reason == "the column 'diagnosis' holds 7; it has 2 classes"


def test_integers_that_pandas_made_floats_are_read_as_integers(tmp_path: Path) -> None:
    rows = [{"note": "a", "diagnosis": label} for label in (1.0, None, 2.5)]
    found, (bad,) = both(as_parquet(tmp_path / "a.parquet", rows), NOTE)
    assert [row["label"] for row in found] == ["1", None]
    assert "holds a float; expected text or an integer" in bad.reason


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "0123abc"])
def test_a_dataset_on_the_hub_without_a_commit_is_refused_before_anything_is_asked(revision: str | None) -> None:
    with pytest.raises(InputError, match="the 40 hex digits of a commit"):
        read("made-up/dataset", NOTE, revision)


def test_all_splits_of_a_dataset_on_the_hub_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, revision: str, streaming: bool) -> datasets.IterableDatasetDict:
        assert (name, revision, streaming) == ("made-up/dataset", COMMIT, True)
        rows = {split: [{"note": f"{split} {i}", "diagnosis": i} for i in range(2)] for split in ("train", "test")}
        split = {name: datasets.Dataset.from_list(rows[name]).to_iterable_dataset() for name in rows}
        kind = datasets.ClassLabel(names=["flu", "gout"])
        split["test"] = datasets.Dataset.from_list(rows["test"]).cast_column("diagnosis", kind).to_iterable_dataset()
        return datasets.IterableDatasetDict(split)

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = records("made-up/dataset", NOTE, COMMIT)
    assert [(r["case_id"], r["text"], r["label"]) for r in found] == [
        ("made-up/dataset/train:1", "train 0", "0"),
        ("made-up/dataset/train:2", "train 1", "1"),
        ("made-up/dataset/test:1", "test 0", "flu"),
        ("made-up/dataset/test:2", "test 1", "gout"),
    ]


def test_a_hub_that_cannot_be_reached_ends_in_one_line() -> None:
    assert f"made-up/dataset@{COMMIT}: cannot be streamed from the Hub" in refused("made-up/dataset", NOTE, COMMIT)


# ── phenopackets ─────────────────────────────────────────────────────────────────────────────────────────────────────

ADA: dict[str, Any] = {
    "id": "PMID_901_Ada",
    "subject": {"id": "Ada", "sex": "FEMALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P5Y6M"}}},
    "phenotypicFeatures": [
        {"type": {"id": "HP:9000010", "label": "Glowing skin"}},
        {"type": {"id": "HP:9000011", "label": "Quillby sign"}},
        {"type": {"id": "HP:9000020", "label": "Humming"}, "excluded": True},
    ],
    "diseases": [
        {"term": {"id": "OMIM:900002", "label": "Quillby disease"}, "excluded": True},
        {
            "term": {"id": "OMIM:900001", "label": "Lantern disease"},
            "onset": {"ontologyClass": {"id": "HP:0003577", "label": "Congenital onset"}},
        },
    ],
    "metaData": {"phenopacketSchemaVersion": "2.0", "externalReferences": [{"id": "PMID:901"}]},
}


def test_a_phenopacket_is_told_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "ada.json", json.dumps(ADA))
    (record,) = records(path, None)
    assert record == {**record, "case_id": "PMID_901_Ada", "group": "PMID:901", "date": None, "source": "ada.json:1"}
    assert record["label"] == "Lantern disease (OMIM:900001)"
    assert record["subgroups"] == {"sex": "female", "age_band": "5-17"}
    text = record["text"] or ""
    assert text.startswith("A 5-year-old girl")
    present, absent = text.split("glowing skin and Quillby sign")
    assert "at birth" in absent, "the onset"
    assert "humming" in absent
    assert "umming" not in present
    assert "Lantern" not in text
    assert records(path, None) == [record], "the same every time"


def test_phenopackets_of_a_folder_a_list_and_a_jsonl_file_are_the_same_cases(tmp_path: Path) -> None:
    packets = [{**ADA, "id": name} for name in ("one", "two")]
    for packet in packets:
        write(tmp_path / "store" / "LAMP1X" / f"{packet['id']}.json", json.dumps(packet))
    listed = write(tmp_path / "list.json", json.dumps(packets))
    lines = jsonl(tmp_path / "packets.jsonl", packets)
    found = [records(source, None) for source in (tmp_path / "store", listed, lines)]
    assert [[r["source"] for r in rows] for rows in found] == [
        ["LAMP1X/one.json:1", "LAMP1X/two.json:1"],
        ["list.json:1", "list.json:2"],
        ["packets.jsonl:1", "packets.jsonl:2"],
    ]
    assert len({json.dumps([{**r, "source": ""} for r in rows]) for rows in found}) == 1


def test_the_user_may_choose_among_the_columns_of_a_phenopacket(tmp_path: Path) -> None:
    path = write(tmp_path / "ada.json", json.dumps(ADA))
    (record,) = records(path, Columns("text", "diagnosis_id", subgroups=("sex",)))
    assert (record["label"], record["case_id"], record["group"]) == ("OMIM:900001", "ada.json:1", None)
    message = refused(path, Columns("text", "diagnosi"))
    assert "needs no columns: leave --text-column, --label-column and the others out" in message
    assert "did you mean diagnosis?" in message


def interpreted(status: str, disease_id: str, name: str) -> dict[str, Any]:
    return {"id": "i", "progressStatus": status, "diagnosis": {"disease": {"id": disease_id, "label": name}}}


def packet(tmp_path: Path, **changes: Any) -> Record | RejectedRow:
    """What becomes of Ada with these changes, beside one without."""
    path = jsonl(tmp_path / "p.jsonl", [{**ADA, **changes}, {**ADA, "id": "other"}])
    return next(read(str(path), None))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"diseases": []}, {"label": None}),
        (
            {"diseases": [], "interpretations": [interpreted("SOLVED", "OMIM:1", "Glow")]},
            {"label": "Glow (OMIM:1)"},
        ),
        ({"metaData": {}}, {"group": "Ada"}),
        ({"metaData": {"externalReferences": [{"id": "DOI:1"}, {"id": "PMID:2"}]}}, {"group": "PMID:2"}),
        ({"phenotypicFeatures": [{"type": {"id": "HP:1"}, "excluded": True}]}, {"text": None}),
        ({"subject": {"sex": "UNKNOWN_SEX"}}, {"subgroups": {}}),
        (
            {
                "subject": {
                    "dateOfBirth": "2014-03-05T00:00:00Z",
                    "timeAtLastEncounter": {"timestamp": "2024-03-05T10:00:00Z"},
                }
            },
            {"date": "2024-03-05", "subgroups": {"age_band": "5-17"}},
        ),
    ],
)
def test_what_a_phenopacket_does_not_say_is_none(tmp_path: Path, changes: Any, expected: dict[str, Any]) -> None:
    record = packet(tmp_path, **changes)
    assert not isinstance(record, RejectedRow)
    assert record == {**record, **expected}


@pytest.mark.parametrize(
    ("onset", "words"),
    [("P0D", "at birth"), ("P3D", "in the first weeks of life"), ("P1Y", "in childhood"), ("P40Y", "in adult life")],
)
def test_an_onset_given_as_an_age_is_told(tmp_path: Path, onset: str, words: str) -> None:
    disease = {"term": {"id": "OMIM:1", "label": "Glow"}, "onset": {"age": {"iso8601duration": onset}}}
    record = packet(tmp_path, diseases=[disease])
    assert not isinstance(record, RejectedRow)
    assert f" {words}." in (record["text"] or "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"diseases": [{"term": {"id": "OMIM:1", "label": "A"}}, {"term": {"id": "OMIM:2", "label": "B"}}]},
            "2 diagnoses (OMIM:1, OMIM:2); a case has one right answer",
        ),
        ({"phenotypicFeatures": [{"type": {"id": "HP:1"}, "negated": True}]}, "a phenopacket of schema 1"),
        ({"phenotypicFeatures": [{"type": "Glowing"}]}, "not a phenopacket of schema 2"),
        ({"subject": "Ada"}, "not a phenopacket of schema 2"),
        ({"id": "other"}, None),
    ],
)
def test_a_phenopacket_that_cannot_be_read_is_set_aside(tmp_path: Path, changes: Any, reason: str | None) -> None:
    row = packet(tmp_path, **changes)
    if reason is None:
        _, rejected = both(tmp_path / "p.jsonl", None)
        assert rejected[0].reason.startswith("the id 'other' is already used in p.jsonl:1")
    else:
        assert isinstance(row, RejectedRow)
        assert row.reason.startswith(reason)
        assert row.excerpt == "'PMID_901_Ada'"


def test_one_broken_phenopacket_of_many_is_set_aside_and_a_single_one_refused(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.json", json.dumps(ADA)[:-1])
    write(tmp_path / "s" / "b.json", json.dumps(ADA))
    found, rejected = both(tmp_path / "s", None)
    assert ([r["source"] for r in found], [r.source for r in rejected]) == (["b.json:1"], ["a.json:1"])
    assert "a.json: not JSON" in refused(tmp_path / "s" / "a.json", None)


def test_published_patients_are_all_told(tmp_path: Path) -> None:
    store = SHARED / "phenopacket_store" / "cases.jsonl.gz"
    if not store.is_file():
        pytest.skip("no copy of Phenopacket Store here")
    with gzip.open(store, "rt") as lines:
        cases = [json.loads(line) for line, _ in zip(lines, range(300), strict=False)]
    packets = [
        {
            "id": f"{case['cohort']}/{case['case_id']}",
            "subject": {"sex": case["sex"].upper(), "timeAtLastEncounter": {"age": {"iso8601duration": case["age"]}}},
            "phenotypicFeatures": [
                {"type": {"id": i, "label": label}, "excluded": kind == "excluded"}
                for kind in ("observed", "excluded")
                for i, label in case[kind]
            ],
            "diseases": [{"term": {"id": case["disease_id"], "label": case["disease"]}}],
            "metaData": {"externalReferences": [{"id": i} for i in case["references"]]},
        }
        for case in cases
    ]
    found = records(jsonl(tmp_path / "store.jsonl", packets), None)
    assert len(found) == 300
    for case, record in zip(cases, found, strict=True):
        assert record["group"] == case["references"][0]
        told = (record["text"] or "").lower()
        assert all(label.lower() in told for _, label in case["observed"])


# ── FHIR ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def coded(display: str | None, code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org", "code": code} | ({"display": display} if display else {})]}


def observation(display: str, code: str, day: str | None = "2020-05-01", **value: Any) -> dict[str, Any]:
    when = {"effectiveDateTime": day} if day else {}
    subject = {"reference": "urn:uuid:pat"}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(display, code),
        "subject": subject,
        **when,
        **value,
    }


PATIENT = {"resourceType": "Patient", "id": "p7", "gender": "female", "birthDate": "1961-05-02"}
CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "id": "c1",
    "subject": {"reference": "urn:uuid:pat"},
    "code": coded("Iron deficiency anemia", "D50"),
    "onsetDateTime": "2020-03",
    "recordedDate": "2020-05-02T08:00:00Z",
}
OBSERVATIONS = [
    observation("Hemoglobin", "718-7", "2019-01-01", valueQuantity={"value": 13.5, "unit": "g/dL"}),
    observation("Hemoglobin", "718-7", valueQuantity={"value": 9.1, "unit": "g/dL"}, interpretation=[coded(None, "L")]),
    observation("Hemoglobin", "718-7", "2021-01-01", valueQuantity={"value": 14.2, "unit": "g/dL"}),
    observation("Fecal occult blood", "2335-8", valueCodeableConcept=coded("Negative", "260385009")),
    observation("Fever", "386661006", None, valueBoolean=False),
    observation("Fatigue", "84229001", valueBoolean=True),
    observation("Smoker", "72166-2", valueString="never"),
    observation(
        "Blood pressure",
        "85354-9",
        component=[
            {"code": coded("Systolic pressure", "8480-6"), "valueQuantity": {"value": 118, "unit": "mmHg"}},
            {"code": coded("Diastolic pressure", "8462-4"), "valueQuantity": {"value": 76, "unit": "mmHg"}},
        ],
    ),
    observation("Ferritin", "2276-4", dataAbsentReason=coded("Not performed", "not-performed")),
    {**observation("Platelets", "777-3", valueQuantity={"value": 1}), "status": "entered-in-error"},
]


def bundle(*resources: dict[str, Any]) -> str:
    entries = [
        {"fullUrl": "urn:uuid:pat" if r["resourceType"] == "Patient" else f"urn:uuid:{i}", "resource": r}
        for i, r in enumerate(resources)
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})


def test_a_condition_of_a_bundle_is_told_from_the_observations_of_its_patient(tmp_path: Path) -> None:
    path = write(tmp_path / "b.json", bundle(CONDITION, *OBSERVATIONS, PATIENT))
    (record,) = records(path, None)
    text = record.pop("text") or ""  # type: ignore[misc]
    assert record == {
        "case_id": "c1",
        "label": "Iron deficiency anemia (D50)",
        "group": "Patient/p7",
        "date": "2020-05-02",
        "subgroups": {"sex": "female", "age_band": "40-64"},
        "source": "b.json:1:1",
        "code": "D50",
    }
    assert text.startswith("A 59-year-old woman"), "on the very day"
    present = ["hemoglobin 9.1 g/dL (low)", "fatigue", "smoker never"]
    present += ["systolic pressure 118 mmHg", "diastolic pressure 76 mmHg"]
    for finding in present:
        assert finding in text
    absent = text[max(text.index(finding) for finding in present) :]
    assert "fecal occult blood" in absent
    assert "fever" in absent
    for unknown in ("13.5", "14.2", "erritin", "latelets", "blood pressure", "nemia"):
        assert unknown not in text


def test_a_bulk_export_is_joined_over_its_files_whatever_their_order(tmp_path: Path) -> None:
    def of(resource: dict[str, Any], number: int) -> dict[str, Any]:
        return {
            **resource,
            "id": f"{resource['resourceType'][0]}{number}",
            "subject": {"reference": f"Patient/{number}"},
        }

    finding = observation("Fatigue", "84229001", valueBoolean=True)
    jsonl(tmp_path / "export" / "Condition.ndjson", [of(CONDITION, 1), of(CONDITION, 2), of(CONDITION, 3)])
    jsonl(tmp_path / "export" / "Observation.ndjson", [of(finding, 1), of({**finding, "code": coded("Pica", "14")}, 2)])
    jsonl(tmp_path / "export" / "Patient.ndjson", [{**PATIENT, "id": "1"}, {**PATIENT, "id": "2", "gender": "male"}])
    jsonl(tmp_path / "export" / "Encounter.ndjson", [{"resourceType": "Encounter", "id": "e1"}])
    found, rejected = both(tmp_path / "export", None)
    assert [(r["case_id"], r["group"], r["source"]) for r in found] == [
        ("C1", "Patient/1", "Condition.ndjson:1"),
        ("C2", "Patient/2", "Condition.ndjson:2"),
    ]
    assert "woman" in (found[0]["text"] or "")
    assert "fatigue" in (found[0]["text"] or "")
    assert "pica" in (found[1]["text"] or "")
    assert [(r.source, r.reason) for r in rejected] == [
        ("Condition.ndjson:3", "the Condition's patient 'Patient/3' is missing")
    ]


def test_two_bundles_do_not_share_patients_that_are_called_the_same(tmp_path: Path) -> None:
    fatigue = observation("Fatigue", "84229001", valueBoolean=True)
    write(tmp_path / "f" / "1.json", bundle(PATIENT, CONDITION, fatigue))
    write(tmp_path / "f" / "2.json", bundle({**PATIENT, "gender": "male"}, {**CONDITION, "id": "c2"}))
    first, second = records(tmp_path / "f", None)
    assert "woman" in (first["text"] or "")
    assert (second["text"], second["subgroups"]["sex"]) == (None, "male")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code": {}}, "a Condition without a code: no diagnosis"),
        ({"subject": {"reference": "Patient/p8"}}, "the Condition's patient 'Patient/p8' is missing"),
        ({"subject": {}}, "a Condition without a patient"),
        ({"verificationStatus": coded("Refuted", "refuted")}, "the Condition is refuted: no diagnosis"),
        ({"code": "D50"}, "not a Condition of FHIR R4"),
        ({"code": coded(["x"], "D50")}, "not a Condition of FHIR R4"),  # type: ignore[arg-type]
        ({"recordedDate": "2.5.2020"}, "'2.5.2020' is not an ISO 8601 date"),
    ],
)
def test_a_condition_that_is_no_case_is_set_aside(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "b.json", bundle(PATIENT, {**CONDITION, "id": "c2", **changes}, CONDITION))
    found, rejected = both(path, None)
    assert [r["case_id"] for r in found] == ["c1"]
    assert [r.source for r in rejected] == ["b.json:1:2"]
    assert rejected[0].reason.startswith(reason)


def test_a_bundle_without_a_condition_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f" / "1.json", bundle(PATIENT, *OBSERVATIONS))
    assert "1.json: FHIR without a Condition" in refused(path, None)
    write(tmp_path / "f" / "2.json", bundle(PATIENT, CONDITION))
    found, rejected = both(tmp_path / "f", None)
    assert [r["source"] for r in found] == ["2.json:1:2"]
    assert [(r.source, r.reason) for r in rejected] == [("1.json:1", "a Bundle without a Condition: no diagnosis")]


def test_a_patient_without_a_date_of_birth_has_no_age(tmp_path: Path) -> None:
    path = write(tmp_path / "b.json", bundle({"resourceType": "Patient", "id": "p7"}, CONDITION, OBSERVATIONS[5]))
    (record,) = records(path, None)
    assert record["subgroups"] == {}
    assert (record["text"] or "").startswith("A patient")


def test_reading_imports_neither_torch_nor_datasets() -> None:
    modules = ", ".join(f"osler.preparation.readers.{name}" for name in ("reading", "files", "fhir", "phenopacket"))
    code = f"import sys, {modules}; print({{'torch', 'datasets'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
