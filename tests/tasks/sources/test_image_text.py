"""A table of images becomes cases: by path or as bytes, split so that no image and no patient is on both sides."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawings import LABELS, png, write_squares, write_table, write_task

from osler.data import contamination
from osler.errors import InputError
from osler.recipe import read_task
from osler.tasks import Case, Task, load_task


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data" / "squares").mkdir(parents=True)
    return tmp_path


def by_split(task: Task) -> dict[str, list[Case]]:
    return {"train": task.source.training(None, 0).rows, **{name: task.source.split(name) for name in task.splits}}


def rows_of(task_folder: Path) -> list[Case]:
    return [case for cases in by_split(load_task(task_folder)).values() for case in cases]


def test_csv_jsonl_and_parquet_give_the_same_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    task = write_squares(tmp_path)
    table = tmp_path / "data" / "squares" / "table.csv"
    with table.open() as file:
        rows = list(csv.DictReader(file))
    wanted = {split: [(c.case_id, c.sha256) for c in cases] for split, cases in by_split(load_task(task)).items()}
    assert all(len(cases) > 2 for cases in wanted.values())
    (table.parent / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [(table.parent / row["file"]).read_bytes() for row in rows]
    held = [{**row, "file": {"bytes": data, "path": None}} for row, data in zip(rows, files, strict=True)]
    pq.write_table(pa.Table.from_pylist(held), table.parent / "structs.parquet")  # as datasets writes images
    bare = [{**row, "file": data} for row, data in zip(rows, files, strict=True)]
    pq.write_table(pa.Table.from_pylist(bare), table.parent / "bytes.parquet")
    for name in ("table.jsonl", "structs.parquet", "bytes.parquet"):
        found = by_split(load_task(write_task(tmp_path, table=f"squares/{name}")))
        assert {split: [(c.case_id, c.sha256) for c in cases] for split, cases in found.items()} == wanted, name


def test_rows_of_one_patient_and_of_one_image_stay_together(project: Path) -> None:
    rows = []
    for number in range(60):
        (project / "data" / "squares" / f"{number}.png").write_bytes(png(60 + number))
        patient = f"MRN{number // 3}"
        rows.append({"file": f"{number}.png", "note": "A.", "shade": LABELS[number % 2], "patient": patient})
        if number % 3 == 0:  # saved again beside another text, under a patient's second number
            again = png(60 + number, compress_level=0)
            (project / "data" / "squares" / f"{number}b.png").write_bytes(again)
            rows.append({"file": f"{number}b.png", "note": "B.", "shade": LABELS[number % 2], "patient": f"X{number}"})
    write_table(project, rows)
    columns = {"image": "file", "text": "note", "label": "shade", "group": "patient"}
    splits = by_split(load_task(write_task(project, columns=columns)))
    assert sum(map(len, splits.values())) == 80
    images = [{case.image.pixels_sha256 for case in cases if case.image} for cases in splits.values()]
    assert not images[0] & images[1] | images[0] & images[2] | images[1] & images[2]
    groups = [{case.group for case in cases} for cases in splits.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert all(
        len([c for c in cases if c.group == group]) == 4
        for cases in splits.values()
        for group in {c.group for c in cases}
    )
    told = json.dumps([[case.case_id, case.group] for cases in splits.values() for case in cases])
    assert "MRN" not in told, "a patient's number stays in the table"


def test_a_row_that_is_there_twice_counts_once(project: Path) -> None:
    for grey in range(20):
        (project / "data" / "squares" / f"{grey}.png").write_bytes(png(grey * 10))
    rows = [{"file": f"{n}.png", "note": "A.", "shade": LABELS[n % 2]} for n in range(20)]
    write_table(project, [*rows, rows[0], rows[3]])
    task = load_task(write_task(project))
    assert task.source.training(None, 0).dropped == {"image, text and label stand in an earlier row": 2}
    assert sum(map(len, by_split(task).values())) == 20


def test_another_image_is_another_case() -> None:
    from osler.tasks.images import case_image

    one, other = (Case("a", "text", "dark", image=case_image(None, png(grey), "row")) for grey in (10, 20))
    assert len({one.sha256, other.sha256, Case("a", "text", "dark").sha256}) == 3


def test_an_image_that_is_held_out_is_found_in_training_whatever_is_said_with_it(project: Path) -> None:
    from osler.tasks.images import case_image

    held_out = Case("h", "Fever for two days.", "dark", image=case_image(None, png(10), "row"))
    again = Case("t", "A square.", "dark", image=case_image(None, png(10, compress_level=0), "row"))
    alike = Case("u", "Fever for two days.", "dark", image=case_image(None, png(11), "row"))
    report = contamination.measure([again, alike], {"test": [held_out]})
    assert report.splits["test"].exact.worst == (("h", "t"),) or list(report.splits["test"].exact.worst[0]) == [
        "h",
        "t",
    ]
    assert contamination.measure([alike], {"test": [held_out]}).splits["test"].near.cases == 0


GOOD = {"file": "good.png", "note": "A square.", "shade": "dark"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{**GOOD, "file": "none.png"}], r"table\.csv:2: .*none\.png: no such image"),
        ([GOOD, {**GOOD, "file": "text.png"}], r"table\.csv:3: text\.png: is no image that can be read"),
        ([{**GOOD, "file": "../../secret.png"}], r'"\.\./\.\./secret\.png": expected a path inside the table.s folder'),
        ([{**GOOD, "file": "/etc/passwd"}], "expected a path inside the table's folder"),
        ([{**GOOD, "file": "https://example.org/a.png"}], "expected a path inside the table's folder"),
        ([{**GOOD, "file": ""}], "no image in the column 'file'"),
        ([{**GOOD, "note": " "}], "no text in the column 'note'"),
        ([{"file": "good.png", "shade": "dark"}], "no column 'note', which the task reads; there are file, shade"),
        ([{**GOOD, "shade": "grey"}], "the label 'grey' is not among those of the task"),
        ([GOOD, {**GOOD, "shade": "bright"}], 'the same image and text have the label "bright", in .*:2 "dark"'),
    ],
)
def test_a_wrong_row_is_named(project: Path, rows: list[dict[str, Any]], reason: str) -> None:
    (project / "data" / "squares" / "good.png").write_bytes(png(10))
    (project / "data" / "squares" / "text.png").write_text("not an image")
    write_table(project, rows)
    with pytest.raises(InputError, match=reason):
        load_task(write_task(project)).source.training(None, 0)


def test_a_table_that_is_not_here_or_another_one_is_refused(project: Path) -> None:
    task = write_task(project)
    assert load_task(task).source.split("test") == []
    with pytest.raises(InputError, match=r"squares/table\.csv: no such file below OSLER_DATA_DIR"):
        load_task(task).source.training(None, 0)
    (project / "data" / "squares" / "good.png").write_bytes(png(10))
    write_table(project, [GOOD])
    with pytest.raises(InputError, match="bring that table back"):
        load_task(write_task(project, sha256="0" * 64)).source.training(None, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"shares": {"train": 0.6, "validation": 0.2, "test": 0.3}},
            r"source\.shares: they add up to 1\.1; expected 1",
        ),
        ({"table": "squares/table.xlsx"}, r"expected a file in \.csv \.jsonl \.parquet"),
        ({"table": "../table.csv"}, "expected a path inside its folder"),
        ({"columns": {"text": "note", "label": "shade"}}, r"source\.columns\.image: missing"),
    ],
)
def test_a_wrong_section_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_task(write_task(tmp_path, **change))
