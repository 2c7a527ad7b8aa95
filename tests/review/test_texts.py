"""Texts from elsewhere find their case."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.errors import InputError
from osler.review.texts import read_texts


def test_csv_and_json_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text('id,text,ward\ncase-1,"Tall, with a\ndislocated lens.",7\n')
    assert read_texts(tmp_path / "notes.csv") == {"case-1": "Tall, with a\ndislocated lens."}
    (tmp_path / "notes.jsonl").write_text('{"id": "a", "text": "Fever."}\n{"id": "b", "text": "Cough."}\n')
    assert read_texts(tmp_path / "notes.jsonl") == {"a": "Fever.", "b": "Cough."}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n', 'notes.jsonl:2: the id "a" is there twice'),
        ('{"text": "Lovelace has a fever"}\n', "notes.jsonl:1: needs the columns id and text"),
        ('{"id": "a", "text": ""}\n', "notes.jsonl:1: needs the columns id and text"),
        ("Lovelace\n", "notes.jsonl:1: "),
    ],
)
def test_a_file_without_them_is_refused_in_a_line_without_the_text(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "notes.jsonl").write_text(content)
    with pytest.raises(InputError) as told:
        read_texts(tmp_path / "notes.jsonl")
    assert str(told.value).startswith(said)
    assert "Lovelace" not in str(told.value)
