"""Whether a successor may take a model's place: both models' answers to the same cases, held against the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from osler.runs import Calibration, Prediction
from osler.statistics import Floats, Ints, Resamples, intervals, number_groups, significance
from osler.succession.decision import Check, Rules

TEST, NEW = "test", "new"
RESAMPLES, SEED = 4000, 0


@dataclass(frozen=True)
class Answered:
    """What a model answered to the cases of a split, in their order, and the calibration of its evaluation."""

    rows: Sequence[Prediction]
    fitted: Calibration

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which answers are right, (cases,)."""
        return np.array([row.correct for row in self.rows], dtype=bool)

    @property
    def confidences(self) -> Floats | None:
        """The calibrated probability of each answer, (cases,); None where a case has no probabilities."""
        if any(row.probabilities is None for row in self.rows):
            return None
        return np.array([self.fitted.tempered(row.probabilities)[0] if row.probabilities else 0.0 for row in self.rows])


@dataclass(frozen=True)
class Contest:
    """Champion and challenger on one split, with how many of its cases stand in the training data of each.

    Attributes:
        cases_sha256: id to hash of the cases that were to be answered.
        seen: of the cases, how many stand in the challenger's training rows: word for word, nearly, or of the same
            patient or publication.
        seen_before: the same of the champion's; of a benchmark some may always have.
    """

    champion: Answered
    challenger: Answered
    cases_sha256: Mapping[str, str]
    seen: int
    seen_before: int = 0


def judge(contests: Mapping[str, Contest], rules: Rules) -> list[Check]:
    """Every check, in order. ``contests`` are those of the frozen ``test`` and of ``new`` cases.

    Where answers are missing or are to other cases, nothing else is checked: no number would mean anything.
    """
    same = [_same_cases(split, contests.get(split)) for split in (TEST, NEW)]
    if not all(check.passed for check in same):
        return same
    return [*same, *_compared(contests, rules)]


def _compared(contests: Mapping[str, Contest], rules: Rules) -> Iterator[Check]:
    for split, contest in contests.items():
        yield _unseen(split, contest)
    yield _not_inferior(TEST, contests[TEST], rules.margin)
    yield _not_inferior(NEW, contests[NEW], rules.new_margin)
    yield _calibrated(contests[TEST], rules)
    yield from _no_group_lost(contests, rules.level)
    yield _nothing_forgotten(contests[TEST], rules)


def _same_cases(split: str, contest: Contest | None) -> Check:
    name = f"both answered every case of {split}"
    if contest is None:
        return Check(name=name, passed=False, found="nobody answered it")
    for who, answered in (("champion", contest.champion), ("challenger", contest.challenger)):
        there = {row.case_id: row.case_sha256 for row in answered.rows}
        if len(there) < len(answered.rows):
            return Check(name=name, passed=False, found=f"the {who} answered a case twice")
        differing = sorted(
            case
            for case in there.keys() | contest.cases_sha256.keys()
            if there.get(case) != contest.cases_sha256.get(case)
        )
        if differing:
            return Check(
                name=name,
                passed=False,
                found=f"the {who}'s answer to {differing[0]} is missing, or is to another text or label"
                f" ({len(differing):,} cases in all)",
            )
    if [row.case_id for row in contest.champion.rows] != [row.case_id for row in contest.challenger.rows]:
        return Check(name=name, passed=False, found="their answers stand in another order")
    return Check(name=name, passed=True, found=f"{len(contest.cases_sha256):,} cases")


def _unseen(split: str, contest: Contest) -> Check:
    return Check(
        name=f"{split} was not trained on",
        passed=contest.seen <= contest.seen_before,
        found=f"{contest.seen:,} of its cases stand in the successor's training rows, {contest.seen_before:,} in the"
        " champion's",
    )


def _not_inferior(split: str, contest: Contest, margin: float) -> Check:
    ours, theirs = contest.challenger.right, contest.champion.right
    difference = ours.astype(float) - theirs.astype(float)
    low, high = paired_interval(ours, theirs, _groups(contest.champion.rows))
    return Check(
        name=f"accuracy on {split}",
        passed=low > -margin,
        found=f"{ours.mean():.3f}, the champion's {theirs.mean():.3f}; difference {difference.mean():+.3f}"
        f" [{low:+.3f}, {high:+.3f}], which must lie above {-margin:+.3f}",
    )


