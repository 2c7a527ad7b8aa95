"""The run directory: whose it is, and what it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from finished import edit_json, manifest
from project import environment, make

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs.run import Run
from osler.runs.verification import check_trained
from osler.storage.files import model_fingerprint, write_json


def test_a_run_can_be_opened_twice_by_its_own_recipe_only(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    run = Run(tmp_path / "run")
    run.open(load_recipe(path))
    run.open(load_recipe(path))
    assert run.recipe() == load_recipe(path)
    with pytest.raises(InputError, match="another recipe"):
        run.open(load_recipe(path, ["train.seed=3"]))
    with pytest.raises(InputError, match="another recipe"):  # its predictions would be of two scorers
        run.open(load_recipe(path, ["evaluation.scorer=label_likelihood"]))


def test_a_run_takes_up_what_its_recipe_evaluates_now(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    run = Run(tmp_path / "run")
    run.open(load_recipe(path))
    changed = load_recipe(path, ["evaluation.baselines=[majority]", "publish.private=false"])
    run.open(changed)
    assert run.recipe() == changed


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.tex").write_text("")
    with pytest.raises(InputError, match="not empty"):
        Run(tmp_path / "thesis").open(load_recipe(path))


def test_a_folder_that_a_training_was_killed_in_at_once_is_its_own(tmp_path: Path, tiny_base: BaseSection) -> None:
    path, run = make(tmp_path, tiny_base), Run(tmp_path / "run")
    with run.locked("training"):  # killed here
        pass
    run.open(load_recipe(path))


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a run directory is what"):
        Run(tmp_path).recipe()


def trained(folder: Path, tiny: BaseSection) -> tuple[Run, Path]:
    """A finished run, as far as its files say, and the recipe's file."""
    path = make(folder, tiny)
    recipe, run = load_recipe(path), Run(folder / "run")
    run.open(recipe)
    run.adapter_path.mkdir()
    (run.adapter_path / "adapter_model.safetensors").write_bytes(b"weights")
    write_json(run.adapter_path / "adapter_config.json", {"lora_alpha": 8})
    write_json(run.adapter_path / "tokenizer.json", {"model": {}})
    (run.adapter_path / "chat_template.jinja").write_text("{{ messages }}")
    write_json(run.manifest_path, manifest(recipe, "ab", model_fingerprint(run.adapter_path)))
    return run, path


def test_a_trained_run_is_that_of_its_recipe_whatever_is_evaluated_now(tmp_path: Path, tiny_base: BaseSection) -> None:
    run, path = trained(tmp_path, tiny_base)
    assert check_trained(run, run.recipe()).prompt_sha256 == "ab"
    run.open(load_recipe(path, ["evaluation.baselines=[majority]"]))
    check_trained(run, run.recipe())
    (run.folder / "recipe.yaml").write_text(load_recipe(path, ["train.seed=5"]).to_yaml())
    said = r"run/recipe\.yaml: not what was trained with \(sha256 .*, in manifest\.json .*bring that one back"
    with pytest.raises(InputError, match=said):
        check_trained(run, run.recipe())


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("adapter_model.safetensors", "others"),
        ("adapter_config.json", '{"lora_alpha": 8000}'),
        ("tokenizer.json", "{}"),
        ("chat_template.jinja", "{{ messages[0] }}"),
        ("generation_config.json", '{"temperature": 2}'),
    ],
)
def test_another_adapter_than_training_wrote_is_not_evaluated_whichever_of_its_files_is_another(
    tmp_path: Path, tiny_base: BaseSection, file: str, content: str
) -> None:
    run, _ = trained(tmp_path, tiny_base)
    (run.adapter_path / "README.md").write_text("decides nothing")
    check_trained(run, run.recipe())
    (run.adapter_path / file).write_text(content)
    said = r"adapter \(weights, .*\): not what training wrote \(sha256 .*bring that back"
    with pytest.raises(InputError, match=said):
        check_trained(run, run.recipe())


