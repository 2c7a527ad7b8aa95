"""Where the made-up task of the tests has its texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def texts_here(evaluated_run: Path) -> Iterator[None]:
    """The texts of ``evaluated_run`` are on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSLER_DATA_DIR", str(evaluated_run.parents[2] / "data"))
        yield
