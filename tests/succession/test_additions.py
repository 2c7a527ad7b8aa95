"""Settled cases go where related ones are, and none has anything to do with a test case."""

from __future__ import annotations

import pytest
from kept import prediction, verdict

from osler.errors import InputError
from osler.feedback import RankedName
from osler.succession import divide
from osler.succession.additions import Settled
from osler.tasks import Case

LABELS = {"a": "anaemia", "b": "beriberi"}
WORDS = ("fever", "thirst", "tremor", "rash", "oedema", "vertigo", "jaundice", "cramps", "dyspnoea", "pallor")


def told(n: int) -> str:
    """A text that is like no other one's."""
    return " ".join(f"{word}{n * 7919 % (13 + 2 * place)}x{n}" for place, word in enumerate(WORDS))


def old(n: int, split: str) -> list[Case]:
    return [Case(case_id=f"{split}-{i}", text=told(i + 10_000 * len(split)), label="anaemia") for i in range(n)]


def settled(n: int, patient: str | None) -> Settled:
    made = prediction(
        n, text=told(n), task="t", patient_hmac=patient, diagnoses=(RankedName(label="a", probability=1),)
    )
    return made, verdict(n)


def test_the_cases_of_one_patient_fall_into_one_split() -> None:
    patients = 30
    found = divide(
        {"train": old(8, "train"), "validation": old(4, "validation"), "test": old(4, "test")},
        [settled(n, f"patient {n % patients}") for n in range(3 * patients)],
        "t",
        LABELS,
    )
    where = {case.case_id: (split, case.group) for split, cases in found.splits.items() for case in cases}
    of = {n: {where[f"feedback-{n + more * patients:016x}"] for more in range(3)} for n in range(patients)}
    assert all(len(places) == 1 for places in of.values())
    assert {split for places in of.values() for split, _ in places} >= {"train", "new"}
    assert sum(found.added.values()) == 3 * patients


def test_a_patient_that_a_successor_learnt_from_before_is_never_judged_on() -> None:
    known = [Case(case_id="feedback-earlier", text=told(999), label="anaemia", group="patient-ada")]
    others = [settled(n, None) for n in range(20)]
    found = divide(
        {"train": [*old(8, "train"), *known], "test": old(4, "test")},
        [*others, *(settled(n, "ada") for n in range(30, 40))],
        "t",
        LABELS,
    )
    assert {case.group for case in found.splits["new"]} == {None}
    assert sum(case.group == "patient-ada" for case in found.splits["train"]) == 11


def test_a_patient_of_the_test_is_left_out() -> None:
    test = [*old(3, "test"), Case(case_id="test-ada", text=told(77), label="anaemia", group="patient-ada")]
    with pytest.raises(InputError, match="3: has its like among the test cases"):
        divide({"train": old(8, "train"), "test": test}, [settled(n, "ada") for n in range(3)], "t", LABELS)
