"""A trial's training, in a process of its own: what it holds of a GPU is free when it ends, a tracker begins anew, and
the memory in its manifest is its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from osler.errors import exit_status
from osler.recipe import load_recipe
from osler.runs import Run

PROCESSES: multiprocessing.context.BaseContext = multiprocessing.get_context("spawn")  # a fork could not use a GPU


class Training:
    """A process that trains the recipe at ``path`` with ``overrides`` in the run directory ``folder``.

    What it prints is in ``<folder>.log``. A context: the process is gone when it is left.
    """

    def __init__(self, path: Path, overrides: Sequence[str], folder: Path) -> None:
        self.run = Run(folder)
        self._log = folder.with_name(f"{folder.name}.log")
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._log.touch()
        self._process = PROCESSES.Process(  # type: ignore[attr-defined]
            target=_train, args=(str(path.resolve()), list(overrides), str(folder), str(self._log))
        )

    def __enter__(self) -> Training:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; whether it has come."""
        self._process.join(seconds)
        return self._process.exitcode is not None

    def stop(self) -> None:
        """Have it end after the step that it makes, with a checkpoint."""
        self._process.terminate()

    def evaluations(self, metric: str) -> dict[int, float]:
        """Step → what ``metric`` was on validation, so far."""
        found = {}
        if self.run.train_log_path.is_file():
            for line in self.run.train_log_path.read_text(encoding="utf-8").splitlines(keepends=True):
                if f'"eval_{metric}"' in line and line.endswith("\n"):  # the last may be half written
                    figures = json.loads(line)
                    found[figures["step"]] = figures[f"eval_{metric}"]
        return {step: value for step, value in sorted(found.items()) if value is not None}

    def failure(self) -> str | None:
        """Why it came to nothing; None where it came to its end."""
        status = self._process.exitcode
        if status == 0:
            return None
        if status is not None and status < 0:
            text = f"ended by {signal.Signals(-status).name}"
            return f"{text}, as the kernel does where memory runs out" if status == -signal.SIGKILL else text
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.strip()]
        return (said[-1] if said else f"status {status}").strip().removeprefix("error: ")[:500]


def _train(path: str, overrides: Sequence[str], folder: str, log: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(output, number)

    run = Run(Path(folder))

    def main() -> int:
        from osler.training import train

        if not run.finished:  # a search may be killed before it has seen that its training came to its end
            train(load_recipe(path, overrides), run)
        return 0

    sys.exit(exit_status(main))


def _end_with_parent() -> None:
    """Without this, a search that is killed would leave a training behind that nobody asks any more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
