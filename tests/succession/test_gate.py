"""The gate refuses each of these bad successors for its own fault, and lets a good one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from osler.runs import Calibration, Prediction
from osler.succession import Answered, Contest, Rules, judge

LABELS = tuple(f"disease {letter}" for letter in "abcdefgh")
FITTED = Calibration(temperature=1.0)
SIZES = {"test": 800, "new": 240}


def case(split: str, number: int, answer: str, sure: float, label: str | None = None) -> Prediction:
    """A case whose label and sex follow from its number."""
    others = [name for name in LABELS if name != answer]
    rest = (1 - sure) / len(others)
    return Prediction(
        case_id=f"{split}-{number}",
        task="dx",
        split=split,
        system="model",
        label=label or LABELS[number % len(LABELS)],
        ranked=(answer, *others),
        probabilities=(sure, *[rest] * len(others)),
        subgroups={"sex": "female" if number // len(LABELS) % 4 == 0 else "male"},
        case_sha256=f"hash of {split}-{number}",
    )


def answers(split: str, accuracy: float, seed: int, like: Answered | None = None) -> Answered:
    """A calibrated model: ``accuracy`` of its answers are right, and it is as sure as that; most are those of
    ``like``."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(SIZES[split]):
        if like is not None and draw.random() < 0.9:
            rows.append(like.rows[number])
            continue
        label = LABELS[number % len(LABELS)]
        wrong = LABELS[(number + 1 + int(draw.integers(6))) % len(LABELS)]
        rows.append(case(split, number, label if draw.random() < accuracy else wrong, accuracy))
    return Answered(rows, FITTED)


def contests() -> dict[str, Contest]:
    made = {}
    for split in SIZES:
        champion = answers(split, 0.7, 1)
        challenger = answers(split, 0.74, 2, champion)
        hashes = {row.case_id: row.case_sha256 or "" for row in champion.rows}
        made[split] = Contest(champion, challenger, hashes, seen=0)
    return made


def changed(
    split: str, change: Callable[[int, Prediction], Prediction], fitted: Calibration = FITTED
) -> dict[str, Contest]:
    """A good successor but for what ``change`` makes of its answers to ``split``."""
    made = contests()
    rows = [change(number, row) for number, row in enumerate(made[split].challenger.rows)]
    made[split] = replace(made[split], challenger=Answered(rows, fitted))
    return made


def failed(contests: dict[str, Contest]) -> list[str]:
    return [check.name for check in judge(contests, Rules()) if not check.passed]


def wrong(row: Prediction, sure: float = 0.7) -> Prediction:
    answer = next(label for label in LABELS if label != row.label)
    number = int(row.case_id.split("-")[1])
    return case(row.split, number, answer, sure)


def trained_on_test() -> dict[str, Contest]:
    made = changed("test", lambda number, row: case("test", number, row.label, 0.99))
    made["test"] = replace(made["test"], seen=800)
    return made


def wrong_labels() -> dict[str, Contest]:
    """Learnt from verdicts that are wrong in every fifth case."""
    return changed("test", lambda number, row: wrong(row) if number % 5 == 0 else row)


def a_subgroup_lost() -> dict[str, Contest]:
    """Women, a quarter of the cases, are answered worse, men better: all in all nothing is lost."""

    def change(number: int, row: Prediction) -> Prediction:
        if row.subgroups["sex"] == "female":
            return wrong(row) if number % 3 else row
        return case("test", number, row.label, 0.7) if number % 4 else row

    return changed("test", change)


def overconfident() -> dict[str, Contest]:
    return changed("test", lambda number, row: case("test", number, row.answer, 0.999))


def forgot_a_disease() -> dict[str, Contest]:
    """One label of eight is never answered any more, where the others are answered better."""

    def change(number: int, row: Prediction) -> Prediction:
        if row.label == LABELS[3]:
            return wrong(row)
        return case("test", number, row.label, 0.7) if number % 3 == 0 else row

    return changed("test", change)


def fails_new_cases() -> dict[str, Contest]:
    return changed("new", lambda number, row: wrong(row) if number % 4 == 0 else row)


def left_hard_cases_out() -> dict[str, Contest]:
    made = contests()
    rows = [row for row in made["test"].challenger.rows if row.correct]
    made["test"] = replace(made["test"], challenger=Answered(rows, FITTED))
    return made


def easier_labels() -> dict[str, Contest]:
    """The frozen test's labels were changed to what the successor answers."""
    return changed("test", lambda number, row: replace(row, label=row.answer, case_sha256=f"other {number}"))


def always_one_label() -> dict[str, Contest]:
    return changed("test", lambda number, row: case("test", number, LABELS[0], 0.125))


def not_calibrated() -> dict[str, Contest]:
    return changed("test", lambda _, row: row, Calibration())


def no_probabilities() -> dict[str, Contest]:
    return changed("test", lambda _, row: replace(row, probabilities=None))


def no_new_cases() -> dict[str, Contest]:
    made = contests()
    del made["new"]
    return made


BAD = {
    trained_on_test: "test was not trained on",
    wrong_labels: "accuracy on test",
    a_subgroup_lost: "no subgroup and no label got worse",
    overconfident: "calibration on test",
    forgot_a_disease: "nothing forgotten",
    fails_new_cases: "accuracy on new",
    left_hard_cases_out: "both answered every case of test",
    easier_labels: "both answered every case of test",
    always_one_label: "accuracy on test",
    not_calibrated: "calibration on test",
    no_probabilities: "calibration on test",
    no_new_cases: "both answered every case of new",
}


def test_a_good_successor_passes() -> None:
    checks = judge(contests(), Rules())
    assert not [check for check in checks if not check.passed]
    assert len(checks) == 9


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_successor_is_refused_for_its_fault(bad: Callable[[], dict[str, Contest]]) -> None:
    assert BAD[bad] in failed(bad())


@pytest.mark.parametrize("bad", [trained_on_test, a_subgroup_lost, overconfident, forgot_a_disease, fails_new_cases])
def test_such_a_fault_does_not_show_in_the_accuracy_on_test(bad: Callable[[], dict[str, Contest]]) -> None:
    assert "accuracy on test" not in failed(bad())


def test_few_new_cases_show_nothing_even_if_both_models_agree() -> None:
    made = contests()
    rows = made["new"].champion.rows[:20]
    few = Contest(
        Answered(rows, FITTED), Answered(rows, FITTED), {row.case_id: row.case_sha256 or "" for row in rows}, 0
    )
    assert failed(made | {"new": few}) == ["accuracy on new"]


def test_cases_of_one_publication_count_as_few() -> None:
    made = contests()
    for split, contest in made.items():
        sides = [
            Answered([replace(row, group=f"paper {number // 40}") for number, row in enumerate(side.rows)], FITTED)
            for side in (contest.champion, contest.champion)
        ]
        made[split] = replace(contest, champion=sides[0], challenger=sides[1])
    assert {"accuracy on test", "accuracy on new"} <= set(failed(made))


def test_the_same_model_again_is_no_worse() -> None:
    made = {split: replace(one, challenger=one.champion) for split, one in contests().items()}
    assert failed(made) == []
