"""The ledger shows what was changed in it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from osler.errors import InputError
from osler.governance import Ledger, project_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("started", "project", {})
    ledger.append("model", "dx@1.0.0", {"weights_sha256": "ab", "accuracy": 0.25})
    ledger.append("decision", "dx@1.0.0", {"accepted": True}, by="Ada Médica")
    return ledger


def test_entries_are_read_back_and_verified(ledger: Ledger) -> None:
    entries = list(ledger.entries())
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert entries[1].content == {"weights_sha256": "ab", "accuracy": 0.25}
    assert entries[2].by == "Ada Médica"
    assert ledger.verify() == (3, entries[-1].sha256)
    assert ledger.verify(head=entries[1].sha256)[0] == 3


def edit(ledger: Ledger, change: str) -> None:
    lines = ledger.path.read_text().splitlines()
    if change == "changed":
        lines[1] = lines[1].replace("0.25", "0.52")
    elif change == "changed with its hash":
        content = json.loads(lines[1])
        content["content"]["accuracy"] = 0.52
        lines[1] = json.dumps(content)
    elif change == "taken out":
        del lines[1]
    elif change == "moved":
        lines[1], lines[2] = lines[2], lines[1]
    elif change == "torn":
        lines[1] = lines[1][:40]
    elif change == "doubled":
        lines.insert(1, lines[1])
    ledger.path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        ("changed", 2, "entry 2 was changed"),
        ("changed with its hash", 2, "entry 2 was changed"),
        ("taken out", 2, "entry 3 does not follow"),
        ("moved", 2, "entry 3 does not follow"),
        ("torn", 2, "no entry of a ledger"),
        ("doubled", 3, "entry 2 does not follow"),
    ],
)
def test_the_first_bad_entry_is_named_and_nothing_is_added_behind_it(
    ledger: Ledger, change: str, line: int, said: str
) -> None:
    edit(ledger, change)
    before = ledger.path.read_bytes()
    for broken in (ledger.verify, lambda: ledger.append("model", "dx@2.0.0", {})):
        with pytest.raises(InputError, match=f"ledger.jsonl:{line}: {said}"):
            broken()
    assert ledger.path.read_bytes() == before


def test_a_cut_end_shows_against_a_hash_that_stands_elsewhere(ledger: Ledger) -> None:
    _, head = ledger.verify()
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("\n".join(lines[:-1]) + "\n")
    assert ledger.verify()[0] == 2  # the chain alone does not show it
    with pytest.raises(InputError, match="entries are missing at its end"):
        ledger.verify(head)


def test_several_at_once_make_one_chain(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ledger.append("data", f"task@{number}", {}), range(24)))
    assert ledger.verify()[0] == 24


def test_a_project_without_a_ledger_keeps_none(tmp_path: Path) -> None:
    assert project_ledger(tmp_path) is None
    Ledger(tmp_path / "ledger.jsonl").append("started", "project", {})
    assert project_ledger(tmp_path) is not None
