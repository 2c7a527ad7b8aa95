"""A small project whose recipe has a search, and how to run that as a user would."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from forked import FORKED, fork, run_script
from project import ROOT, environment, make

from osler.recipe.sections import BaseSection

SEARCH = {
    "metric": "log_loss",
    "minutes": 30,
    "space": {"train.learning_rate": {"low": 1e-4, "high": 3e-2, "log": True}, "lora.r": [2, 4]},
}
TRAIN = {"save_steps": 2, "max_steps": 4}


def make_search(folder: Path, tiny: BaseSection, search: dict[str, Any] | None = None, **sections: Any) -> Path:
    """As :func:`project.make`, recipes/tiny-v1.yaml, with a split ``validation``."""
    evaluation = {"splits": ["validation", "test"], "baselines": ["majority"]}
    train = {**TRAIN, **sections.pop("train", {})}
    search = {**SEARCH, **(search or {})}
    path = make(folder, tiny, train=train, evaluation=evaluation, search=search, **sections)
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"]["validation_share"] = 0.3
    content["splits"]["validation"] = "rows of the training file"
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    return path.rename(path.with_name("tiny-v1.yaml"))


def _search(command: list[str], folder: Path, variables: dict[str, str], output: str) -> None:
    """scripts/search.py whose trials are forked from a process that has imported torch, to save its time."""
    from osler.search import training

    training.PROCESSES = FORKED
    run_script(command, folder, variables, output)


def search(
    folder: Path, *arguments: str | Path, until: str | None = None, how: signal.Signals = signal.SIGKILL
) -> subprocess.CompletedProcess[str]:
    """Run scripts/search.py in ``folder``; with ``until``, a pattern of a file, send it ``how`` once there is one."""
    command = [str(ROOT / "scripts" / "search.py"), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as output:
        process = fork(_search, command, folder, environment(folder), output)
        deadline = time.monotonic() + 120
        while until and not list(folder.glob(until)):
            assert process.is_alive(), Path(output, "stderr").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if until:
            os.kill(process.pid, how)
        process.join(timeout=280)
        assert process.exitcode is not None
        stdout, stderr = (Path(output, stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr"))
    return subprocess.CompletedProcess(command, process.exitcode, stdout, stderr)
