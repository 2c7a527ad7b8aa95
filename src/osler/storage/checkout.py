"""Where Osler's own files are: the clone that the package is installed from, the package itself, a user's project."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""``src/osler``: templates, metric modules and schemas are in it."""

ROOT = PACKAGE.parents[1]
"""The clone: ``recipes/``, ``tasks/``, ``scripts/``, ``constraints.txt``."""


def root_with(path: Path, pattern: str) -> Path | None:
    """The nearest folder, from ``path`` upwards and then the working directory, below which ``pattern`` matches."""
    here = Path(os.path.abspath(path))  # not resolve(): in the Hub's cache a file is a link to a blob far away
    itself = [here] if os.path.isdir(here) else []
    return next((root for root in [*itself, *here.parents, Path.cwd()] if any(root.glob(pattern))), None)
