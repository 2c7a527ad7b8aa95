"""Split rows into train, validation and test, so that related rows stay together and no row moves later.

Rows are related if they share a group (a patient, a family, a publication; a row without one is a group of its own,
named by its case id) or a cluster of near-duplicates. Rows that are linked by any chain of relations form a **unit**.

A split by hash puts a unit where the hash of its *key* points. The key is the shortest, and then alphabetically first,
name of its groups: if names count upwards, that is the oldest. A split by date puts a row where its own date points.

Guaranteed in any case:

* No group and no cluster has rows in two splits, unless ``previous`` already put them there.
* A row's split depends neither on the order of rows nor, if ``previous`` has the row, on the other rows: it stays.

When rows are added and ``previous`` is given, no row in it moves or is set aside. Without ``previous``:

* by date, no row moves to another split, but one can be set aside when its group gets rows in a later split;
* by hash, a row stays if its unit has no new group. A unit that gains a group (through a new near-duplicate) moves as a
  whole, and only if the name of the new group comes first and its hash points elsewhere. A unit that was moved for the
  sake of its label (see below) can move back.

A split by hash has rows of a label in every split if the label has at least as many units as there are splits: the unit
whose hash is closest to a split that has none is moved there. Labels do not influence splits otherwise, because an
exact quota for each label would depend on all rows, and an added row would move others. The share of a label with n
units varies by ``sqrt(share * (1 - share) / n)``. The report counts the rows of each label and split.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypedDict

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osler.errors import InputError
from osler.storage import stable_unit

SPLITS = ("train", "validation", "test")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

BRIDGE = "belongs together with rows of two splits"
EARLIER = "its group or a near-duplicate has a later date, in another split"
OTHER_DATE = "its date points to another split than the one its group or a near-duplicate was put into before"
UNDATED = "no date"


class UnitCounts(TypedDict):
    """Units, rows of the ``largest``, units of several groups (``merged``), and groups in those."""

    n: int
    largest: int
    merged: int
    groups: int


class PreviousCounts(TypedDict):
    """Rows ``kept`` in their previous split, and groups and clusters that are ``divided`` between splits."""

    kept: int
    divided: int


class AssignmentReport(TypedDict):
    """Counts of an assignment."""

    rows: dict[str, int]  # split → rows
    labels: dict[str, dict[str, int]]  # label → split → rows
    missing: dict[str, list[str]]  # split → labels without rows
    units: UnitCounts
    set_aside: dict[str, int]  # reason → rows
    previous: PreviousCounts


@dataclass(frozen=True)
class Assignment:
    """The split of every row (None: set aside), row index → why it was set aside, and counts."""

    splits: list[str | None]
    reasons: dict[int, str]
    report: AssignmentReport


def assign(
    case_ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str | None],
    clusters: Sequence[int] | np.ndarray,
    shares: Mapping[str, float] = SHARES,
    *,
    dates: Sequence[str | None] | None = None,
    cutoffs: tuple[str, str] | None = None,
    previous: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Assignment:
    """Assign every row to a split; the docstring of the module says what is guaranteed.

    Args:
        case_ids: unique ids.
        clusters: the number of each row's cluster; see :func:`osler.data.duplicates.clusters`.
        shares: split → share of the units, for all of ``SPLITS``, adding up to 1. A split by date ignores them.
        dates: ISO 8601 dates (YYYY-MM-DD), together with ``cutoffs``. Rows without a date are set aside.
        cutoffs: the first day of validation and of test. Earlier rows are training rows.
        previous: case id → split in an earlier output. These rows stay. A new row joins the rows it is related to; it
            is set aside if these are in two splits or, by date, if its date points elsewhere.
        seed: another seed gives another split by hash.

    By date, a unit can have rows on both sides of a cutoff. Its rows in the latest split stay and the earlier ones are
    set aside. In training they would make a test patient a known one. Moved to the later split they would leak nothing,
    but rows would move whenever an old patient came back.

    Raises:
        InputError: shares, cutoffs, dates or ``previous`` are invalid.
    """
    _check(shares, dates, cutoffs, previous)
    names = [case_id if group is None else group for case_id, group in zip(case_ids, groups, strict=True)]
    nodes = _nodes(names, clusters)
    fixed = [(previous or {}).get(case_id) for case_id in case_ids]
    settled = _settled(nodes, fixed)
    unit = _units(nodes)
    if dates is not None and cutoffs is not None:
        splits, reasons = _by_date(nodes, fixed, settled, [_split_by_date(day, cutoffs) for day in dates])
    else:
        splits, reasons = _by_hash(nodes, fixed, settled, _hashed(names, unit, labels, fixed, shares, seed))
    rows, table, missing = _counts(labels, splits)
    report = AssignmentReport(
        rows=rows,
        labels=table,
        missing=missing,
        units=_unit_counts(names, unit),
        set_aside=dict(sorted(Counter(reasons.values()).items())),
        previous=PreviousCounts(
            kept=sum(split is not None for split in fixed),
            divided=sum(len(node_splits) > 1 for node_splits in settled.values()),
        ),
    )
    return Assignment(splits, reasons, report)


def _nodes(names: Sequence[str], clusters: Sequence[int] | np.ndarray) -> np.ndarray:
    """(rows, 2): the numbers of each row's group and cluster, as nodes of one graph."""
    number: dict[str, int] = {}
    group = np.fromiter((number.setdefault(name, len(number)) for name in names), np.int64, len(names))
    _, cluster = np.unique(np.asarray(clusters, np.int64), return_inverse=True)
    if len(cluster) != len(group):
        raise ValueError(f"{len(cluster)} clusters for {len(group)} rows")
    return np.stack([group, cluster + len(number)], axis=1)


