"""Checkpoints: when one counts as whole, and which is the newest that does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from osler.errors import InputError
from osler.storage import FileContract, read_model, sha256_file, validated, write_model

COMPLETE = "complete.json"


class Complete(FileContract):
    """``complete.json``, written last into a checkpoint: the seconds trained until then, a hash of the base and the
    examples that were learnt from, how many processes trained, and the sha256 of every file in it by its path inside.
    """

    train_seconds: float = Field(ge=0)
    learnt_from: str
    processes: int = Field(1, ge=1)
    sha256: dict[str, str]


def mark_complete(checkpoint: Path, train_seconds: float, learnt_from: str, processes: int) -> None:
    """Record that ``checkpoint`` is whole: the hashes of all its files, written last and atomically."""
    content = {
        "schema": 1,
        "train_seconds": train_seconds,
        "learnt_from": learnt_from,
        "processes": processes,
        "sha256": _hashes(checkpoint),
    }
    write_model(checkpoint / COMPLETE, validated(Complete, content, str(checkpoint / COMPLETE)))


def read(checkpoint: Path) -> Complete:
    """What was recorded of ``checkpoint`` when it was saved. Raises :class:`InputError` as ``read_model``."""
    return read_model(checkpoint / COMPLETE, Complete)


def step(checkpoint: Path) -> int:
    """The step after which ``checkpoint`` was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint in ``folder`` that is what was saved, and what is wrong with each newer one."""
    damaged: dict[Path, str] = {}
    for checkpoint in _newest_first(folder):
        if (damage := _damage(checkpoint)) is None:
            return checkpoint, damaged
        damaged[checkpoint] = damage
    return None, damaged


def _newest_first(folder: Path) -> Iterator[Path]:
    there = (path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name))
    yield from sorted(there, key=step, reverse=True)


def _damage(checkpoint: Path) -> str | None:
    """Why ``checkpoint`` is not what was saved; None where it is."""
    if not (checkpoint / COMPLETE).is_file():
        return "was not saved to its end"
    try:
        saved = read_model(checkpoint / COMPLETE, Complete).sha256
    except InputError as error:
        return str(error).removeprefix(f"{checkpoint}/")
    there = _hashes(checkpoint)
    for name, sha256 in saved.items():
        if there.get(name) != sha256:
            return f"{name[:100]} is {'not what was saved' if name in there else 'missing'}"
    return None


def _hashes(checkpoint: Path) -> dict[str, str]:
    files = {path.relative_to(checkpoint).as_posix(): path for path in sorted(checkpoint.rglob("*")) if path.is_file()}
    return {name: sha256_file(path) for name, path in files.items() if name != COMPLETE}
