"""Where Osler's own files are: the clone that the package is installed from, and the package itself."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""``src/osler``: templates, metric modules and schemas are in it."""

ROOT = PACKAGE.parents[1]
"""The clone: ``recipes/``, ``tasks/``, ``scripts/``, ``constraints.txt``."""
