"""The command line: one text, or all texts of a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from project import script
from served import TEXT

from osler.errors import InputError
from osler.serving.files import answer_file
from osler.serving.model import ServedModel, load_models

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(evaluated_run: Path) -> ServedModel:
    return load_models([str(evaluated_run)])["tiny-made-up"]


def test_a_text_is_answered_in_the_terminal(tmp_path: Path, evaluated_run: Path) -> None:
    done = script(tmp_path, "diagnose", evaluated_run, "--text", TEXT, "--top", "2")
    assert done.returncode == 0, done.stderr
    unsure, first, second, last = done.stdout.splitlines()
    assert unsure.startswith("Too unsure to be told as an answer: no probability is known from which on")
    assert first.startswith(" 1. ")
    assert second.startswith(" 2. ")
    assert last == "tiny-made-up@1.0.0. This is no clinical evidence."


def test_a_table_is_answered_row_by_row(tmp_path: Path, model: ServedModel) -> None:
    source = tmp_path / "notes.csv"
    source.write_text(f'id,note\n1,"{TEXT}"\n2," "\n3,Thirst and weight loss.\n')
    for name in ("answers.csv", "answers.jsonl"):
        said = answer_file(model, source, "note", tmp_path / name, 2, "id")
        assert said.endswith("2 answered, 2 of them too unsure; 1 not asked")
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == ["notes.csv:2", "notes.csv:3", "notes.csv:4"]
    assert [line["id"] for line in lines] == ["1", "2", "3"]
    assert [line["error"] for line in lines] == [None, "the text is empty; describe the patient", None]
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["label_1"] for row in rows] == [
        line["diagnoses"][0]["label"] if line["error"] is None else "" for line in lines
    ]
    (alone,) = model.answer([model.encode(TEXT)], 2)
    assert float(rows[0]["probability_1"]) == pytest.approx(alone.diagnoses[0].probability, abs=1e-6)


@pytest.mark.parametrize(
    ("output", "column", "said"),
    [
        ("answers.txt", "note", r"expected a name that ends in \.jsonl or \.csv"),
        ("notes.csv", "note", "is there already"),
        ("answers.csv", "nte", "did you mean note"),
    ],
)
def test_what_is_wrong_is_told_before_a_model_is_asked(
    tmp_path: Path, model: ServedModel, output: str, column: str, said: str
) -> None:
    (tmp_path / "notes.csv").write_text("id,note\n1,cough\n")
    with pytest.raises(InputError, match=said):
        answer_file(model, tmp_path / "notes.csv", column, tmp_path / output, 2)
    with pytest.raises(InputError, match="no column 'patient'; it has id, note"):
        answer_file(model, tmp_path / "notes.csv", "note", tmp_path / "answers.csv", 2, "patient")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--text", TEXT, "--hpo", "HP:0001251"), "name one of FILE, --text and --hpo"),
        (("--text", TEXT, "--output", "answers.csv"), "--output for a FILE"),
        (("--text", TEXT, "--id-column", "id"), "--id-column goes with --output"),
        (("none.csv", "--output", "answers.csv"), "none.csv is none"),
        (("--hpo", "HP:0001251"), "--hpo: not with a run that has labels of its own"),
        (("a.csv", "b.csv", "--text", TEXT), "one RUN and one FILE at most"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, evaluated_run: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = script(tmp_path, "diagnose", evaluated_run, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
