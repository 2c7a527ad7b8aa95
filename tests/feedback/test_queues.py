"""Who reviews sees each case once, in the order that was asked for, and disagreements come to the adjudicator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kept import prediction, verdict

from osler.feedback import RankedName
from osler.feedback.queues import Order, Progress, next_case, next_dispute, progress
from osler.feedback.store import Store, open_store

CONFIDENCE = {0: 0.9, 1: 0.2, 2: None, 3: 0.5, 4: 0.3}


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_store(url, create=True)
    new = [
        prediction(n, diagnoses=(RankedName(label="OMIM:154700", probability=p),), shown=n != 4)
        for n, p in CONFIDENCE.items()
    ]
    store.add_predictions(new)
    yield store
    store.close()


def seen(store: Store, rater: str, order: Order) -> list[int]:
    """The cases that a rater is shown one after the other, judging each."""
    numbers = []
    while (case := next_case(store, rater, order)) is not None:
        numbers.append(int(case.id.removeprefix("case-")))
        store.add_verdict(verdict(numbers[-1], rater))
    return numbers


def test_the_least_sure_come_first_and_what_users_never_saw_does_not(store: Store) -> None:
    assert seen(store, "ada", "unsure") == [2, 1, 3, 0]
    assert seen(store, "ada", "unsure") == []
    case = next_case(store, "bo", "unsure", skipped={"case-2"})
    assert case is not None
    assert case.id == "case-1"


def test_a_random_order_is_the_same_for_all_and_another_one(store: Store) -> None:
    store.add_predictions([prediction(n) for n in range(10, 60)])
    first = seen(store, "ada", "random")
    assert first == seen(store, "bo", "random")
    assert sorted(first) == [0, 1, 2, 3, *range(10, 60)]
    assert first != sorted(first)


def test_what_raters_disagree_on_waits_for_somebody_else(store: Store) -> None:
    for rater, right, label in (("ada", True, None), ("bo", False, None), ("cy", False, "OMIM:163950")):
        store.add_verdict(verdict(0, rater, right, label=label))
    for rater in ("ada", "bo"):
        store.add_verdict(verdict(1, rater))
        store.add_verdict(verdict(3, rater, False, label=f"OMIM:{rater}"))
    assert progress(store, "ada") == Progress(answers=4, judged=3, disputed=2)
    dispute = next_dispute(store, "di")
    assert dispute is not None
    assert dispute.id == "case-0"
    assert next_dispute(store, "ada") is None, "who took part does not settle it"
    store.add_verdict(verdict(0, "di", adjudicated=True))
    dispute = next_dispute(store, "di")
    assert dispute is not None
    assert dispute.id == "case-3"
    assert next_dispute(store, "di", skipped={"case-3"}) is None
    assert progress(store, "di") == Progress(answers=4, judged=1, disputed=1)
