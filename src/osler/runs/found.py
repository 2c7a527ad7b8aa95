"""A run by the name that a user gives: a run directory, that in use of several, or a version published on the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from osler.errors import InputError
from osler.runs.run import Run
from osler.storage import FileContract, hub, model_fingerprint, read_model

IN_USE = "in_use.json"
REPOSITORY = re.compile(r"(?P<repo_id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


class InUse(FileContract):
    """``in_use.json`` in a folder of runs: which of them answers.

    Attributes:
        run: its directory, relative to the folder.
        weights_sha256: of its weights when it was put in use.
        before: the directories of those that answered before, the last one last.
    """

    run: str
    weights_sha256: str
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundRun:
    """A run, and the ``revision`` and ``commit`` of a published version; None for a run directory."""

    run: Run
    revision: str | None = None
    commit: str | None = None


def find_run(name: str) -> FoundRun:
    """The run that ``name`` means: a run directory, a folder of runs of which one is in use, or
    ``USER/NAME[@REVISION]`` on the Hub (``main`` by default), which is downloaded once.

    Raises :class:`InputError` where it is none of them, the version cannot be had, or the run in use has other weights
    than when it was put in use.
    """
    path = Path(name)
    if (path / IN_USE).is_file():
        return FoundRun(_in_use(path))
    if path.is_dir():
        return FoundRun(Run(path))
    repository = REPOSITORY.fullmatch(name)
    if repository is None:
        raise InputError(f"{name}: no run directory, and no USER/NAME[@REVISION] of the Hub")
    revision = repository["revision"] or "main"
    try:
        folder, commit = hub.download(repository["repo_id"], revision)
    except InputError as error:
        raise InputError(f"{name}: no run directory of this name is here, and: {error}") from None
    return FoundRun(Run(folder), revision, commit)


def _in_use(folder: Path) -> Run:
    chosen = read_model(folder / IN_USE, InUse)
    run = Run(folder / chosen.run)
    if not run.adapter_path.is_dir() or model_fingerprint(run.adapter_path) != chosen.weights_sha256:
        raise InputError(
            f"{folder / IN_USE}: {run.folder} is gone, or its weights are not those that were put in use; bring them"
            " back, or go back a version: scripts/update.py --rollback"
        )
    return run
