"""Processes forked from one that has imported torch. This module imports nothing of Osler, so neither does a script's
process before it is the script."""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

# A script's own imports take a second, those of torch, transformers and TRL six. Every script is a process of its own,
# forked from one that has imported these libraries and nothing of Osler.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["preloaded"])


def fork(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A started process that calls ``target``."""
    process = FORKED.Process(target=target, args=arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the imports of the first one, once a session
        process.start()
    return process


def run_script(
    command: list[str], folder: Path, variables: dict[str, str], output: str, free: int | None = None
) -> None:
    """Become the script of ``command``, with ``stdout`` and ``stderr`` in the folder ``output``."""
    for number, stream in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(output, stream), os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv, sys.path[0] = command, str(Path(command[0]).parent)
    sys.path.insert(1, variables["PYTHONPATH"])
    if free is not None:
        sys.dont_write_bytecode = True  # it would be cut off, and believed by the next process
        resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))
    runpy.run_path(command[0], run_name="__main__")
