"""A run by the name that a user gives: a run directory, or a version published on the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from osler.errors import InputError
from osler.runs.run import Run
from osler.storage import hub

REPOSITORY = re.compile(r"(?P<repo_id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class FoundRun:
    """A run, and the ``revision`` and ``commit`` of a published version; None for a run directory."""

    run: Run
    revision: str | None = None
    commit: str | None = None


def find_run(name: str) -> FoundRun:
    """The run that ``name`` means: a run directory, or ``USER/NAME[@REVISION]`` on the Hub (``main`` by default), which
    is downloaded once.

    Raises :class:`InputError` where it is neither, or the version cannot be had.
    """
    path = Path(name)
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
