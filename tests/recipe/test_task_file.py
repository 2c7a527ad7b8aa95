"""``task.yaml``: read as strictly as a recipe."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from project import ROOT

from osler.errors import InputError
from osler.recipe.strict_yaml import dump_yaml, read_yaml
from osler.recipe.task_file import find_tasks, read_task

SHIPPED = sorted(path.parent for path in ROOT.glob("tasks/*/task.yaml"))


def refusal(folder: Path, content: str) -> str:
    """The one line about a task.yaml of this content, without the file's name."""
    path = folder / "task.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_task(folder)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def changed(task: str, **changes: Any) -> str:
    """A shipped task's file with other values, by keys such as ``source__kind``; None takes the key away."""
    content = copy.deepcopy(read_yaml(ROOT / "tasks" / task / "task.yaml"))
    for keys, value in changes.items():
        *sections, last = keys.split("__")
        section = content
        for name in sections:
            section = section[name]
        section[last] = value
        if value is None:
            del section[last]
    return dump_yaml(content)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_every_shipped_task_is_read_whole(folder: Path) -> None:
    task, plain = read_task(folder), read_yaml(folder / "task.yaml")
    assert task.name == folder.name
    assert task.model_dump(mode="json", by_alias=True, exclude_unset=True) == plain


@pytest.mark.parametrize(
    "path", ["../../secret", "/etc/passwd", "a/../../b", "a\0b", "~/a", "", ".", "a\\..\\b", "c:/a"]
)
@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("symptom_to_diagnosis", "prompt"),
        ("symptom_to_diagnosis", "source__local"),
        ("symptom_to_diagnosis", "source__files__train"),
        ("medqa", "source__files__test__local"),
        ("medqa", "source__files__test__hub"),
        ("pubmedqa", "source__files__test__only"),
        ("phenopackets", "source__store"),
    ],
)
def test_a_path_in_a_task_stays_inside_its_folder(tmp_path: Path, task: str, key: str, path: str) -> None:
    line = refusal(tmp_path, changed(task, **{key: path}))
    assert line.startswith(f"{key.replace('__', '.')}: ")
    assert "is not allowed" in line


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [("../..", True), ("..", True), ("rows", True), ("../../rows", True), ("../../..", False), ("/rows", False)],
)
def test_prepared_rows_lie_in_the_project_of_their_task(tmp_path: Path, folder: str, allowed: bool) -> None:
    files = {split: {"name": f"{split}.jsonl", "sha256": "0" * 64} for split in ("train", "test")}
    source = {"kind": "prepared", "prepared_from": "an export", "folder": folder, "files": files}
    content = changed("symptom_to_diagnosis", source=source, splits={"test": "rows"})
    if allowed:
        (tmp_path / "task.yaml").write_text(content)
        assert read_task(tmp_path).prompt == "prompt.jinja"
    else:
        assert refusal(tmp_path, content).startswith("source.folder: ")


@pytest.mark.parametrize("name", ["../../test", "a/b", ""])
def test_a_split_is_part_of_a_files_name(tmp_path: Path, name: str) -> None:
    assert "is not allowed as a name" in refusal(tmp_path, changed("rare_disease", splits={name: "rows"}))


