"""Situations from public bug reports and real files end as they should: read, counted, or refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from public_cases import CASES, EXPECTED, outcome

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not here")]


@pytest.mark.parametrize("file", EXPECTED)
def test_a_public_situation_is_read_counted_or_refused(file: str, tmp_path: Path) -> None:
    _, rows, words = EXPECTED[file]
    found = outcome(file, tmp_path)
    assert found.rows == rows, found.said
    assert words in found.said


def test_every_file_of_the_public_situations_is_tried() -> None:
    files = {path.relative_to(CASES).as_posix() for path in CASES.glob("*/*") if path.name != "EXPECTED.txt"}
    assert files == set(EXPECTED)
