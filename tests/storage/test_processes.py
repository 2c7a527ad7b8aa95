"""Processes that help end with the one they help, however that one ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from osler.storage import OutOfBounds, in_bounds

CODE = """
import os, signal, time
from contextlib import nullcontext
from osler.storage import forks_end_with_us

reader, writer = os.pipe()
with {context}():
    child = os.fork()
if child == 0:
    os.write(writer, b".")
    time.sleep(60)
os.read(reader, 1)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie, which nobody may have cleared away."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can end a process with its parent")
@pytest.mark.parametrize(("context", "ends"), [("forks_end_with_us", True), ("nullcontext", False)])
def test_a_fork_ends_with_its_parent_even_by_kill_9(context: str, ends: bool) -> None:
    command = [sys.executable, "-c", CODE.format(context=context)]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert done.stdout is not None
    child = int(done.stdout.readline())
    assert done.wait() == -9
    done.stdout.close()
    time.sleep(0.5)
    assert runs(child) != ends
    if not ends:
        subprocess.run(["kill", "-9", str(child)], check=True)


def test_work_in_bounds_gives_its_answer_and_what_takes_more_ends() -> None:
    assert in_bounds(lambda: {"answer": [1, "é"]}, 1, 2**28) == {"answer": [1, "é"]}
    with pytest.raises(OutOfBounds, match="does not end within 1 seconds"):
        in_bounds(lambda: sum(1 for _ in iter(int, 1)), 1, 2**28)
    with pytest.raises(OutOfBounds, match="needs more than 256 MB"):
        in_bounds(lambda: "a" * 3_000_000_000, 1, 2**28)
