"""``in_use.json``: which version of a model answers, and which one answered before it."""

from __future__ import annotations

import os
from pathlib import Path

from osler.errors import InputError
from osler.governance import Ledger
from osler.runs import IN_USE, InUse, Run
from osler.storage import read_model, write_model
from osler.succession.planning import contestant


def put_in_use(folder: Path, run: Run, by: str, ledger: Ledger) -> InUse:
    """From now on ``run`` is what ``folder`` means to a server that starts; the one before stays, to go back to.

    Raises :class:`InputError` where the run is not what it was trained as.
    """
    path = folder / IN_USE
    before = read_model(path, InUse) if path.is_file() else None
    name = os.path.relpath(run.folder, folder)
    return _write(folder, name, (*before.before, before.run) if before else (), by, ledger)


def roll_back(folder: Path, by: str, ledger: Ledger) -> InUse:
    """Put the version before in use again.

    Raises :class:`InputError` where there is none, or it is no longer what it was trained as.
    """
    path = folder / IN_USE
    if not path.is_file():
        raise InputError(f"{path}: is not there: no version was put in use by scripts/update.py")
    now = read_model(path, InUse)
    if not now.before:
        raise InputError(f"{path}: there is no version before {now.run}")
    return _write(folder, now.before[-1], now.before[:-1], by, ledger, rolled_back=now.run)


def _write(folder: Path, name: str, before: tuple[str, ...], by: str, ledger: Ledger, **noted: str) -> InUse:
    run = Run(folder / name)
    found = contestant(run, run.recipe())
    now = InUse(schema=1, run=name, weights_sha256=found.weights_sha256, before=before)
    ledger.append("in use", f"{found.name}@{found.version}", now.model_dump(mode="json") | noted, by=by)
    write_model(folder / IN_USE, now)
    return now