def test_an_adapter_that_is_gone_is_said_to_be(tmp_path: Path, tiny_base: BaseSection) -> None:
    run, _ = trained(tmp_path, tiny_base)
    run.adapter_path.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="adapter: is gone: bring it back"):
        check_trained(run, run.recipe())


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("seed", 99, r"recipe\.yaml, seed: not what was trained with \(0, in manifest\.json 99\)"),
        (
            "base__model",
            "evil/x",
            r"recipe\.yaml, base\.model: not what was trained with \(.*, in manifest\.json .evil/x.\)",
        ),
        (
            "task__name",
            "hpo",
            r"recipe\.yaml, task\.name: not what was trained with \(.made_up., in manifest\.json .hpo.\)",
        ),
    ],
)
def test_a_manifest_that_says_otherwise_than_the_recipe_is_named(
    tmp_path: Path, tiny_base: BaseSection, key: str, value: object, line: str
) -> None:
    run, _ = trained(tmp_path, tiny_base)
    edit_json(run.manifest_path, **{key: value})
    with pytest.raises(InputError, match=line):
        check_trained(run, run.recipe())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("recipe", {"sha256": "ab"}, "recipe.name: missing"),
        ("prompt_sha256", None, "prompt_sha256: null is not allowed; expected text"),
        ("promt_sha256", "ab", "promt_sha256: unknown key; did you mean prompt_sha256"),
        ("schema", 2, "schema: 2 is not allowed; expected 1"),
    ],
)
def test_a_manifest_that_is_none_is_named(
    tmp_path: Path, tiny_base: BaseSection, key: str, value: object, said: str
) -> None:
    run, _ = trained(tmp_path, tiny_base)
    edit_json(run.manifest_path, **{key: value})
    with pytest.raises(InputError, match=rf"run/manifest\.json: {said}.*; make the file anew, or bring back"):
        check_trained(run, run.recipe())
    for text, complaint in (("{}", "schema: missing"), ("[]", "expected a mapping"), ("{", "not JSON: EOF")):
        run.manifest_path.write_text(text)
        with pytest.raises(InputError, match=rf"run/manifest\.json: .*{complaint}"):
            check_trained(run, run.recipe())
    run.manifest_path.unlink()
    with pytest.raises(InputError, match=r"no manifest\.json: training is not finished"):
        check_trained(run, run.recipe())


