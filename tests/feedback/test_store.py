"""What was kept is there, in both databases, whoever writes and whatever ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from kept import START, prediction, verdict
from project import ROOT

from osler.errors import FailedError, InputError
from osler.feedback.records import settle
from osler.feedback.store import SecondVerdictError, Store, UnknownPredictionError, open_store

TESTS = Path(__file__).parents[1]


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url, create=True)
    yield opened
    opened.close()


def test_what_was_kept_is_read_as_it_was(store: Store) -> None:
    bare = {"findings": (), "subgroups": {}, "diagnoses": (), "abstained": True, "language": None, "shown": False}
    elsewhere = START.astimezone(timezone(timedelta(hours=5)))
    new = [prediction(1), prediction(0, text="Blass, 12 kg.\0 Ωμέγα", at=elsewhere), prediction(2, **bare)]
    assert store.add_predictions(new) == 3
    assert store.add_predictions([]) == 0
    kept = list(store.predictions())
    assert kept[1:] == [new[0], new[2]]
    assert kept[0] == prediction(0, text="Blass, 12 kg.\N{REPLACEMENT CHARACTER} Ωμέγα")
    given = [
        verdict(0, codes=("plausible",), comment="clear", blinded=True, own_label="OMIM:154700"),
        verdict(1, right=False, label="OMIM:163950", rater="Zoë, ward 7"),
    ]
    for one in given:
        store.add_verdict(one)
    assert list(store.verdicts()) == given
    assert store.prediction("case-1") == new[0]


def test_predictions_come_in_the_order_of_their_times_between_two_of_them(store: Store) -> None:
    store.add_predictions([prediction(n, model="other" if n % 3 == 0 else "canned") for n in reversed(range(1200))])
    ids = [int(one.id.removeprefix("case-")) for one in store.predictions("canned")]
    assert ids == [n for n in range(1200) if n % 3]
    since, until = START + timedelta(minutes=10), START + timedelta(minutes=13)
    assert [one.id for one in store.predictions(since=since, until=until)] == ["case-10", "case-11", "case-12"]
    assert not list(store.predictions(shown=False))
    store.add_verdict(verdict(10))
    store.add_verdict(verdict(12))
    assert [(p.id, [v.rater for v in of]) for p, of in store.judged("other")] == [("case-12", ["ada"])]
    assert [one.prediction for one in store.verdicts("canned")] == ["case-10"]


def test_a_store_may_be_written_while_it_is_read(store: Store) -> None:
    store.add_predictions([prediction(n) for n in range(1000)])
    for one in store.predictions():
        if one.id == "case-3":
            store.add_predictions([prediction(5000)])
    assert one.id == "case-999", "as it was when reading began"


def test_a_verdict_for_nothing_a_second_one_and_a_label_outside_the_task_are_refused(store: Store) -> None:
    store.add_predictions([prediction(0)])
    store.add_verdict(verdict(0))
    labels = {"OMIM:154700": "Marfan syndrome"}
    for error, said, wrong in (
        (UnknownPredictionError, "prediction case-9: not in", verdict(9)),
        (SecondVerdictError, 'prediction case-0: "ada" has judged it already', verdict(0, right=False)),
        (InputError, 'label: "OMIM:1" is none of the task\'s 1 labels', verdict(0, "bo", False, label="OMIM:1")),
        (InputError, "own_label", verdict(0, "bo", blinded=True, own_label="OMIM:15470")),
        (InputError, "is the answer's first diagnosis; say right", verdict(0, "bo", False, label="OMIM:154700")),
    ):
        with pytest.raises(error, match=said) as told:
            store.add_verdict(wrong, labels)
        assert "\n" not in str(told.value)
    store.add_verdict(verdict(0).model_copy(update={"at": START + timedelta(days=9)}), labels)
    assert list(store.verdicts()) == [verdict(0)], "what is sent again is kept once"
    with pytest.raises(InputError, match=r"prediction case-0: is in .* already, and is another one"):
        store.add_predictions([prediction(1), prediction(0, tokens=3)])
    assert [one.id for one in store.predictions()] == ["case-0"], "all or none"
    assert store.add_predictions([prediction(0), prediction(1)]) == 1, "the very same one is no fault"


def test_what_raters_disagree_on_is_settled_by_one_adjudicator(store: Store) -> None:
    store.add_predictions([prediction(n) for n in range(4)])
    for rater in ("ada", "bo"):
        store.add_verdict(verdict(0, rater))
        store.add_verdict(verdict(1, rater, right=rater == "bo"))
        store.add_verdict(verdict(2, rater, False, label=f"OMIM:{len(rater)}"))
    assert [(p.id, v.right) for p, v in store.settled()] == [("case-0", True)]
    store.add_verdict(verdict(1, "cy", False, adjudicated=True))
    with pytest.raises(SecondVerdictError, match="is adjudicated already"):
        store.add_verdict(verdict(1, "di", True, adjudicated=True))
    assert [(p.id, v.right) for p, v in store.settled()] == [("case-0", True), ("case-1", False)]
    assert settle([verdict(0, "ada", False), verdict(0, "bo", False, label="OMIM:1")]) is None


def test_the_same_text_has_the_same_hash_in_one_store_alone(store: Store, tmp_path: Path) -> None:
    other = open_store(str(tmp_path / "other.db"), create=True)
    assert store.text_hmac("cough") == store.text_hmac("cough")
    assert len({store.text_hmac("cough"), store.text_hmac("cough "), other.text_hmac("cough")}) == 3
    assert store.id != other.id
    other.close()


WRITER = """
import sys
from kept import prediction, verdict
from osler.feedback.store import open_store

