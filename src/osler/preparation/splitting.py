"""Rows into train, validation and test, so that what belongs together stays together and a row stays where it was.

Rows belong together if they share a group (a patient, a family, a publication; a row without one is a group of its own,
named by its case id) or a cluster of near-duplicates. What is joined by any chain of these is a **unit**.

By hash, a unit goes where the hash of its *key* points: the shortest, then alphabetically first of its groups' names,
so that with names that count upwards it is the oldest. By date, a row goes where its own date points.

What is guaranteed, always:

* No group and no cluster has rows in two splits, except where ``former`` put them there.
* The order of the rows does not matter, nor what else is in the data, to a row that ``former`` has: it stays.

When rows are added to the data, and ``former`` is given, no row of it moves or is set aside. Without ``former``:

* by date, no row ever moves to another split; one can be set aside when its group gets rows in a later split;
* by hash, a row stays if its unit has no new group; a unit that gains one (its text has a new near-duplicate in another
  group) moves, whole, only if the new group's name comes first and its hash points elsewhere. A unit that was moved
  for the sake of its label (below) can move back.

By hash, every split has rows of every label that has as many units as there are splits: of a label that a split would
have none of, the unit whose hash lies nearest to that split goes there. More than that, labels do not choose splits: a
quota that is met exactly for each label depends on all rows, and a row added to the data would move others. The shares
of a label with n units vary by ``sqrt(share * (1 - share) / n)``; the report says how they fell and which label a split
has none of.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

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


@dataclass(frozen=True)
class Assignment:
    """The split of every row (None: set aside), why rows were set aside by row index, and the counts as JSON.

    ``report``: ``rows`` (split → n), ``labels`` (label → split → n), ``missing`` (split → the labels it has no row of),
    ``units`` (``n``, ``largest`` in rows, ``united``: those of several groups, and ``groups``: how many in them),
    ``set_aside`` (reason → n), ``former`` (``kept`` rows, and ``torn``: groups and clusters it had in several splits).
    """

    splits: list[str | None]
    reasons: dict[int, str]
    report: dict[str, Any]


def assign(
    case_ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str | None],
    clusters: Sequence[int] | np.ndarray,
    shares: Mapping[str, float] = SHARES,
    *,
    dates: Sequence[str | None] | None = None,
    cuts: tuple[str, str] | None = None,
    former: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Assignment:
    """Assign every row to a split; the module says what is guaranteed.

    Args:
        case_ids: unique.
        clusters: of :func:`osler.data.duplicates.clusters`.
        shares: split → share of the units; all of ``SPLITS``, adding up to 1. Not used by date.
        dates: ISO 8601 dates (YYYY-MM-DD); with ``cuts``. Rows without one are set aside.
        cuts: the first day of validation and the first day of test; training is what was before.
        former: case id → split, of an earlier output. These rows stay. A new row joins the rows it belongs together
            with; one that would join two splits is set aside (by date, also one that its date points elsewhere).
        seed: another seed, another split by hash.

    By date, a unit may straddle a cut. Its rows of the latest split stay there and its earlier ones are set aside: in
    training they would make a patient of the test set a known one; moved to the later split they would leak nothing,
    but whenever an old patient came back their rows would move.

    Raises:
        InputError: shares, cuts, dates or ``former`` do not make sense.
    """
    _check(shares, dates, cuts, former)
    names = [case_id if group is None else group for case_id, group in zip(case_ids, groups, strict=True)]
    nodes = _nodes(names, clusters)
    fixed = [(former or {}).get(case_id) for case_id in case_ids]
    settled = _settled(nodes, fixed)
    unit = _units(nodes)
    if dates is not None and cuts is not None:
        splits, reasons = _by_date(nodes, fixed, settled, [_dated(day, cuts) for day in dates])
    else:
        splits, reasons = _by_hash(nodes, fixed, settled, _hashed(names, unit, labels, fixed, shares, seed))
    report = {
        **_counts(labels, splits),
        "units": _unit_counts(names, unit),
        "set_aside": dict(sorted(Counter(reasons.values()).items())),
        "former": {
            "kept": sum(split is not None for split in fixed),
            "torn": sum(len(of_node) > 1 for of_node in settled.values()),
        },
    }
    return Assignment(splits, reasons, report)


def _nodes(names: Sequence[str], clusters: Sequence[int] | np.ndarray) -> np.ndarray:
    """(rows, 2): the number of each row's group, and of its cluster; no group has the number of a cluster."""
    number: dict[str, int] = {}
    group = np.fromiter((number.setdefault(name, len(number)) for name in names), np.int64, len(names))
    _, cluster = np.unique(np.asarray(clusters, np.int64), return_inverse=True)
    if len(cluster) != len(group):
        raise ValueError(f"{len(cluster)} clusters for {len(group)} rows")
    return np.stack([group, cluster + len(number)], axis=1)


