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
  group) moves, whole, only if the new group's name comes first and its hash points elsewhere.

Labels do not choose splits: a quota that is met exactly for each label depends on all rows, and a row added to the data
would move others. The shares of a label with n units vary by ``sqrt(share * (1 - share) / n)``; the report says how
they fell and which label a split has none of.
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
from osler.narrative import stable_unit

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
        clusters: of :func:`osler.duplicates.clusters`.
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
        splits, reasons = _by_hash(nodes, fixed, settled, _hashed(names, unit, shares, seed))
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


def _hashed(names: Sequence[str], unit: np.ndarray, shares: Mapping[str, float], seed: int) -> list[str]:
    """For each row the split that the key of its unit points to."""
    keys: dict[int, tuple[int, str]] = {}
    for number, name in zip(unit.tolist(), names, strict=True):
        key = len(name), name
        if number not in keys or key < keys[number]:
            keys[number] = key
    bounds = np.cumsum([shares[split] for split in SPLITS])[:-1]
    points = {
        number: SPLITS[int(np.searchsorted(bounds, stable_unit(f"{seed}/{key}"), side="right"))]
        for number, (_, key) in keys.items()
    }
    return [points[number] for number in unit.tolist()]


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
