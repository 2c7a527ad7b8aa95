"""The run directory: whose it is, and which of its checkpoints can be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import make

from osler import recipe as recipes
from osler.errors import InputError
from osler.recipe import BaseSection
from osler.run import Run, mark_complete


def checkpoint(run: Run, step: int, whole: bool) -> Path:
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    if whole:
        mark_complete(folder)
    return folder


def test_training_goes_on_from_the_newest_checkpoint_that_is_whole(tmp_path: Path) -> None:
    run = Run(tmp_path)
    checkpoint(run, 90, whole=True)
    newest = checkpoint(run, 100, whole=True)
    cut_off = checkpoint(run, 200, whole=False)
    assert run.last_checkpoint() == newest
    assert not cut_off.exists()


def test_a_checkpoint_whose_files_shrank_is_not_whole(tmp_path: Path) -> None:
    run = Run(tmp_path)
    kept = checkpoint(run, 1, whole=True)
    (checkpoint(run, 2, whole=True) / "adapter_model.safetensors").write_bytes(b"w")
    assert run.last_checkpoint() == kept


def test_without_a_whole_checkpoint_training_starts_anew(tmp_path: Path) -> None:
    assert Run(tmp_path).last_checkpoint() is None


def test_a_run_can_be_opened_twice_by_its_own_recipe_only(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    run = Run(tmp_path / "run")
    run.open(recipes.load(path))
    run.open(recipes.load(path))
    assert run.recipe() == recipes.load(path)
    with pytest.raises(InputError, match="another recipe"):
        run.open(recipes.load(path, ["train.seed=3"]))
    with pytest.raises(InputError, match="another recipe"):  # its predictions would be of two scorers
        run.open(recipes.load(path, ["evaluation.scorer=label_likelihood"]))


def test_a_run_takes_up_what_its_recipe_evaluates_now(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    run = Run(tmp_path / "run")
    run.open(recipes.load(path))
    changed = recipes.load(path, ["evaluation.baselines=[majority]", "publish.private=false"])
    run.open(changed)
    assert run.recipe() == changed


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.tex").write_text("")
    with pytest.raises(InputError, match="not empty"):
        Run(tmp_path / "thesis").open(recipes.load(path))


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a run directory is what"):
        Run(tmp_path).recipe()
