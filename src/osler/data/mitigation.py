"""Groups that training has few rows of count as much as any other, by weights in the loss or by repeated rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sklearn.utils.class_weight import compute_sample_weight

from osler.errors import InputError, show
from osler.recipe import MitigationSection
from osler.runs import GroupShare, MitigationReport
from osler.tasks import Case

LABEL = "label"


def balanced(
    rows: Sequence[Case], asked: MitigationSection, place: str, seed: int
) -> tuple[list[Case], list[float] | None, MitigationReport]:
    """``rows`` as they are with a weight each, in mean 1, or some of them repeated and no weights; and what was done.

    A group's rows weigh n / (groups · its rows), as scikit-learn's ``class_weight="balanced"`` has it. Repeated rows
    make every group as large as the largest; a row that is repeated has a case id for each time. Rows that do not tell
    the attribute stay as they are.

    Raises :class:`InputError`, which begins with ``place``, where the rows tell fewer than two groups.
    """
    groups = [row.label if asked.by == LABEL else row.subgroups.get(asked.by) for row in rows]
    told = [group for group in groups if group is not None]
    if len(set(told)) < 2:
        known = sorted({name for row in rows for name in row.subgroups})
        raise InputError(
            f"{place}: mitigation.by: {show(asked.by)} parts the training rows into {len(set(told))} groups;"
            f" expected one of {', '.join([LABEL, *known])} that parts them into more"
        )
    n = Counter(told)
    if asked.method == "reweighting":
        of_told = iter(compute_sample_weight("balanced", told))
        weights = [1.0 if group is None else float(next(of_told)) for group in groups]
        counts = {group: weight for group, weight in zip(groups, weights, strict=True) if group is not None}
        made = list(rows)
    else:
        largest = max(n.values())
        made = [*(row for row, group in zip(rows, groups, strict=True) if group is None)]
        for group in sorted(n):
            of = [row for row, own in zip(rows, groups, strict=True) if own == group]
            made += repeated(of, largest, random.Random(f"mitigation/{seed}/{group}"))
        random.Random(f"mitigation/{seed}").shuffle(made)
        weights, counts = None, {group: largest / of for group, of in n.items()}
    return (
        made,
        weights,
        MitigationReport(
            by=asked.by,
            method=asked.method,
            untold=len(rows) - len(told),
            groups={group: GroupShare(rows=n[group], counted=counts[group]) for group in sorted(n)},
        ),
    )


def repeated(rows: Sequence[Case], size: int, dice: random.Random) -> list[Case]:
    """``size`` of ``rows``: all of them as often as that goes, and some once more, drawn without replacement."""
    times, rest = divmod(size, len(rows))
    drawn = sorted(dice.sample(range(len(rows)), rest))
    return [
        replace(case, case_id=f"{case.case_id}#{time}") if time else case
        for time in range(times + 1)
        for case in (rows if time < times else [rows[position] for position in drawn])
    ]