@pytest.mark.parametrize(
    ("task", "changes", "line"),
    [
        ("rare_disease", {"panel": {}}, "panel: unknown key; did you mean panels?"),
        ("rare_disease", {"schema": 2}, "schema: 2 is not allowed; expected 1"),
        ("rare_disease", {"schema": None}, "schema: missing"),
        ("rare_disease", {"version": "one"}, 'version: "one" is not allowed; expected an integer'),
        ("rare_disease", {"version": True}, "version: true is not allowed; expected an integer"),
        ("rare_disease", {"splits": "test"}, 'splits: "test" is not allowed; expected a mapping'),
        (
            "rare_disease",
            {"source__kind": "simulation"},
            'source.kind: "simulation" is not allowed; expected one of simulated, phenopackets, differential, corpus,'
            " dataset, prepared, image_text, benchmark, questions; did you mean simulated?",
        ),
        ("rare_disease", {"source__kind": None}, "source.kind: missing"),
        (
            "rare_disease",
            {"source__ontologie": "x"},
            "source.ontologie: unknown key; did you mean source.ontology?",
        ),
        ("rare_disease", {"source__revision": "x"}, "source.revision: unknown key; valid keys: "),
        ("rare_disease", {"source__ontology": "hp.obo"}, "source.ontology: 'hp.obo' does not name a file in a wheel"),
        ("rare_disease", {"panels": None}, "panels: missing; expected NAME: {min_patients: N}"),
        ("rare_disease", {"panels__small": {"min_patient": 2}}, "panels.small.min_patient: unknown key; did you mean"),
        ("rare_disease", {"panels__small": {"min_patients": 0}}, "panels.small.min_patients: 0 is not allowed; exp"),
        ("rare_disease", {"labels": ["gout"]}, "labels: not with this source"),
        (
            "symptom_to_diagnosis",
            {"source__revision": "main"},
            'source.revision: "main" is not allowed; expected the 40',
        ),
        ("symptom_to_diagnosis", {"source__columns": {"text": "a"}}, "source.columns.label: missing"),
        ("symptom_to_diagnosis", {"source__validation_share": "a tenth"}, 'source.validation_share: "a tenth" is'),
        ("symptom_to_diagnosis", {"source__validation_share": 1.5}, "source.validation_share: 1.5 is not allowed; exp"),
        ("symptom_to_diagnosis", {"splits__extra": "more"}, "source.files.extra: missing; expected a file for train"),
        ("symptom_to_diagnosis", {"labels": None}, "labels: missing; expected the texts"),
        ("symptom_to_diagnosis", {"labels": ["gout", 3]}, "labels.1: 3 is not allowed; expected text"),
        ("symptom_to_diagnosis", {"labels": ["gout", "ER+", "ER-", "Gout"]}, "labels: 'gout' is there twice, but for"),
        ("symptom_to_diagnosis", {"licence": "mit"}, "licence: unknown key; did you mean license?"),
        ("symptom_to_diagnosis", {"terminology": {"onto": "x"}}, "terminology.onto: unknown key; "),
        ("symptom_to_diagnosis", {"preparation": {"clean": []}}, "preparation.clean: unknown key; did you mean"),
        ("phenopackets", {"panels": {"all": {"min_patients": 1}}}, "panels: not with this source, which decides"),
        ("phenopackets", {"labels": ["gout"]}, "labels: not with this source, which decides"),
        ("phenopackets", {"source__shares__test": 0.5}, "source.shares: they add up to 1.15; expected 1"),
        ("phenopackets", {"source__shares__train": 0}, "source.shares.train: 0 is not allowed"),
        ("phenopackets", {"source__min_publications": 2}, "source.min_publications: 2 is not allowed"),
        ("phenopackets", {"splits__simulated": "new ones"}, "splits.simulated: unknown split; expected one of valid"),
        ("medqa", {"scorer": "multiple_chioce"}, "did you mean multiple_choice?"),
        ("medqa", {"source__files__test__sha": "x"}, "source.files.test.sha: unknown key; did you mean"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, task: str, changes: dict[str, Any], line: str) -> None:
    assert line in refusal(tmp_path, changed(task, **changes))


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, changed("medqa") + "version: 2\n").endswith('duplicate key "version"')


def test_a_run_without_its_project_says_where_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copied").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="start this from the project's folder, or copy its tasks there"):
        find_tasks(tmp_path / "copied")
    (tmp_path / "tasks" / "made_up").mkdir(parents=True)
    (tmp_path / "tasks" / "made_up" / "task.yaml").touch()
    assert find_tasks(tmp_path / "copied") == tmp_path / "tasks"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task\.yaml: No such file"):
        read_task(tmp_path)