def test_weights_are_named_by_their_fingerprints_and_a_merged_model_must_be_of_the_adapter(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    run, _ = trained(tmp_path, tiny_base)
    recipe = run.recipe()
    tuned = {"tiny-made-up@1.0.0": model_fingerprint(run.adapter_path)}
    assert run.weights(recipe) == tuned
    run.merged_path.mkdir()
    (run.merged_path / "model.safetensors").write_bytes(b"merged")
    both = {"adapter_sha256": model_fingerprint(run.adapter_path), "weights_sha256": model_fingerprint(run.merged_path)}
    write_json(run.merged_path / "merged_from.json", both)
    assert run.weights(recipe) == {**tuned, "tiny-made-up@1.0.0-merged": both["weights_sha256"]}
    for key in both:
        write_json(run.merged_path / "merged_from.json", {**both, key: "ab" * 32})
        said = rf"merged_from\.json: {key} is abababababab, of what is there .* move .*run/merged away"
        with pytest.raises(InputError, match=said):
            run.weights(recipe)
    write_json(run.merged_path / "merged_from.json", both)
    write_json(run.merged_path / "config.json", {"rope_theta": 1.0})
    with pytest.raises(InputError, match=r"merged_from\.json: weights_sha256 is .*, of what is there "):
        run.weights(recipe)


def test_the_adapter_of_a_published_version_stands_at_the_root(tmp_path: Path, tiny_base: BaseSection) -> None:
    run, _ = trained(tmp_path, tiny_base)
    weights = run.weights(run.recipe())
    for path in run.adapter_path.iterdir():
        path.rename(run.folder / path.name)
    (run.folder / "adapter").rmdir()
    assert run.adapter_path == run.folder
    check_trained(run, run.recipe())
    assert run.weights(run.recipe()) == weights


def test_what_a_system_answered_is_deleted_whole_or_in_part(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for system in ("a@1", "a@1-merged"):
        for path in (run.prediction_path("t", "test", system), run.prediction_path("t", "test", system, 3)):
            path.parent.mkdir(exist_ok=True)
            path.write_text("")
            path.with_name(f".{path.name}.part-0").write_text("")
    run.delete_predictions("a@1-merged")
    assert sorted(path.name for path in run.predictions_path.iterdir()) == [
        ".t-test-a@1.jsonl.part-0",
        "t-test-a@1.jsonl",
    ]


def test_what_was_made_of_an_earlier_training_is_moved_away_whole(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.set_aside() is None
    for number in (1, 2):
        run.merged_path.mkdir()
        for path in (
            run.prediction_path("t", "test", "s"),
            run.prediction_path("t", "test", "s", 3),
            run.results_path(),
            run.train_log_path,
        ):
            path.parent.mkdir(exist_ok=True)
            path.write_text(str(number))
        earlier = tmp_path / f"earlier-{number}"
        assert run.set_aside() == earlier
        made = {"merged", "predictions", "predictions-first-3", "results.json"}
        assert {path.name for path in earlier.iterdir()} == made
        assert (earlier / "predictions" / "t-test-s.jsonl").read_text() == str(number)
    assert {path.name for path in tmp_path.iterdir()} == {"earlier-1", "earlier-2", "train_log.jsonl"}


def test_one_process_at_a_time_trains_or_evaluates_a_run_and_a_killed_one_is_none(tmp_path: Path) -> None:
    code = "import pathlib, sys, time; from osler.runs.run import Run\n"
    code += f"with Run(pathlib.Path({str(tmp_path)!r})).locked('training'): print('at it', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "at it\n"
        refused = pytest.raises(InputError, match=rf"{tmp_path}: process {other.pid} on .* is training it; wait")
        with refused, Run(tmp_path).locked("evaluating"):
            pass
        other.kill()
    with Run(tmp_path).locked("evaluating"):
        pass


def test_results_of_a_part_say_which() -> None:
    run = Run(Path())
    names = [
        run.results_path(*part).name for part in (("medqa",), (None, ["a", "b"]), (None, None, 3), (None, ["a"], 3))
    ]
    assert names == [
        "results-medqa.json",
        "results-partial-a-b.json",
        "results-partial-first-3.json",
        "results-partial-a-first-3.json",
    ]


@pytest.mark.parametrize("folder", ["file", "file/below/it"])
def test_a_run_directory_that_is_none_is_refused_before_anything_else(
    tmp_path: Path, tiny_base: BaseSection, folder: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is not a folder; name another place"):
        Run(tmp_path / folder).check(load_recipe(make(tmp_path, tiny_base)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_anything_else(tmp_path: Path, tiny_base: BaseSection) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="locked may not be written into"):
        Run(tmp_path / "locked" / "run").check(load_recipe(make(tmp_path, tiny_base)))


@pytest.mark.parametrize("key", ["task", "split", "system"])
def test_no_name_in_results_leads_out_of_the_folder_of_predictions(finished_project: Path, key: str) -> None:
    run = Run(finished_project / "runs" / "tiny-made-up" / "1.0.0")
    results = run.read_results()
    record = results.records[0]
    changed = {"predictions_sha256": {"../../secret": "0" * 64}} if key == "system" else {key: "../../secret"}
    odd = results.model_copy(update={"records": (record.model_copy(update=changed),)})
    with pytest.raises(InputError, match=r"\.\./\.\./secret"):
        run.scored_predictions(odd)
