"""The folder in which a preparation works until all is done: inside its output, and one process's alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from osler.errors import InputError
from osler.storage import forks_end_with_us

NAME = ".preparing"
DONE = ".prepared"  # what is finished, on its way into the output
LOCK = ".preparing.lock"


@contextmanager
def workspace(output: Path, report: str, others: Collection[str]) -> Iterator[Path]:
    """An empty folder inside ``output``, removed at the end; ``output`` too, where nothing came of it.

    What a process had finished, and was killed while it moved it into place, is moved first.

    Args:
        report: the file that every prepared folder has.
        others: the files it may have besides.

    Raises:
        InputError: ``output`` cannot be written to, is being written to, or has such files and was not prepared.
    """
    work = output / NAME
    found = [name for name in others if (output / name).exists()]
    if found and not (output / report).exists() and not work.exists():  # of a run that was killed, one is there
        raise InputError(
            f"{output / found[0]}: is there and was not made by prepare_data.py; choose an --output of its own"
        )
    lock = FileLock(output / LOCK, blocking=False)
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{output}: another prepare_data.py is writing to it; wait for it to end") from None
    except OSError as error:
        raise _not_writable(output, error) from None
    try:
        try:
            _move_in(output)
            shutil.rmtree(work, ignore_errors=True)  # of a run that was interrupted
            work.mkdir()
        except OSError as error:
            raise _not_writable(output, error) from None
        with forks_end_with_us():
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        (output / LOCK).unlink(missing_ok=True)
        if not any(output.iterdir()):  # nothing came of it
            output.rmdir()
        lock.release()


def _not_writable(output: Path, error: OSError) -> InputError:
    return InputError(f"{output}: cannot be written to ({error.strerror}); choose another --output")


def deliver(work: Path, names: Sequence[str]) -> None:
    """Move the files ``names`` of the workspace ``work`` into its output: all of them, or none.

    A process that is killed meanwhile leaves the rest for the next one. The last name is the last to be there.
    """
    done = work / DONE
    done.mkdir()
    for number, name in enumerate(names):
        os.replace(work / name, done / f"{number:02}-{name}")
    os.replace(done, work.parent / DONE)  # from here on, they count
    _move_in(work.parent)


def _move_in(output: Path) -> None:
    done = output / DONE
    if done.is_dir():
        for path in sorted(done.iterdir()):
            os.replace(path, output / path.name.partition("-")[2])
        done.rmdir()


def check_apart(source: str, output: Path, names: Collection[str]) -> None:
    """Raise :class:`InputError` where files of ``output`` would be read the next time, or be written over the source.

    Args:
        source: a file, a folder, or nothing that is here.
        names: of the files that are written into ``output``.
    """
    path, written = Path(source).resolve(), output.resolve()
    if path.is_dir() and written.is_relative_to(path):
        raise InputError(f"{output}: lies in {source}, of which all files are read; choose an --output beside it")
    if path.parent == written and path.name in names:
        raise InputError(f"{source}: would be written over, it is a file of --output {output}; choose another one")