def paired_interval(
    ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_], groups: Ints | None
) -> tuple[float, float]:
    """95% score interval of the difference in accuracy of two models on the same cases, (cases,), over ``groups``."""
    n = len(ours)
    difference = ours.astype(float) - theirs.astype(float)
    each = 1.0 if groups is None else intervals.effective_size(difference, groups) / n  # independent cases a case
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return intervals.paired_score_interval(only_ours * each, only_theirs * each, n * each)


def _calibrated(contest: Contest, rules: Rules) -> Check:
    name = f"calibration on {TEST}"
    ours, theirs = contest.challenger.confidences, contest.champion.confidences
    if ours is None:
        if theirs is None:
            return Check(name=name, passed=True, found="neither model gives probabilities")
        return Check(name=name, passed=False, found="the successor gives no probabilities, the champion does")
    if contest.challenger.fitted.temperature is None:
        return Check(name=name, passed=False, found="no validation cases were evaluated, so nothing is calibrated")
    right = contest.challenger.right.astype(float)
    gap = float(ours.mean() - right.mean())
    said = f"mean confidence {ours.mean():.3f} at an accuracy of {right.mean():.3f}"
    if abs(gap) > rules.calibration_floor:
        return Check(name=name, passed=False, found=f"{said}: off by more than {rules.calibration_floor:g}")
    if theirs is None:
        return Check(name=name, passed=True, found=said)
    difference = (ours - right) ** 2 - (theirs - contest.champion.right.astype(float)) ** 2
    low, high = _interval(difference, _groups(contest.champion.rows))
    return Check(
        name=name,
        passed=high < rules.calibration_margin,
        found=f"{said}; squared error of the confidence {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}] against the"
        f" champion's, which must lie below {rules.calibration_margin:+.3f}",
    )


def _no_group_lost(contests: Mapping[str, Contest], level: float) -> Iterator[Check]:
    """One test for every subgroup and every label of the frozen test, and every subgroup of the new cases."""
    tested: list[tuple[str, float, str]] = []
    for split, contest in contests.items():
        rows = contest.champion.rows
        members: dict[str, list[int]] = {}
        for position, row in enumerate(rows):
            for name, value in row.subgroups.items():
                members.setdefault(f"{name} {value}", []).append(position)
            if split == TEST:
                members.setdefault(f"label {row.label}", []).append(position)
        ours, theirs, groups = contest.challenger.right, contest.champion.right, _groups(rows)
        for name, positions in sorted(members.items()):
            better, before = ours[positions].mean(), theirs[positions].mean()
            pair, units = (ours[positions].tolist(), theirs[positions].tolist()), np.asarray(positions)
            p = significance.sign_flip_exact(*pair, units if groups is None else groups[positions]) / 2
            if better >= before:
                p = 1.0
            tested.append((f"{name} of {split} ({len(positions)} cases)", p, f"{before:.2f} → {better:.2f}"))
    adjusted = significance.holm([p for _, p, _ in tested])
    lost = [
        f"{name}: {change} (p {p:.2g} of {len(tested)} tests)"
        for (name, _, change), p in zip(tested, adjusted, strict=True)
        if p < level
    ]
    yield Check(
        name="no subgroup and no label got worse",
        passed=not lost,
        found="; ".join(lost[:5]) or f"none of {len(tested):,} by a test at {level:g} over all of them (Holm)",
    )


def _nothing_forgotten(contest: Contest, rules: Rules) -> Check:
    before, after = Counter[str](), Counter[str]()
    for old, new in zip(contest.champion.rows, contest.challenger.rows, strict=True):
        before[old.label] += old.correct
        after[new.label] += new.correct
    lost = sorted(label for label, n in before.items() if n >= rules.forgotten and after[label] == 0)
    kept = sum(
        new.correct for old, new in zip(contest.champion.rows, contest.challenger.rows, strict=True) if old.correct
    )
    return Check(
        name="nothing forgotten",
        passed=not lost,
        found=f"never right any more: {', '.join(f'{label} (was {before[label]})' for label in lost[:5])}"
        if lost
        else f"{kept:,} of the {sum(before.values()):,} cases that the champion gets right are right still",
    )


def _groups(rows: Sequence[Prediction]) -> Ints | None:
    return number_groups({row.case_id: row.group for row in rows})


def _interval(values: Floats, groups: Ints | None) -> tuple[float, float]:
    """95% interval of the mean over cases; of everything possible where too few groups say nothing."""
    low, high, _ = Resamples.draw(len(values), RESAMPLES, SEED, groups).mean_interval(values)
    return (-1.0 if low is None else low), (1.0 if high is None else high)
