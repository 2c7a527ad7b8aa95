"""What is deleted from a store is gone, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from kept import prediction, verdict
from project import script

from osler.errors import InputError
from osler.feedback.forgetting import Forgotten, forget
from osler.feedback.store import Store, open_store
from osler.governance import Ledger

SECRET = "an unmistakable complaint about a dislocated lens"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four answers; the second is about a patient and judged, the last has a text of its own."""
    opened = open_store(str(tmp_path / "answers.db"), create=True)
    made = [prediction(n, text=f"{SECRET} {n}") for n in range(4)]
    made[1] = made[1].model_copy(update={"patient_hmac": opened.patient_hmac("MRN-7")})
    made[3] = made[3].model_copy(update={"text_hmac": opened.text_hmac("what was asked")})
    opened.add_predictions(made)
    opened.add_verdict(verdict(1, comment="said by the patient"))
    return opened


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("answers.db*")))


def test_answers_before_a_time_go_with_their_verdicts_and_their_bytes(store: Store, tmp_path: Path) -> None:
    third = next(one for one in store.predictions() if one.id == "case-2")
    assert SECRET.encode() + b" 1" in bytes_of(tmp_path)
    assert forget(store, before=third.at) == Forgotten(2, 1)
    assert [one.id for one in store.predictions()] == ["case-2", "case-3"]
    assert list(store.verdicts()) == []
    assert SECRET.encode() + b" 1" not in bytes_of(tmp_path)
    assert SECRET.encode() + b" 2" in bytes_of(tmp_path)
    assert forget(store, before=third.at - timedelta(days=1)) == Forgotten(0, 0)


def test_a_patient_and_a_text_are_found_by_their_hashes(store: Store) -> None:
    assert forget(store, patients=["MRN-7", "MRN-8"], texts=["what was asked"]) == Forgotten(2, 1)
    assert [one.id for one in store.predictions()] == ["case-0", "case-2"]


def test_texts_alone_may_go(store: Store, tmp_path: Path) -> None:
    assert forget(store, patients=["MRN-7"], texts_only=True) == Forgotten(1, 1)
    (kept,) = [one for one in store.predictions() if one.id == "case-1"]
    assert kept.text is None
    assert [(one.right, one.comment) for one in store.verdicts()] == [(True, None)]
    assert b"said by the patient" not in bytes_of(tmp_path)


def test_nothing_is_deleted_where_nothing_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="name a time, a patient or a text"):
        forget(store)
    assert len(list(store.predictions())) == 4


def test_the_script_says_how_many_and_a_ledger_keeps_it(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("started", "clinic", {})
    done = script(tmp_path, "forget", "answers.db", "--before", "2100-01-01")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "answers.db: 4 answers and 1 verdicts are gone\n"
    *_, last = ledger.entries()
    assert (last.kind, last.content["answers"], last.content["before"]) == ("data", 4, "2100-01-01")
    wrong = script(tmp_path, "forget", "answers.db", "--before", "spring")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "expected 2026-11-01" in wrong.stderr
