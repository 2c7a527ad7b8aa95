"""The swap tests on the texts that a service kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streams

from osler.errors import InputError
from osler.evaluation import stream
from osler.evaluation.robustness import planned_perturbations
from osler.feedback import StoredPrediction, Verdict
from osler.monitoring import ACCURACY, FLIPS
from osler.monitoring.alarms import lines
from osler.monitoring.page import render
from osler.monitoring.watching import Watch
from osler.runs.predictions import Prediction
from osler.runs.results import PerturbedRecord
from osler.runs.run import Run
from osler.storage.contracts import validated
from osler.tasks import SWAPS

SIGNS = ("muscle weakness", "a heart murmur", "thirst", "fever")
SEX, AGE = planned_perturbations(SWAPS)


def answers(n: int, flipped: int, labels: bool = True) -> tuple[list[Prediction], list[Prediction]]:
    """Right answers to ``n`` texts, and to the same with the sex exchanged, ``flipped`` of them wrong."""
    label = (lambda _: "a") if labels else (lambda _: stream.UNSETTLED)
    before = [
        Prediction(f"{case}", "made_up", stream.SPLIT, "tiny", label(case), ("a", "b"), (0.75, 0.25))
        for case in range(n)
    ]
    after = [
        replace(row, ranked=("b", "a")) if number < flipped else replace(row, probabilities=(0.5, 0.5))
        for number, row in enumerate(before)
    ]
    return before, after


def evaluated(n: int = 200, flipped: int = 10) -> PerturbedRecord:
    before, after = answers(n, flipped)
    (record,) = stream.robustness(before, {SEX: after})
    return validated(PerturbedRecord, record, "robustness.json")


def test_what_a_swap_does_to_answers_and_to_accuracy() -> None:
    before, after = answers(40, 10)
    sex, age = sorted(stream.compare(before, {SEX: after, AGE: []}), key=lambda swap: -swap.n)
    assert (sex.n, sex.unchanged, sex.judged) == (40, 0, 40)
    assert sex.flip_rate is not None
    assert sex.flip_rate.value == 0.25
    assert sex.change is not None
    assert sex.change.value == -0.25
    assert sex.probability is not None
    assert sex.probability.value == pytest.approx(10 / 40 * (0.25 - 0.75) + 30 / 40 * (0.5 - 0.75))
    assert (age.n, age.flip_rate, age.change) == (0, None, None)


def test_cases_that_nobody_settled_count_for_answers_and_not_for_accuracy() -> None:
    before, after = answers(40, 10, labels=False)
    (sex,) = stream.compare(before, {SEX: after})
    assert sex.flip_rate is not None
    assert (sex.judged, sex.accuracy, sex.change) == (0, None, None)


@pytest.mark.parametrize(("flipped", "alarms"), [(10, 0), (160, 2)])
def test_more_than_in_the_evaluation_is_an_alarm(flipped: int, alarms: int, watch: Watch) -> None:
    before, after = answers(200, flipped)
    (sex,) = stream.against(stream.compare(before, {SEX: after}), {"sex_swap": evaluated()})
    assert set(sex.differs) == {FLIPS, ACCURACY}
    told = watch.report(streams.stored(streams.cases(60), watch.manifest.adapter_sha256), swaps=[sex])
    raised = [alarm for alarm in told.alarms if alarm.about.startswith("sex_swap")]
    assert len(raised) == alarms
    assert f"sex swap: another first answer to {flipped / 200:.3f}" in "\n".join(lines(told))
    assert "Does sex or age alone change the answer?" in render(told)


def test_an_evaluation_without_swaps_is_no_alarm() -> None:
    before, after = answers(200, 160)
    (sex,) = stream.against(stream.compare(before, {SEX: after}), {})
    assert (sex.evaluated, sex.differs) == (None, {})


@pytest.fixture(scope="module")
def watch(evaluated_run: Path) -> Watch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSLER_DATA_DIR", str(evaluated_run.parents[2] / "data"))
        return Watch(Run(evaluated_run))


def kept(n: int, text: str | None = "A {age}-year-old girl has {sign}.", **changes: Any) -> list[StoredPrediction]:
    """What a service kept of ``n`` questions."""
    texts = [text and text.format(age=5 + number, sign=SIGNS[number % 4]) for number in range(n)]
    rows = zip(streams.stored(streams.cases(n), "0" * 64, **changes), texts, strict=True)
    return [one.model_copy(update={"text": told, "text_hmac": f"{told}"}) for one, told in rows]


def test_the_model_is_asked_what_a_store_kept(evaluated_run: Path) -> None:
    asked = kept(12)
    verdicts = [
        Verdict(prediction=one.id, rater="ana", at=streams.START, right=False, label="fever") for one in asked[:4]
    ]
    told = {swap.swap: swap for swap in stream.swaps(Run(evaluated_run), asked, verdicts)}
    assert set(told) == {"sex_swap", "age_swap"}
    for swap in told.values():
        assert (swap.n, swap.unchanged, swap.judged) == (12, 0, 4)
        assert swap.flip_rate is not None
        assert swap.probability is not None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (kept(12, None), r"--swaps: the store keeps no text of these 12 answers; serve with .*--keep-text"),
        (kept(12, "Has {sign}."), "of 12 kept texts 0 say a sex or an age that can be exchanged; at least 10"),
        (kept(4), "of 4 kept texts 4 say"),
    ],
)
def test_what_cannot_be_tested_is_said_in_a_line(asked: list[StoredPrediction], said: str, evaluated_run: Path) -> None:
    with pytest.raises(InputError, match=said) as refused:
        stream.swaps(Run(evaluated_run), asked)
    assert "\n" not in str(refused.value)