def _settled(nodes: np.ndarray, fixed: Sequence[str | None]) -> defaultdict[int, set[str]]:
    """Group or cluster → the splits its former rows are in."""
    settled: defaultdict[int, set[str]] = defaultdict(set)
    for of_row, split in zip(nodes.tolist(), fixed, strict=True):
        if split is not None:
            for node in of_row:
                settled[node].add(split)
    return settled


def _units(nodes: np.ndarray) -> np.ndarray:
    """The number of each row's unit: a connected component of groups and clusters, which the rows connect."""
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
    """For each row the split that its unit points to; of a label that a split would have none of, one unit is moved."""
    keys: dict[int, tuple[int, str]] = {}
    for number, name in zip(unit.tolist(), names, strict=True):
        key = len(name), name
        if number not in keys or key < keys[number]:
            keys[number] = key
    hashes = np.array([stable_unit(f"{seed}/{keys[number][1]}") for number in range(len(keys))])
    edges = np.cumsum([0, *(shares[split] for split in SPLITS)])
    points = np.searchsorted(edges[1:-1], hashes, side="right")
    far = np.maximum(edges[:-1] - hashes[:, None], hashes[:, None] - edges[1:])  # from each split
    # A label that cannot be learnt is worse than one that cannot be scored.
    wanted = [SPLITS.index(name) for name in ("train", "test", "validation") if shares[name]]
    _cover(points, far, wanted, unit, labels, fixed)
    return [SPLITS[place] for place in points[unit].tolist()]


def _cover(
    points: np.ndarray,
    far: np.ndarray,
    wanted: Sequence[int],
    unit: np.ndarray,
    labels: Sequence[str],
    fixed: Sequence[str | None],
) -> None:
    """Move units in ``points`` so that each ``wanted`` split has one of every label that has as many units as there are
    splits; as few as possible, the nearest first, and none that is the last of a label where it is or has former rows.

    Args:
        points: (units,) the split of each.
        far: (units, splits) how far its hash is from each.
    """
    of_row = _held(points, unit, labels, fixed)
    former = np.isin(np.arange(len(points)), unit[[split is not None for split in fixed]])
    counts = np.zeros((len(set(labels)), len(SPLITS)), np.int64)  # units of each label in each split
    np.add.at(counts, (of_row[:, 1], of_row[:, 2]), 1)
    by_unit, by_label = of_row[:, :2], of_row[np.argsort(of_row[:, 1], kind="stable"), :2]

    def labels_of(number: int) -> np.ndarray:
        return by_unit[slice(*np.searchsorted(by_unit[:, 0], (number, number + 1))), 1]

    lacking = np.flatnonzero((counts[:, wanted] == 0).any(axis=1) & (counts.sum(axis=1) >= len(wanted)))
    # From the rarest on, which have the least choice.
    for label in sorted(lacking.tolist(), key=lambda label: (counts[label].sum(), label)):
        units = by_label[slice(*np.searchsorted(by_label[:, 1], (label, label + 1))), 0]
        for split in wanted:
            spare = [n for n in units[~former[units]].tolist() if (counts[labels_of(n), points[n]] > 1).all()]
            if counts[label, split] == 0 and spare:
                nearest = min(spare, key=lambda number: far[number, split])
                counts[labels_of(nearest), points[nearest]] -= 1
                counts[labels_of(nearest), split] += 1
                points[nearest] = split