store, first, number = open_store(sys.argv[1], create=True), int(sys.argv[2]), int(sys.argv[3])
for n in range(first, first + number):
    store.add_predictions([prediction(n)])
    store.add_verdict(verdict(n))
    print(n, flush=True)
"""


def writer(url: str, first: int, number: int) -> subprocess.Popen[str]:
    """A process that keeps so many predictions and verdicts, and prints each one's number once that is done."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(TESTS)])}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(first), str(number)],
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_processes_that_make_a_store_at_once_and_write_lose_nothing(url: str) -> None:
    writers = [writer(url, first, 50) for first in (0, 1000, 2000, 3000)]
    for one in writers:
        _, errors = one.communicate(timeout=120)
        assert (one.returncode, errors) == (0, "")
    store = open_store(url)
    numbers = {first + n for first in (0, 1000, 2000, 3000) for n in range(50)}
    assert {one.id for one in store.predictions()} == {f"case-{n}" for n in numbers}
    assert {one.prediction for one in store.verdicts()} == {f"case-{n}" for n in numbers}
    store.close()


def test_threads_of_one_process_write_at_once(store: Store) -> None:
    def keep(n: int) -> None:
        store.add_predictions([prediction(n)])
        store.add_verdict(verdict(n))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keep, range(200)))
    assert len(list(store.settled())) == 200


def test_a_killed_process_has_lost_nothing_that_it_was_told_is_kept(url: str) -> None:
    process = writer(url, 0, 1_000_000)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(100)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    told = [line for line in told if line.endswith("\n")]  # the last one may have been cut
    store = open_store(url)
    assert {one.prediction for one in store.verdicts()} >= {f"case-{int(line)}" for line in told}
    assert store.add_predictions([prediction(2_000_000)]) == 1, "and it goes on"
    store.close()


def test_a_full_disk_is_told_in_a_line_without_what_was_kept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "answers.db"), create=True)
    with store.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 40")  # of this connection, which the pool gives again
    with pytest.raises(FailedError, match=r"answers.db: database or disk is full$") as told:
        store.add_predictions([prediction(n, text="Lovelace " * 200) for n in range(100)])
    assert told.value.__cause__ is None
    assert "Lovelace" not in str(told.value)
    store.close()