def _settled(nodes: np.ndarray, fixed: Sequence[str | None]) -> defaultdict[int, set[str]]:
    """Group or cluster → the splits of its previous rows."""
    settled: defaultdict[int, set[str]] = defaultdict(set)
    for row_nodes, split in zip(nodes.tolist(), fixed, strict=True):
        if split is not None:
            for node in row_nodes:
                settled[node].add(split)
    return settled


def _units(nodes: np.ndarray) -> np.ndarray:
    """The number of each row's unit: a connected component of the graph of groups and clusters, with rows as edges."""
    n = int(nodes.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(nodes), np.int8), (nodes[:, 0], nodes[:, 1])), shape=(n, n))
    return connected_components(edges, directed=False)[1][nodes[:, 0]] if n else np.empty(0, np.int32)


def _hashed(
    names: Sequence[str],
    unit: np.ndarray,
    labels: Sequence[str],
    fixed: Sequence[str | None],
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """For each row the split that its unit's hash points to, after units have been moved to cover labels."""
    keys: dict[int, tuple[int, str]] = {}
    for number, name in zip(unit.tolist(), names, strict=True):
        key = len(name), name
        if number not in keys or key < keys[number]:
            keys[number] = key
    hashes = np.array([stable_unit(f"{seed}/{keys[number][1]}") for number in range(len(keys))])
    edges = np.cumsum([0, *(shares[split] for split in SPLITS)])
    points = np.searchsorted(edges[1:-1], hashes, side="right")
    distances = np.maximum(edges[:-1] - hashes[:, None], hashes[:, None] - edges[1:])
    # Train first: a label that cannot be learnt is worse than one that cannot be scored.
    wanted = [SPLITS.index(name) for name in ("train", "test", "validation") if shares[name]]
    _cover_labels(points, distances, wanted, unit, labels, fixed)
    return [SPLITS[place] for place in points[unit].tolist()]


def _cover_labels(
    points: np.ndarray,
    distances: np.ndarray,
    wanted: Sequence[int],
    unit: np.ndarray,
    labels: Sequence[str],
    fixed: Sequence[str | None],
) -> None:
    """Move units so that each ``wanted`` split has one of every label that has as many units as there are splits.

    As few units as possible are moved, the closest first. A unit stays if it has previous rows or is the last of a
    label in its split.

    Args:
        points: (units,) the split of each unit; changed in place.
        distances: (units, splits) between each unit's hash and each split.
    """
    unit_labels = _unit_labels(points, unit, labels, fixed)
    previous = np.isin(np.arange(len(points)), unit[[split is not None for split in fixed]])
    counts = np.zeros((len(set(labels)), len(SPLITS)), np.int64)  # units of each label in each split
    np.add.at(counts, (unit_labels[:, 1], unit_labels[:, 2]), 1)
    by_unit, by_label = unit_labels[:, :2], unit_labels[np.argsort(unit_labels[:, 1], kind="stable"), :2]

    def labels_of(number: int) -> np.ndarray:
        return by_unit[slice(*np.searchsorted(by_unit[:, 0], (number, number + 1))), 1]

    lacking = np.flatnonzero((counts[:, wanted] == 0).any(axis=1) & (counts.sum(axis=1) >= len(wanted)))
    # The rarest labels first: they have the least choice.
    for label in sorted(lacking.tolist(), key=lambda label: (counts[label].sum(), label)):
        units = by_label[slice(*np.searchsorted(by_label[:, 1], (label, label + 1))), 0]
        for split in wanted:
            spare = [n for n in units[~previous[units]].tolist() if (counts[labels_of(n), points[n]] > 1).all()]
            if counts[label, split] == 0 and spare:
                nearest = min(spare, key=lambda number: distances[number, split])
                counts[labels_of(nearest), points[nearest]] -= 1
                counts[labels_of(nearest), split] += 1
                points[nearest] = split


def _unit_labels(
    points: np.ndarray, unit: np.ndarray, labels: Sequence[str], fixed: Sequence[str | None]
) -> np.ndarray:
    """(n, 3): unit, label and split, for each label of each unit, in order; labels are numbered alphabetically.

    In a unit with previous rows only these count, because the splits of its other rows are still open.
    """
    code = {label: number for number, label in enumerate(sorted(set(labels)))}
    label = np.fromiter((code[name] for name in labels), np.int64, len(labels))
    previous = np.array([split is not None for split in fixed], bool)
    split = points[unit]
    split[previous] = [SPLITS.index(name) for name in fixed if name is not None]
    known = previous | ~np.isin(unit, unit[previous])
    combined = np.unique(((unit.astype(np.int64) * len(code) + label) * len(SPLITS) + split)[known])
    rest, split = np.divmod(combined, len(SPLITS))
    return np.stack([*np.divmod(rest, max(1, len(code))), split], axis=1)


def _by_hash(
    nodes: np.ndarray, fixed: Sequence[str | None], settled: defaultdict[int, set[str]], hashed: Sequence[str]
) -> tuple[list[str | None], dict[int, str]]:
    splits: list[str | None] = list(fixed)
    reasons: dict[int, str] = {}
    open_rows: defaultdict[int, list[int]] = defaultdict(list)  # node → its rows without a split
    for row, pair in enumerate(nodes.tolist()):
        if splits[row] is None:
            for node in pair:
                open_rows[node].append(row)
    # From previous rows outwards, so that a new row takes its near-duplicates with it.
    queue = deque(sorted(settled))
    while queue:
        for row in open_rows.pop(queue.popleft(), ()):
            if splits[row] is not None or row in reasons:
                continue
            related = set().union(*(settled[node] for node in nodes[row].tolist()))
            if len(related) > 1:
                reasons[row] = BRIDGE
                continue
            (splits[row],) = related
            for node in nodes[row].tolist():
                if not settled[node]:
                    settled[node] = related
                    queue.append(node)
    for row, split in enumerate(hashed):
        if splits[row] is None and row not in reasons:
            splits[row] = split
    return splits, reasons


def _by_date(
    nodes: np.ndarray,
    fixed: Sequence[str | None],
    settled: Mapping[int, set[str]],
    dated: Sequence[str | None],
) -> tuple[list[str | None], dict[int, str]]:
    latest: dict[int, int] = {}
    for pair, split in zip(nodes.tolist(), dated, strict=True):
        if split is not None:
            for node in pair:
                latest[node] = max(latest.get(node, 0), SPLITS.index(split))
    splits: list[str | None] = list(fixed)
    reasons: dict[int, str] = {}
    for row, (pair, split) in enumerate(zip(nodes.tolist(), dated, strict=True)):
        if splits[row] is not None:
            continue
        related = set().union(*(settled.get(node, ()) for node in pair))
        later = any(node not in settled and SPLITS[latest[node]] != split for node in pair if split is not None)
        if split is None:
            reasons[row] = UNDATED
        elif len(related) > 1:
            reasons[row] = BRIDGE
        elif related and related != {split}:
            reasons[row] = OTHER_DATE
        elif later:
            reasons[row] = EARLIER
        else:
            splits[row] = split
    return splits, reasons


def _split_by_date(day: str | None, cutoffs: tuple[str, str]) -> str | None:
    return None if day is None else SPLITS[sum(day >= cutoff for cutoff in cutoffs)]  # ISO dates sort as text


def _counts(
    labels: Sequence[str], splits: Sequence[str | None]
) -> tuple[dict[str, int], dict[str, dict[str, int]], dict[str, list[str]]]:
    """Split → rows, label → split → rows, and split → labels without rows."""
    counts = Counter(zip(labels, splits, strict=True))
    names = sorted(set(labels))
    table = {label: {split: counts[label, split] for split in SPLITS} for label in names}
    rows = {split: sum(label_rows[split] for label_rows in table.values()) for split in SPLITS}
    # No label is missing in an empty split (such as no validation).
    missing = {split: [label for label in names if not table[label][split]] for split in SPLITS if rows[split]}
    return rows, table, missing


def _unit_counts(names: Sequence[str], unit: np.ndarray) -> UnitCounts:
    groups = Counter(number for number, _ in set(zip(unit.tolist(), names, strict=True)))
    merged = [n for n in groups.values() if n > 1]
    return UnitCounts(
        n=len(groups),
        largest=max(Counter(unit.tolist()).values(), default=0),
        merged=len(merged),
        groups=sum(merged),
    )


def _check(
    shares: Mapping[str, float],
    dates: Sequence[str | None] | None,
    cutoffs: tuple[str, str] | None,
    previous: Mapping[str, str] | None,
) -> None:
    if set(shares) != set(SPLITS) or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1):
        raise InputError(f"shares {dict(shares)}: give train, validation and test a share each, adding up to 1")
    if (dates is None) != (cutoffs is None):
        raise InputError("a split by date needs a column of dates and two cutoff dates; name both or neither")
    for day in {*(dates or ()), *(cutoffs or ())} - {None}:
        try:
            well_formed = date.fromisoformat(str(day)).isoformat() == day
        except ValueError:
            well_formed = False
        if not well_formed:
            raise InputError(f"the date {day!r} is not written as YYYY-MM-DD")
    if cutoffs is not None and cutoffs[0] > cutoffs[1]:
        raise InputError(f"the cutoff dates {cutoffs[0]} and {cutoffs[1]}: validation begins after test; swap them")
    for case_id, split in (previous or {}).items():
        if split not in SPLITS:
            raise InputError(f"the previous output has {case_id} in {split!r}; expected one of {', '.join(SPLITS)}")
