"""The made-up run of the tests, watched where its texts are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from osler.monitoring.watching import Watch
from osler.runs.run import Run


@pytest.fixture(scope="module")
def texts_here(evaluated_run: Path) -> Iterator[None]:
    """The texts of ``evaluated_run`` are on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSLER_DATA_DIR", str(evaluated_run.parents[2] / "data"))
        yield


@pytest.fixture(scope="module")
def watch(evaluated_run: Path, texts_here: None) -> Watch:
    return Watch(Run(evaluated_run))
