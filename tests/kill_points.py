"""A tiny training killed at every point where something is half done, taken up again, and compared with one that was
left alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from forked import fork, run_script
from project import ROOT, environment, losses, make, script
from safetensors.torch import load_file

from osler.recipe.sections import BaseSection

# Eight steps of six a pass: the last one is in the middle of a pass. At a constant rate one step more would show.
TRAIN = {"max_steps": 8, "save_steps": 3, "lr_scheduler_type": "constant"}


@dataclass(frozen=True)
class Killed:
    """What came of a training that was killed at ``point``: the checkpoint it went on from (None: from the start), the
    steps its manifest names, and what is not as in the undisturbed training (empty: nothing)."""

    point: str
    resumed_from_step: int | None
    steps: int
    differing: tuple[str, ...]


def kill_points(
    folder: Path, tiny: BaseSection, points: Iterable[str] | None = None, **sections: dict[str, Any]
) -> list[Killed]:
    """Train a small project below ``folder`` undisturbed, and once for each of ``points`` (all of :data:`POINTS`)."""
    path = make(folder, tiny, **{**sections, "train": {**TRAIN, **sections.get("train", {})}})
    straight = folder / "straight"
    done = script(folder, "train", path, "--output", straight)
    assert done.returncode == 0, done.stderr
    rows = []
    for number, point in enumerate(points or POINTS):
        run = folder / f"killed-{number}"
        command = [str(ROOT / "scripts" / "train.py"), str(path), "--output", str(run)]
        process = fork(_train_until, point, command, folder, environment(folder), folder)
        process.join(timeout=280)
        assert process.exitcode == -signal.SIGKILL, f"{point}: not killed: {(folder / 'stderr').read_text()}"
        assert not (run / "manifest.json").exists(), point
        resumed = script(folder, "train", path, "--output", run)
        assert resumed.returncode == 0, resumed.stderr
        manifest = json.loads((run / "manifest.json").read_text())
        differing = tuple(_differing(straight, run))
        rows.append(Killed(point, manifest["resumed_from_step"], manifest["steps"], differing))
        shutil.rmtree(run)
    return rows


def _differing(straight: Path, run: Path) -> Iterable[str]:
    was, now = (load_file(made / "adapter" / "adapter_model.safetensors") for made in (straight, run))
    yield from (name for name in was.keys() | now.keys() if name not in now or not torch.equal(was[name], now[name]))
    if losses(straight) != losses(run):
        yield "the losses in train_log.jsonl"
    was, now = (json.loads((made / "manifest.json").read_text()) for made in (straight, run))
    yield from (key for key in ("adapter_sha256", "steps", "rows_out") if was[key] != now[key])
    # What begins with a dot is the lock, and a file that was being written.
    names = [sorted(path.name for path in made.iterdir() if path.name[0] != ".") for made in (straight, run)]
    if names[0] != names[1]:
        yield f"the files: {names[1]}, and not {names[0]}"


# ── where to kill ────────────────────────────────────────────────────────────────────────────────────────────────────


def _kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _at(
    owner: Any, name: str, when: Callable[..., bool], after: bool = False, first: Callable[..., None] = _kill
) -> None:
    """Make the function ``name`` of ``owner`` end the process, before or after its work, in the call ``when`` names."""
    original = getattr(owner, name)

    def killing(*arguments: Any, **options: Any) -> Any:
        chosen = when(*arguments)
        if chosen and not after:
            first(*arguments)
            _kill()
        result = original(*arguments, **options)
        if chosen:
            first(*arguments)
            _kill()
        return result

    setattr(owner, name, killing)


def _nth(number: int) -> Callable[..., bool]:
    calls = count(1)
    return lambda *_: next(calls) == number


def _halve(_: object, folder: str) -> None:
    weights = Path(folder) / "adapter_model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def _named(name: str) -> Callable[..., bool]:
    return lambda *arguments: any(Path(str(argument)).name == name for argument in arguments[:2])


def _modules() -> Any:
    from trl import SFTTrainer

    from osler.runs import checkpoints
    from osler.training import training

    return SFTTrainer, checkpoints, training


def _in_step(number: int) -> None:
    _at(_modules()[0], "training_step", _nth(number))


def _marking(checkpoint: str, after: bool) -> None:
    _at(_modules()[1], "mark_complete", _named(checkpoint), after)


POINTS: dict[str, Callable[[], None]] = {
    "in the first step": lambda: _in_step(1),
    "while the first checkpoint is being saved": lambda: _marking("checkpoint-3", after=False),
    "after the first checkpoint": lambda: _marking("checkpoint-3", after=True),
    "in a step after a checkpoint": lambda: _in_step(5),
    "while a later checkpoint is being saved": lambda: _marking("checkpoint-6", after=False),
    "between the last checkpoint and the adapter": lambda: _marking("checkpoint-8", after=True),
    "while the adapter is being saved": lambda: _at(
        _modules()[0], "save_model", _named(".adapter"), after=True, first=_halve
    ),
    "before the saved adapter is in its place": lambda: _at(Path, "rename", _named(".adapter")),
    "between the adapter and the manifest": lambda: _at(_modules()[2], "write_model", _named("manifest.json")),
    "while the manifest is being written": lambda: _at(os, "replace", _named("manifest.json")),
}


def _train_until(point: str, command: list[str], folder: Path, variables: dict[str, str], output: Path) -> None:
    POINTS[point]()
    run_script(command, folder, variables, str(output))
