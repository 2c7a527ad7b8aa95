"""Work in a folder inside the output, which only one process uses, and move the files into place when all are done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from osler.errors import InputError
from osler.storage import forks_end_with_us, naming, write_atomically

WORK_FOLDER = ".preparing"
TASKS_FOLDER = ".preparing-tasks"  # what the tasks of datatrove leave, until all is done
FINISHED_FOLDER = ".prepared"  # finished files on their way into the output
LOCK_FILE = ".preparing.lock"
IGNORE_FILE = ".gitignore"
IGNORED = "# Texts of patients: scripts/prepare_data.py keeps all of this folder out of git.\n*\n"


@contextmanager
def workspace(output: Path, report: str, others: Collection[str]) -> Iterator[Path]:
    """An empty folder inside ``output``. At the end it is removed, and so is ``output`` if it is empty. A
    ``.gitignore`` keeps ``output`` out of git from the beginning.

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
    lock = FileLock(output / LOCK_FILE, blocking=False)
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{output}: another prepare_data.py is writing to it; wait for it to end") from None
    except OSError as error:
        raise _not_writable(output, error) from None
    ignores_nothing, came_of_it = not (output / IGNORE_FILE).exists(), False
    try:
        try:
            _move_finished(output)
            shutil.rmtree(work, ignore_errors=True)  # of a run that was interrupted
            work.mkdir()
            if ignores_nothing:  # what its owner wrote there stays
                write_atomically(output / IGNORE_FILE, IGNORED)
        except OSError as error:
            raise _not_writable(output, error) from None
        with forks_end_with_us(), naming(output):
            yield work
        came_of_it = (output / report).exists()
    finally:
        if ignores_nothing and not came_of_it:
            (output / IGNORE_FILE).unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        (output / LOCK_FILE).unlink(missing_ok=True)
        if not any(output.iterdir()):
            output.rmdir()
        lock.release()


def _not_writable(output: Path, error: OSError) -> InputError:
    return InputError(f"{output}: cannot be written to ({error.strerror}); choose another --output")


def tasks_folder(work: Path, name: str) -> Path:
    """The folder ``name`` beside the workspace ``work``, which an interrupted run leaves, and the only one of its kind.

    It is kept out of git like all of the output, and even where nothing came of the output.
    """
    folder = work.parent / TASKS_FOLDER / name
    if not folder.is_dir():
        remove_tasks(work)
        folder.mkdir(parents=True)
        write_atomically(folder.parent / IGNORE_FILE, IGNORED)
    return folder


def remove_tasks(work: Path) -> None:
    """Remove what tasks left."""
    shutil.rmtree(work.parent / TASKS_FOLDER, ignore_errors=True)


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
