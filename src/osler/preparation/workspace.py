"""Work in a folder inside the output, which only one process uses, and move the files into place when all are done."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from osler.errors import InputError

WORK_FOLDER = ".preparing"
FINISHED_FOLDER = ".prepared"  # finished files on their way into the output

_locks: set[int] = set()
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # prctl(2)


def _in_child() -> None:
    """Make a forked process release the lock, and end when its parent ends, even by ``kill -9``."""
    if _libc is not None and _locks:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    while _locks:
        os.close(_locks.pop())


# Otherwise the workers of datasets.map would wait forever, and hold the lock as long as they live.
os.register_at_fork(after_in_child=_in_child)


@contextmanager
def workspace(output: Path, report: str, others: Collection[str]) -> Iterator[Path]:
    """An empty folder inside ``output``. At the end it is removed, and so is ``output`` if it is empty.

    If a former process was killed while it moved finished files into place, they are moved first.

    Args:
        report: the name of the file that every prepared folder has.
        others: the names of other files that it may have.

    Raises:
        InputError: ``output`` cannot be written to, another process writes to it, or it holds files of these names but
            was not prepared.
    """
    work = output / WORK_FOLDER
    existing = [name for name in others if (output / name).exists()]
    if existing and not (output / report).exists() and not work.exists():  # a killed run leaves one of the two
        raise InputError(
            f"{output / existing[0]}: exists and was not made by prepare_data.py; choose another folder as --output"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = os.open(output, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{output}: cannot be written to ({error.strerror}); choose another --output") from None
    _locks.add(lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _move_finished(output)
        shutil.rmtree(work, ignore_errors=True)  # left by an interrupted run
        work.mkdir()
    except BlockingIOError:
        _unlock(lock)
        raise InputError(f"{output}: another prepare_data.py is writing to it; wait for it to end") from None
    except OSError as error:
        _unlock(lock)
        raise InputError(f"{output}: cannot be written to ({error.strerror}); choose another --output") from None
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not any(output.iterdir()):
            output.rmdir()
        _unlock(lock)


def move_into_output(work: Path, names: Sequence[str]) -> None:
    """Move the files ``names`` from the workspace ``work`` into its output, in this order: all of them or none.

    If the process is killed meanwhile, the next one moves the rest.
    """
    finished = work / FINISHED_FOLDER
    finished.mkdir()
    for number, name in enumerate(names):
        os.replace(work / name, finished / f"{number:02}-{name}")
    os.replace(finished, work.parent / FINISHED_FOLDER)  # from here on, the files count as finished
    _move_finished(work.parent)


def _move_finished(output: Path) -> None:
    finished = output / FINISHED_FOLDER
    if finished.is_dir():
        for path in sorted(finished.iterdir()):
            os.replace(path, output / path.name.partition("-")[2])
        finished.rmdir()


def _unlock(lock: int) -> None:
    _locks.discard(lock)
    os.close(lock)


def check_apart(source: str, output: Path, names: Collection[str]) -> None:
    """Check that the next run will not read files of ``output``, and that none will overwrite the source.

    Args:
        source: a file, a folder, or the name of something else.
        names: the names of the files that are written into ``output``.

    Raises:
        InputError: ``output`` is inside ``source``, or the source is one of the files of ``output``.
    """
    path, written = Path(source).resolve(), output.resolve()
    if path.is_dir() and written.is_relative_to(path):
        raise InputError(f"{output}: is inside {source}, of which all files are read; choose an --output beside it")
    if path.parent == written and path.name in names:
        raise InputError(
            f"{source}: would be overwritten, because it is a file of --output {output}; choose another --output"
        )
