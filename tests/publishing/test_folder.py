"""What is published: everything somebody needs, nothing of the machine or the patients, the same bytes every time."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from finished import BASE, COMMIT, edit_json

from osler.errors import InputError
from osler.publishing import folder as publication
from osler.recipe.task_file import find_tasks
from osler.reproduction import outcome, recording, reproduction, target
from osler.runs.run import Run
from osler.runs.verification import check_trained
from osler.storage.hashes import sha256_file

NAMES = {
    "README.md",
    "bias.md",
    "SHA256SUMS",
    "chai.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "merged/model.safetensors",
    "merged/config.json",
    "merged/merged_from.json",
    "recipe.yaml",
    "manifest.json",
    "panel.json",
    "data_report.json",
    "results.json",
    "report.html",
    "predictions/made_up-test-tiny-made-up@1.0.0.jsonl",
    "predictions/made_up-test-tiny-made-up@1.0.0-merged.jsonl",
    "predictions/made_up-test-majority.jsonl",
    "tasks/made_up/task.yaml",
    "tasks/made_up/prompt.jinja",
}


@pytest.fixture
def run(finished_project: Path, tmp_path: Path) -> Run:
    """A copy, to be spoilt."""
    shutil.copytree(finished_project, tmp_path, dirs_exist_ok=True)
    return Run(tmp_path / "runs" / "tiny-made-up" / "1.0.0")


def build(run: Run, name: str = "publication") -> tuple[Path, list[publication.File]]:
    folder = run.folder / name
    return folder, publication.build(run, folder, "jane/tiny", {}, {})


def test_the_folder_has_what_a_reader_needs_and_nothing_else(run: Run) -> None:
    folder, files = build(run)
    assert {file.path for file in files if not file.path.startswith("figures/")} == NAMES
    assert [file.path for file in files] == sorted(file.path for file in files)
    for file in files:
        path = folder / file.path
        assert (path.stat().st_size, sha256_file(path)) == (file.size, file.sha256)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == len(files) - 1, "all files but itself"


def test_what_came_of_reproductions_is_published_beside_the_model(run: Run) -> None:
    path = run.folder / "reproduction-training.json"
    made = reproduction.scores(target.find(str(run.folder), "scores"))
    outcome.write(made, run.folder).rename(path)
    _, files = build(run)
    assert path.name in {file.path for file in files}
    edit_json(path, target="/srv/jane/runs/tiny")
    folder, _ = build(run)
    assert json.loads((folder / path.name).read_text())["target"] == "tiny", "not where it lay on the author's machine"
    edit_json(path, recipe__sha256="0" * 64)
    with pytest.raises(InputError, match="of another recipe"):
        build(run)


def test_what_a_killed_publication_left_is_deleted_by_the_next_and_two_at_once_are_refused(run: Run) -> None:
    folder = run.folder / "publication"
    with publication.workplace(folder) as place:
        (place / "adapter_model.safetensors").write_bytes(b"a copy of the model")
        left = shutil.copytree(place, run.folder / "left")
        with pytest.raises(InputError, match="another process is publishing it"):
            build(run)
    left.rename(place)
    build(run)
    assert not place.exists()


@pytest.mark.parametrize("name", ["../../../elsewhere", "x/../../../../../elsewhere", "a\0b"])
def test_no_name_in_a_record_leads_out_of_the_publication(run: Run, tmp_path: Path, name: str) -> None:
    content = json.loads(run.results_path().read_text())
    (record,) = content["records"]
    for key in ("systems", "predictions_sha256"):
        record[key][name] = record[key].pop("majority")
    record["comparisons"] = []
    run.results_path().write_text(json.dumps(content))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="is not allowed as part of a file's name"):
        build(run)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_link_points_to_is_not_published(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text("{}")
    (run.adapter_path / "tokenizer.json").unlink()
    (run.adapter_path / "tokenizer.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match=r"tokenizer\.json: is a link"):
        build(run)


def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    _, first = build(run)
    _, again = build(run)
    _, elsewhere = build(run, "another")
    assert first == again == elsewhere
    assert not list(run.folder.glob(".publication*")), "nothing is left lying about"


def test_the_adapter_names_its_base_as_others_can_get_it(run: Run) -> None:
    folder, _ = build(run)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"], config["r"]) == (BASE, COMMIT, 4)
    assert list(config) == sorted(config)


def test_no_text_of_a_patient_and_no_folder_of_the_author_is_published(run: Run) -> None:
    folder, files = build(run)
    for file in files:
        if not file.path.endswith((".png", ".safetensors")):
            text = (folder / file.path).read_text()
            assert "Patient 10" not in text, file.path
            assert "jane.doe" not in text, file.path
    assert json.loads((folder / "data_report.json").read_text())["provenance"]["local"] == "made_up"


def test_the_folder_reads_as_a_run_without_anything_beside_it(run: Run, tmp_path: Path) -> None:
    folder, _ = build(run)
    downloaded = Run(Path(shutil.copytree(folder, tmp_path / "elsewhere" / "deep")))
    recipe = downloaded.recipe()
    assert recipe.run_sha256 == run.recipe().run_sha256
    assert find_tasks(recipe.path) == downloaded.folder / "tasks"
    assert downloaded.weights(recipe) == run.weights(run.recipe())
    assert check_trained(downloaded, recipe).steps == 6
    with pytest.raises(InputError, match="a published version, not a run"):
        publication.build(downloaded, tmp_path / "again", "jane/tiny", {}, {})


def test_the_expected_file_of_the_very_recipe_goes_with_it(run: Run, tmp_path: Path) -> None:
    path = recording.record([run], tmp_path / "recipes" / "tiny.yaml")
    folder, files = build(run)
    assert (folder / "expected.json").read_bytes() == path.read_bytes()
    edit_json(path, recipe_sha256="0" * 64)
    folder, files = build(run)
    assert "expected.json" not in {file.path for file in files}


def test_predictions_that_no_number_was_made_from_are_not_published(run: Run) -> None:
    stray = run.predictions_path / "made_up-test-stray.jsonl"
    shutil.copyfile(run.predictions_path / "made_up-test-majority.jsonl", stray)
    _, files = build(run)
    assert "predictions/made_up-test-stray.jsonl" not in {file.path for file in files}


def test_a_prediction_file_that_was_changed_ends_it_and_leaves_the_last_publication_alone(run: Run) -> None:
    folder, before = build(run)
    file = run.predictions_path / "made_up-test-majority.jsonl"
    file.write_text(file.read_text().replace("test/00001", "test/99999"))
    with pytest.raises(InputError, match=r"majority.jsonl: not what results.json was made from"):
        build(run)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        file.path for file in before
    }


def test_without_a_merged_model_the_adapter_is_there_alone(run: Run) -> None:
    shutil.rmtree(run.merged_path)
    _, files = build(run)
    assert not [file.path for file in files if file.path.startswith("merged/")]


def test_weights_are_not_moved_out_of_the_run(run: Run) -> None:
    weights = run.adapter_path / "adapter_model.safetensors"
    before = sha256_file(weights)
    folder, _ = build(run)
    shutil.rmtree(folder)
    assert sha256_file(weights) == before


def test_the_reason_for_what_was_allowed_lands_in_the_card(run: Run) -> None:
    edit_json(run.manifest_path, environment__git_dirty=True)
    folder = run.folder / "publication"
    publication.build(run, folder, "jane/tiny", {}, {"git": "a typo in a comment was not committed"})
    assert "a typo in a comment was not committed" in (folder / "README.md").read_text()
