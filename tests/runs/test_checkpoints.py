"""Checkpoints: which of them training may go on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from finished import edit_json

from osler.runs.checkpoints import mark_complete, newest_whole, read


def checkpoint(folder: Path, step: int, whole: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "optimizer_0").mkdir(parents=True)  # sharded models save folders
    (made / "adapter_model.safetensors").write_bytes(b"weights")
    (made / "optimizer_0" / "shard.bin").write_bytes(b"moments")
    if whole:
        mark_complete(made, 12.5, "0" * 64, 2)
    return made


def test_training_goes_on_from_the_newest_checkpoint_that_was_saved_to_its_end(tmp_path: Path) -> None:
    assert newest_whole(tmp_path) == (None, {})
    checkpoint(tmp_path, 90)
    newest = checkpoint(tmp_path, 100)
    cut_off = checkpoint(tmp_path, 200, whole=False)
    (tmp_path / "checkpoint-of-mine").mkdir()
    assert newest_whole(tmp_path) == (newest, {cut_off: "was not saved to its end"})
    assert (read(newest).train_seconds, read(newest).processes) == (12.5, 2)


def _edit(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda made: (made / name).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_edit("adapter_model.safetensors", b"weighty"), "adapter_model.safetensors is not what was saved"),
        (_edit("optimizer_0/shard.bin", b"moment5"), "optimizer_0/shard.bin is not what was saved"),
        (lambda made: (made / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
        (_edit("complete.json", b"[]"), "complete.json: [] is not allowed; expected a mapping"),
        (_edit("complete.json", b"{"), "complete.json: not JSON: EOF while parsing an object at line 1 column 1"),
        (
            lambda made: edit_json(made / "complete.json", train_seconds="long"),
            'complete.json: train_seconds: "long" is not allowed; expected a number',
        ),
        (
            lambda made: edit_json(made / "complete.json", sha256={"weights": 7}),
            "complete.json: sha256.weights: 7 is not allowed; expected text",
        ),
        (lambda made: edit_json(made / "complete.json", sha256={"../../x": "0"}), "../../x is missing"),
    ],
)
def test_a_damaged_checkpoint_of_the_same_size_too_gives_way_to_the_one_before_and_is_named(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    kept, newest = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    damage(newest)
    assert newest_whole(tmp_path) == (kept, {newest: said})
