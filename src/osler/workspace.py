"""The folder in which a preparation works until all is done: inside its output, and one process's alone."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from osler.errors import InputError

NAME = ".preparing"


@contextmanager
def workspace(output: Path, report: str, others: Collection[str]) -> Iterator[Path]:
    """An empty folder inside ``output``, removed at the end; ``output`` too, where nothing came of it.

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
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = os.open(output, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{output}: cannot be written to ({error.strerror}); choose another --output") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(work, ignore_errors=True)  # of a run that was interrupted
        work.mkdir()
    except BlockingIOError:
        os.close(lock)
        raise InputError(f"{output}: another prepare_data.py is writing to it; wait for it to end") from None
    except OSError as error:
        os.close(lock)
        raise InputError(f"{output}: cannot be written to ({error.strerror}); choose another --output") from None
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not any(output.iterdir()):  # nothing came of it
            output.rmdir()
        os.close(lock)


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