def _held(points: np.ndarray, unit: np.ndarray, labels: Sequence[str], fixed: Sequence[str | None]) -> np.ndarray:
    """(n, 3): each unit with each of its labels and the split it has it in, in order; of units with former rows these
    decide, and where their other rows go is left open. Labels are numbered in alphabetical order."""
    code = {label: number for number, label in enumerate(sorted(set(labels)))}
    label = np.fromiter((code[of_row] for of_row in labels), np.int64, len(labels))
    former = np.array([split is not None for split in fixed], bool)
    split = points[unit]
    split[former] = [SPLITS.index(of_row) for of_row in fixed if of_row is not None]
    known = former | ~np.isin(unit, unit[former])
    combined = np.unique(((unit.astype(np.int64) * len(code) + label) * len(SPLITS) + split)[known])
    rest, split = np.divmod(combined, len(SPLITS))
    return np.stack([*np.divmod(rest, max(1, len(code))), split], axis=1)


def _by_hash(
    nodes: np.ndarray, fixed: Sequence[str | None], settled: defaultdict[int, set[str]], hashed: Sequence[str]
) -> tuple[list[str | None], dict[int, str]]:
    splits: list[str | None] = list(fixed)
    reasons: dict[int, str] = {}
    of_node: defaultdict[int, list[int]] = defaultdict(list)
    for row, pair in enumerate(nodes.tolist()):
        if splits[row] is None:
            for node in pair:
                of_node[node].append(row)
    # From what is settled outwards, so that a new row's near-duplicates go with it wherever former rows draw it.
    queue = deque(sorted(settled))
    while queue:
        for row in of_node.pop(queue.popleft(), ()):
            if splits[row] is not None or row in reasons:
                continue
            drawn = set().union(*(settled[node] for node in nodes[row].tolist()))
            if len(drawn) > 1:
                reasons[row] = BRIDGE
                continue
            (splits[row],) = drawn
            for node in nodes[row].tolist():
                if not settled[node]:
                    settled[node] = drawn
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
        drawn = set().union(*(settled.get(node, ()) for node in pair))
        later = any(node not in settled and SPLITS[latest[node]] != split for node in pair if split is not None)
        if split is None:
            reasons[row] = UNDATED
        elif len(drawn) > 1:
            reasons[row] = BRIDGE
        elif drawn and drawn != {split}:
            reasons[row] = OTHER_DATE
        elif later:
            reasons[row] = EARLIER
        else:
            splits[row] = split
    return splits, reasons


def _dated(day: str | None, cuts: tuple[str, str]) -> str | None:
    return None if day is None else SPLITS[sum(day >= cut for cut in cuts)]  # ISO dates sort as text


def _counts(labels: Sequence[str], splits: Sequence[str | None]) -> dict[str, Any]:
    counts = Counter(zip(labels, splits, strict=True))
    names = sorted(set(labels))
    table = {label: {split: counts[label, split] for split in SPLITS} for label in names}
    rows = {split: sum(of_label[split] for of_label in table.values()) for split in SPLITS}
    # A split that is not wanted (no validation, say) misses nothing.
    missing = {split: [label for label in names if not table[label][split]] for split in SPLITS if rows[split]}
    return {"rows": rows, "labels": table, "missing": missing}


def _unit_counts(names: Sequence[str], unit: np.ndarray) -> dict[str, int]:
    groups = Counter(number for number, _ in set(zip(unit.tolist(), names, strict=True)))
    united = [n for n in groups.values() if n > 1]
    return {
        "n": len(groups),
        "largest": max(Counter(unit.tolist()).values(), default=0),
        "united": len(united),
        "groups": sum(united),
    }


def _check(
    shares: Mapping[str, float],
    dates: Sequence[str | None] | None,
    cuts: tuple[str, str] | None,
    former: Mapping[str, str] | None,
) -> None:
    if set(shares) != set(SPLITS) or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1):
        raise InputError(f"shares {dict(shares)}: give train, validation and test a share each that add up to 1")
    if (dates is None) != (cuts is None):
        raise InputError("a split by date takes a column of dates and two cut dates: name both or neither")
    for day in {*(dates or ()), *(cuts or ())} - {None}:
        try:
            well_formed = date.fromisoformat(str(day)).isoformat() == day
        except ValueError:
            well_formed = False
        if not well_formed:
            raise InputError(f"the date {day!r} is not of the form YYYY-MM-DD")
    if cuts is not None and cuts[0] > cuts[1]:
        raise InputError(f"the cut dates {cuts[0]} and {cuts[1]}: validation begins after test does; swap them")
    for case_id, split in (former or {}).items():
        if split not in SPLITS:
            raise InputError(f"the earlier output has {case_id} in {split!r}; a split is one of {', '.join(SPLITS)}")
