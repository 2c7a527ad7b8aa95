"""Champion against a challenger in the shadow, on the cases that both were asked in use and that experts settled."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from osler.feedback import StoredModel, StoredPrediction, right_label
from osler.statistics import intervals, number_groups, significance
from osler.succession.additions import Settled, case_id, group_of
from osler.succession.decision import Contestant
from osler.succession.gate import paired_interval

if TYPE_CHECKING:
    from osler.feedback import store as stores


@dataclass(frozen=True)
class Shadowed:
    """What both models got right, of the same ``n`` cases; ``p`` is of the paired difference.

    Attributes:
        unknown: cases left out because the right diagnosis is not known: the answer shown was wrong, and another.
        learnt: cases left out because the challenger was trained or selected on them, or on others of their patient.
    """

    n: int
    champion: float
    champion_interval: intervals.Interval
    challenger: float
    challenger_interval: intervals.Interval
    difference_interval: intervals.Interval
    p: float
    unknown: int
    learnt: int


def compare(store: stores.Store, champion: Contestant, challenger: Contestant, output: Path) -> Shadowed | None:
    """The two on the stream of ``store``; None where no settled case was answered by both.

    ``output``: the successor's folder, whose training and validation rows are left out.
    """
    names = {model.weights_sha256: model for model in store.models()}
    ours = [one for one in store.predictions(shown=False) if one.weights_sha256 == challenger.weights_sha256]
    theirs = [pair for pair in store.settled() if pair[0].weights_sha256 == champion.weights_sha256 and pair[0].shown]
    return of_answers(theirs, ours, names, _learnt(output))


def of_answers(
    settled: Iterable[Settled],
    shadowed: Iterable[StoredPrediction],
    models: Mapping[str, StoredModel],
    learnt: Collection[str] = (),
) -> Shadowed | None:
    """As :func:`compare`. An answer in the shadow has the hash of its text in common with the one that was shown; of
    several about one text the last one counts. ``models``: hash of the weights to the model, for its labels' names;
    ``learnt``: ids and groups of the rows that the challenger learnt from.
    """

    def named(label: str | None, of: StoredPrediction) -> str | None:
        model = models.get(of.weights_sha256)
        return label if label is None or model is None else model.labels.get(label, label)

    def first(of: StoredPrediction) -> str | None:
        return named(of.diagnoses[0].label if of.diagnoses else None, of)

    ours = {one.text_hmac: one for one in shadowed}
    rows: list[tuple[bool, bool]] = []
    groups: dict[str, str | None] = {}
    unknown = known_before = 0
    for shown, verdict in {one.text_hmac: (one, verdict) for one, verdict in settled}.values():
        if (answer := ours.get(shown.text_hmac)) is None:
            continue
        if {case_id(shown), group_of(shown)} & {*learnt}:
            known_before += 1
            continue
        truth = named(right_label(shown, verdict), shown)
        if truth is None:
            unknown += 1
            continue
        rows.append((first(shown) == truth, first(answer) == truth))
        groups[case_id(shown)] = group_of(shown)
    if not rows:
        return None
    champion, challenger = (np.array(right) for right in zip(*rows, strict=True))
    units, pair = number_groups(groups), (challenger.tolist(), champion.tolist())
    return Shadowed(
        n=len(rows),
        champion=float(champion.mean()),
        champion_interval=intervals.proportion_interval(champion, units),
        challenger=float(challenger.mean()),
        challenger_interval=intervals.proportion_interval(challenger, units),
        difference_interval=paired_interval(challenger, champion, units),
        p=significance.mcnemar_exact(*pair) if units is None else significance.sign_flip_exact(*pair, units),
        unknown=unknown,
        learnt=known_before,
    )


def render(found: Shadowed | None) -> str:
    """For a terminal: a line."""
    if found is None:
        return "in the shadow: no settled case that both models answered"
    sides = (
        f"{name} {value:.3f} [{low:.3f}, {high:.3f}]"
        for name, value, (low, high) in (
            ("successor", found.challenger, found.challenger_interval),
            ("champion", found.champion, found.champion_interval),
        )
    )
    low, high = found.difference_interval
    return (
        f"in the shadow: {found.n:,} settled cases; right: {', '.join(sides)}; difference"
        f" {found.challenger - found.champion:+.3f} [{low:+.3f}, {high:+.3f}], p = {found.p:.2g}; left out:"
        f" {found.unknown:,} whose right diagnosis is not known, {found.learnt:,} that the successor learnt from"
    )


def _learnt(output: Path) -> set[str]:
    """Ids and groups of the rows that the successor was trained and selected on."""
    rows = [
        json.loads(line)
        for split in ("train", "validation")
        for line in (output / "data" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return {name for row in rows for name in (row["case_id"], row["group"]) if name}
