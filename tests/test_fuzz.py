"""No file that is wrong somewhere inside ends in a traceback, or never."""

from __future__ import annotations

import shutil
from pathlib import Path

import fuzzing
import pytest

MUTATIONS = 300  # of each type of file
USES = 3  # of each type, with what the scripts do with it


@pytest.mark.slow
def test_a_file_that_is_wrong_anywhere_ends_in_one_line(
    finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rows = fuzzing.rows(tmp_path, MUTATIONS, USES)
    assert len(rows) == 11
    for row in rows:
        assert (row.tracebacks, row.hangs) == (0, 0), f"{row.file}: {row.first}"
        assert row.mutations == MUTATIONS
        assert row.refused > MUTATIONS // 10, f"{row.file}: nearly everything is let in"


@pytest.mark.parametrize("fault", [lambda: [][0], lambda: [None for _ in iter(int, 1)]])
def test_a_traceback_and_a_hang_would_be_seen(fault: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "HANG", 0.2)
    assert callable(fault)
    end = fuzzing.ended(fault)
    assert end == "hang" or "IndexError" in str(end)
