"""What belongs together is in one split, shares are about what was asked, and a row stays where it was."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from osler.errors import InputError
from osler.splits.assignment import BRIDGE, EARLIER, OTHER_DATE, SPLITS, UNDATED, Assignment, assign


class Cases:
    """Made-up rows, some of them of one patient, some near-duplicates, some both."""

    def __init__(self, n: int, seed: int, grouped: float = 0.7) -> None:
        rng = random.Random(seed)
        self.case_ids = [f"case-{number}" for number in rng.sample(range(10 * n), n)]
        self.labels = [rng.choice("abcd") for _ in range(n)]
        self.groups = [f"patient-{rng.randrange(n // 2)}" if rng.random() < grouped else None for _ in range(n)]
        self.clusters = [rng.randrange(row) if row and rng.random() < 0.2 else row for row in range(n)]
        self.clusters = [self.clusters[cluster] for cluster in self.clusters]
        self.dates = [f"20{rng.randrange(10, 25)}-0{rng.randrange(1, 10)}-15" for _ in range(n)]

    def part(self, rows: list[int], **arguments: Any) -> Assignment:
        """The assignment of these rows only, in this order."""
        if "cutoffs" in arguments:
            arguments["dates"] = [self.dates[row] for row in rows]
        groups = [self.groups[row] for row in rows]
        ids, labels = [self.case_ids[row] for row in rows], [self.labels[row] for row in rows]
        return assign(ids, labels, groups, [self.clusters[row] for row in rows], **arguments)

    def by_id(self, rows: list[int], assignment: Assignment) -> dict[str, str]:
        """Case id → split, of the rows that have one."""
        return {self.case_ids[row]: split for row, split in zip(rows, assignment.splits, strict=True) if split}


CUTOFFS = {"cutoffs": ("2018-01-01", "2021-06-30")}


def divided(rows: Cases, splits: dict[str, str]) -> int:
    """How many groups and clusters are in several splits."""
    seen: dict[tuple[str, object], set[str]] = {}
    for case_id, group, cluster in zip(rows.case_ids, rows.groups, rows.clusters, strict=True):
        if case_id in splits:
            seen.setdefault(("cluster", cluster), set()).add(splits[case_id])
            seen.setdefault(("group", group or case_id), set()).add(splits[case_id])
    return sum(len(found) > 1 for found in seen.values())


# ── together and apart ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [{}, CUTOFFS], ids=["hash", "date"])
@pytest.mark.parametrize("seed", range(10))
def test_no_patient_and_no_near_duplicates_are_in_two_splits(seed: int, by: dict[str, Any]) -> None:
    rows = Cases(200, seed)
    everything = list(range(200))
    assignment = rows.part(everything, **by)
    splits = rows.by_id(everything, assignment)
    assert divided(rows, splits) == 0
    assert set(splits.values()) == set(SPLITS)
    assert len(splits) + len(assignment.reasons) == 200
    assert {row for row in everything if assignment.splits[row] is None} == set(assignment.reasons)


def test_by_hash_every_row_is_in_a_split_and_the_order_of_rows_does_not_matter() -> None:
    rows = Cases(300, 0)
    order = random.Random(0).sample(range(300), 300)
    assert rows.by_id(order, rows.part(order)) == rows.by_id(list(range(300)), rows.part(list(range(300))))
    assert rows.part(order).reasons == {}


def test_shares_are_met_for_every_label_as_nearly_as_chance_allows() -> None:
    n = 8000
    labels = ["rare" if row % 8 == 0 else "common" for row in range(n)]
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    report = assign([f"{row}" for row in range(n)], labels, [None] * n, range(n), shares).report
    assert report["rows"] == {split: sum(report["labels"][label][split] for label in set(labels)) for split in SPLITS}
    for label, total in (("rare", 1000), ("common", 7000)):
        for split in SPLITS:
            share, deviation = shares[split], (shares[split] * (1 - shares[split]) / total) ** 0.5
            assert report["labels"][label][split] / total == pytest.approx(share, abs=4 * deviation)
    assert report["missing"] == {split: [] for split in SPLITS}


def rare(n: int, seed: int) -> Cases:
    """Rows without near-duplicates or groups, of which one label has three and another has two."""
    rows = Cases(n, seed, grouped=0)
    rows.clusters = list(range(n))
    rows.labels = ["rare"] * 3 + ["rarer"] * 2 + ["common"] * (n - 5)
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_every_split_has_a_row_of_every_label_that_three_patients_have(seed: int) -> None:
    rows, everything = rare(200, seed), list(range(200))
    assignment = rows.part(everything)
    assert sorted(assignment.splits[:3]) == sorted(SPLITS)
    for split, labels in assignment.report["missing"].items():
        assert set(labels) <= {"rarer"}, split
    order = random.Random(seed).sample(everything, 200)
    assert rows.by_id(order, rows.part(order)) == rows.by_id(everything, assignment)
    splits = assignment.splits
    rows.labels = ["common"] * 200
    moved = sum(a != b for a, b in zip(splits, rows.part(everything).splits, strict=True))
    assert moved <= 2, "nothing moves but for the label that would be missing"


@pytest.mark.parametrize("seed", range(10))
def test_patients_are_moved_whole_and_every_label_of_three_patients_is_everywhere(seed: int) -> None:
    rng = random.Random(seed)
    of_patient = [rng.choice("abcdefghijkl") for _ in range(50)]
    patients = [rng.randrange(50) for _ in range(150)]
    labels, groups = [of_patient[patient] for patient in patients], [f"{seed}-{patient}" for patient in patients]
    assignment = assign([f"{row}" for row in range(150)], labels, groups, range(150))
    of_group: dict[str, set[str | None]] = {}
    for group, split in zip(groups, assignment.splits, strict=True):
        of_group.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in of_group.values())
    held = Counter(of_patient[patient] for patient in set(patients))
    for split, missing in assignment.report["missing"].items():
        assert all(held[label] < 3 for label in missing), split


@pytest.mark.parametrize("seed", range(10))
def test_a_label_that_becomes_frequent_enough_is_tested_with_new_rows_and_old_ones_stay(seed: int) -> None:
    rows = rare(200, seed)
    few = [0, *range(5, 200)]  # one row of the rare label
    before = rows.by_id(few, rows.part(few))
    everything = list(range(200))
    after = rows.part(everything, previous=before)
    assert before.items() <= rows.by_id(everything, after).items()
    assert sorted(after.splits[:3]) == sorted(SPLITS)


def test_another_seed_is_another_split_and_no_share_is_no_row() -> None:
    rows, everything = Cases(300, 0), list(range(300))
    assert rows.part(everything, seed=1).splits != rows.part(everything).splits
    two = rows.part(everything, shares={"train": 0.5, "validation": 0, "test": 0.5}).report
    assert two["rows"]["validation"] == 0
    assert set(two["missing"]) == {"train", "test"}


def test_the_report_counts_what_was_merged_and_which_labels_a_split_lacks() -> None:
    ids = [f"case-{n}" for n in range(40)]
    groups = ["smith", "smith", "jones", "brown", *[None] * 36]
    report = assign(ids, [*["gout"] * 3, *["acne"] * 37], groups, [0, 1, 1, *range(3, 40)]).report
    assert report["units"] == {"n": 38, "largest": 3, "merged": 1, "groups": 2}
    assert sorted(report["labels"]["gout"].values()) == [0, 0, 3]
    assert sum("gout" in labels for labels in report["missing"].values()) == 2
    assert report["set_aside"] == {}


# ── adding rows ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [{}, CUTOFFS], ids=["hash", "date"])
@pytest.mark.parametrize("seed", range(20))
def test_adding_rows_moves_no_row_of_the_previous_output(seed: int, by: dict[str, Any]) -> None:
    """In any order, in several steps, with new rows that bridge old ones; and nothing new is torn apart."""
    rows = Cases(240, seed)
    rng = random.Random(seed)
    order = rng.sample(range(240), 240)
    previous: dict[str, str] = {}
    set_aside = 0
    for size in (60, 120, 240):
        known = rng.sample(order[:size], size)
        assignment = rows.part(known, previous=previous, **by)
        splits = rows.by_id(known, assignment)
        assert previous.items() <= splits.items()
        assert divided(rows, splits) == 0
        previous, set_aside = splits, len(assignment.reasons)
    assert len(previous) + set_aside == 240
    assert by or 0 < len(previous) > 200


def test_without_the_previous_output_rows_that_resemble_no_new_row_stay() -> None:
    rows = Cases(400, 0)
    rows.clusters = list(range(400))
    order = random.Random(0).sample(range(400), 400)
    before, after = rows.by_id(order[:200], rows.part(order[:200])), rows.by_id(order, rows.part(order))
    assert before.items() <= after.items()


@pytest.mark.parametrize("seed", range(10))
def test_without_the_previous_output_no_row_moves_by_date(seed: int) -> None:
    rows = Cases(240, seed)
    order = random.Random(seed).sample(range(240), 240)
    before, after = (
        rows.by_id(order[:120], rows.part(order[:120], **CUTOFFS)),
        rows.by_id(order, rows.part(order, **CUTOFFS)),
    )
    assert all(after.get(case_id, split) == split for case_id, split in before.items())


def test_without_the_previous_output_a_new_near_duplicate_with_a_later_id_moves_nothing() -> None:
    for n in range(100):
        alone = assign([f"case-{n}"], ["a"], [None], [0]).splits
        assert assign([f"case-{n}", f"case-{n + 100}"], ["a", "a"], [None, None], [0, 0]).splits == alone * 2


def test_a_new_row_goes_with_its_near_duplicate_and_one_that_bridges_two_splits_is_set_aside() -> None:
    previous = {"a": "train", "b": "test"}
    together = assign(["a", "b", "c", "d"], ["x"] * 4, ["A", "B", "C", "C"], [0, 1, 1, 9], previous=previous)
    assert together.splits == ["train", "test", "test", "test"]
    bridge = assign(["a", "b", "c", "d"], ["x"] * 4, ["A", "B", "A", "A"], [0, 1, 1, 9], previous=previous)
    assert bridge.splits == ["train", "test", None, "train"]
    assert bridge.reasons == {2: BRIDGE}
    assert bridge.report["set_aside"] == {BRIDGE: 1}
    assert bridge.report["previous"] == {"kept": 2, "divided": 0}


def test_what_the_previous_output_tore_apart_stays_and_is_counted() -> None:
    kept = assign(["a", "b", "c"], ["x"] * 3, ["A", "A", "A"], [0, 1, 2], previous={"a": "train", "b": "test"})
    assert kept.splits == ["train", "test", None]
    assert kept.report["previous"] == {"kept": 2, "divided": 1}


# ── by date ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def dated(groups: list[str], dates: list[str | None], **arguments: Any) -> Assignment:
    n = len(groups)
    ids = [f"{row}" for row in range(n)]
    return assign(ids, ["x"] * n, groups, range(n), dates=dates, cutoffs=("2020-01-01", "2021-01-01"), **arguments)


def test_a_row_goes_where_its_date_says_and_the_first_day_of_a_split_is_in_it() -> None:
    days: list[str | None] = ["2019-12-31", "2020-01-01", "2020-12-31", "2021-01-01", None]
    assignment = dated(list("abcde"), days)
    assert assignment.splits == ["train", "validation", "validation", "test", None]
    assert assignment.reasons == {4: UNDATED}


def test_a_patient_who_came_back_after_a_cut_is_not_trained_on() -> None:
    assignment = dated(["a", "a", "b"], ["2019-05-05", "2022-05-05", "2019-05-05"])
    assert assignment.splits == [None, "test", "train"]
    assert assignment.reasons == {0: EARLIER}


def test_a_patient_who_was_trained_on_before_is_not_tested_later() -> None:
    assignment = dated(["a", "a", "b"], ["2019-05-05", "2022-05-05", "2022-05-05"], previous={"0": "train"})
    assert assignment.splits == ["train", None, "test"]
    assert assignment.reasons == {1: OTHER_DATE}


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shares": {"train": 0.8, "test": 0.2}}, "a share each, adding up to 1"),
        ({"shares": {"train": 0.8, "validation": 0.3, "test": -0.1}}, "a share each, adding up to 1"),
        ({"shares": {"train": 0.8, "validation": 0.1, "test": 0.2}}, "a share each, adding up to 1"),
        ({"dates": ["2020-01-01"]}, "name both or neither"),
        ({"cutoffs": ("2020-01-01", "2021-01-01")}, "name both or neither"),
        ({"dates": ["5.3.2020"], "cutoffs": ("2020-01-01", "2021-01-01")}, "'5.3.2020' is not written as YYYY-MM-DD"),
        ({"dates": ["2020-01-01"], "cutoffs": ("2020", "2021-01-01")}, "'2020' is not written as YYYY-MM-DD"),
        ({"dates": ["2020-01-01"], "cutoffs": ("2021-01-01", "2020-01-01")}, "validation begins after test"),
        ({"previous": {"a": "dev"}}, "has a in 'dev'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        assign(["a"], ["x"], [None], [0], **arguments)


def test_no_rows() -> None:
    assert assign([], [], [], []).report["rows"] == dict.fromkeys(SPLITS, 0)


def test_every_row_is_counted_once() -> None:
    rows, everything = Cases(300, 3), list(range(300))
    assignment = rows.part(everything, **CUTOFFS)
    counted = Counter(split for split in assignment.splits if split)
    assert assignment.report["rows"] == counted
    assert sum(counted.values()) + sum(assignment.report["set_aside"].values()) == 300
