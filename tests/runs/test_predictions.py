"""Prediction files are the contract between stages: written whole, and a bad line is named, not guessed around."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from osler.errors import InputError
from osler.runs.predictions import Prediction, read_parts, read_predictions, write_predictions
from osler.storage.files import write_atomically

LINE: dict[str, Any] = {
    "case_id": "c1",
    "task": "rare_disease",
    "split": "test",
    "system": "svm",
    "label": "OMIM:1",
    "ranked": ["OMIM:1", "OMIM:2"],
    "probabilities": [0.7, 0.3],
    "text": None,
    "parsed": True,
    "subgroups": {"sex": "female"},
    "group": "PMID:1",
    "prompt_sha256": None,
    "case_sha256": None,
}
ROW = Prediction(
    case_id="c1",
    task="rare_disease",
    split="test",
    system="svm",
    label="OMIM:1",
    ranked=("OMIM:1", "OMIM:2"),
    probabilities=(0.7, 0.3),
    subgroups={"sex": "female"},
    group="PMID:1",
)
UNPARSED = replace(
    ROW, case_id="c2", ranked=(), probabilities=None, text="«Je ne sais pas»\u2028\n", parsed=False, subgroups={}
)


def test_a_file_holds_one_line_a_case_with_the_fields_of_the_contract(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions" / "svm.jsonl", [ROW, UNPARSED])
    lines = (tmp_path / "predictions" / "svm.jsonl").read_bytes().split(b"\n")
    assert len(lines) == 3
    assert lines[2] == b""
    assert json.loads(lines[0]) == LINE
    assert read_predictions(tmp_path / "predictions" / "svm.jsonl") == [ROW, UNPARSED]


def test_what_could_not_be_parsed_is_wrong() -> None:
    assert (ROW.answer, ROW.correct) == ("OMIM:1", True)
    assert (UNPARSED.answer, UNPARSED.correct) == ("", False)
    # A system may still rank something it fell back on: it does not count.
    assert not replace(ROW, parsed=False).correct


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"case_id": ""}, 'case_id is ""'),
        ({"label": 7}, "label is 7"),
        ({"ranked": []}, "ranked is empty but parsed is true"),
        ({"ranked": "OMIM:1"}, 'ranked is "OMIM:1"'),
        ({"ranked": ["OMIM:1", "OMIM:1"]}, 'ranked names "OMIM:1" twice'),
        ({"probabilities": [0.7]}, "ranked has 2 labels and probabilities 1"),
        ({"probabilities": [0.7, float("nan")]}, 'the probability of "OMIM:2" is NaN'),
        ({"probabilities": [1.2, 0.0]}, 'the probability of "OMIM:1" is 1.2'),
        ({"probabilities": [0.7, -0.1]}, 'the probability of "OMIM:2" is -0.1'),
        ({"probabilities": [True, 0.0]}, 'the probability of "OMIM:1" is true'),
        ({"probabilities": [0.3, 0.7]}, "probabilities rise along ranked"),
        ({"probabilities": [0.9, 0.9]}, "probabilities sum to 1.8"),
        # Likelihoods of whole labels, or a ranking cut short: what is left for the labels that are not there?
        ({"probabilities": [0.2, 0.1]}, "probabilities sum to 0.3000; they must sum to one over the ranked labels"),
        ({"probabilities": 0.7}, "probabilities is 0.7"),
        ({"parsed": "yes"}, 'parsed is "yes"'),
        ({"text": 3}, "text is 3"),
        ({"subgroups": {"age": 3}}, 'subgroups is {"age": 3}'),
        ({"group": ""}, 'group is ""'),
        ({"prompt_sha256": 3}, "prompt_sha256 is 3"),
        ({"probabilites": None}, 'the field "probabilites" is unknown; did you mean probabilities?'),
        ({"text": "\ud800"}, "holds half a surrogate pair"),
    ],
)
def test_a_bad_value_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    message = refusal(tmp_path, json.dumps({**LINE, "case_id": "c0"}) + "\n" + json.dumps({**LINE, **change}) + "\n")
    assert message.startswith(f"{tmp_path / 'svm.jsonl'}:2: ")
    assert complaint in message


@pytest.mark.parametrize("name", ["case_id", "task", "split", "system", "label", "ranked"])
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    line = {key: value for key, value in LINE.items() if key != name}
    assert f"svm.jsonl:1: the field '{name}' is missing" in refusal(tmp_path, json.dumps(line))


def test_a_file_of_other_software_may_leave_out_what_has_a_default(tmp_path: Path) -> None:
    needed = {name: LINE[name] for name in ("case_id", "task", "split", "system", "label", "ranked")}
    (tmp_path / "other.jsonl").write_text(json.dumps(needed) + "\n")
    assert read_predictions(tmp_path / "other.jsonl") == [Prediction(**{**needed, "ranked": tuple(needed["ranked"])})]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"task": "other"}, 'svm.jsonl:2: task is "other", on line 1 "rare_disease"; one file, one task'),
        ({"prompt_sha256": "ab"}, 'svm.jsonl:2: prompt_sha256 of system "svm" is "ab", on line 1 null'),
        ({"probabilities": None}, 'svm.jsonl:2: system "svm" gives no probabilities here and some on line 1'),
    ],
)
def test_a_file_of_unlike_predictions_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(tmp_path, json.dumps(LINE) + "\n" + json.dumps({**LINE, "case_id": "c2", **change}))


def test_two_systems_may_have_two_prompts_and_an_unparsed_answer_no_probabilities(tmp_path: Path) -> None:
    rows = [ROW, UNPARSED, replace(ROW, system="llm", prompt_sha256="ab")]
    write_predictions(tmp_path / "all.jsonl", rows)
    assert read_predictions(tmp_path / "all.jsonl") == rows


def test_a_file_cut_off_in_its_last_line_is_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path / "svm.jsonl", [ROW, replace(ROW, case_id="c2")])
    message = refusal(tmp_path, (tmp_path / "svm.jsonl").read_text()[:-30])
    assert "svm.jsonl:2: not JSON" in message
    assert message.endswith("the file ends within this line: write it again")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"case_id": ', "svm.jsonl:1: not JSON"),
        (json.dumps(LINE) + "\n\n", "svm.jsonl:2: not JSON"),
        ("[1, 2]", "svm.jsonl:1: holds a list"),
        ("", "svm.jsonl: holds no predictions"),
        (2 * (json.dumps(LINE) + "\n"), 'svm.jsonl:2: case_id "c1" of system "svm" is on line 1 already'),
    ],
)
def test_a_file_that_is_not_one_prediction_a_line_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (json.dumps(LINE)[:-1] + ', "label": "OMIM:2"}', 'the field "label" is there twice'),
        (json.dumps(LINE).replace('"sex"', '"sex": "male", "sex"'), 'the field "sex" is there twice'),
        ('{"text": ' + 100_000 * "[" + 100_000 * "]" + "}", "nested too deep"),
    ],
    ids=["key twice", "subgroup twice", "deep"],
)
def test_json_that_python_would_read_another_way_or_not_at_all_is_refused(
    tmp_path: Path, line: str, complaint: str
) -> None:
    message = refusal(tmp_path, json.dumps({**LINE, "case_id": "c0"}) + "\n" + line + "\n")
    assert message.startswith(f"{tmp_path / 'svm.jsonl'}:2: {complaint}")


@pytest.mark.parametrize("line", [b'{"case_id": "c2"}', b"\xff\xfe"])
def test_a_bad_line_among_those_a_killed_run_left_is_named_with_the_way_out(tmp_path: Path, line: bytes) -> None:
    part = tmp_path / ".svm.jsonl.part-0"
    part.write_bytes(json.dumps(LINE).encode() + b"\n" + line + b"\n")
    with pytest.raises(InputError) as refused:
        read_parts(tmp_path / "svm.jsonl")
    assert str(refused.value).startswith(f"{part}:2: ")
    assert "delete this file" in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be read"):
        read_predictions(tmp_path / "nowhere.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"case_id": "M\xe9ni\xe8re"}')
    with pytest.raises(InputError, match=r"latin\.jsonl: cannot be read"):
        read_predictions(tmp_path / "latin.jsonl")


def test_a_case_may_recur_in_another_split_or_system(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, split="validation"), replace(ROW, system="llm")]
    write_predictions(tmp_path / "all.jsonl", rows)
    assert read_predictions(tmp_path / "all.jsonl") == rows


def test_labels_of_other_software_are_read_in_the_form_of_the_tasks(tmp_path: Path) -> None:
    label = "Ménière disease"
    taken_apart = unicodedata.normalize("NFD", label)
    path = tmp_path / "peer.jsonl"
    write_predictions(path, [replace(ROW, label=taken_apart, ranked=(taken_apart, "gout"), probabilities=None)])
    (row,) = read_predictions(path)
    assert (row.label, row.ranked, row.correct) == (label, (label, "gout"), True)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "svm.jsonl"
    write_predictions(path, [ROW])
    with pytest.raises(ValueError, match="is on line 1 already"):
        write_predictions(path, [UNPARSED, UNPARSED])

    def full_disk(handle: int) -> None:
        os.ftruncate(handle, 4)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "half of it")
    assert read_predictions(path) == [ROW]
    assert [entry.name for entry in tmp_path.iterdir()] == ["svm.jsonl"]


def refusal(folder: Path, text: str) -> str:
    (folder / "svm.jsonl").write_text(text)
    with pytest.raises(InputError) as refused:
        read_predictions(folder / "svm.jsonl")
    return str(refused.value)
