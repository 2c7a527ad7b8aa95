"""How much each training row counts, so that the groups of a recipe's ``balance:`` count alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from osler.errors import InputError, show
from osler.recipe import Recipe
from osler.tasks import Case

LABEL = "label"


def balance_weights(recipe: Recipe, rows: Sequence[Case]) -> tuple[list[float] | None, dict[str, Any] | None]:
    """The weight of each row, and the report for ``data_report.json``; both None without ``balance:``.

    Of N rows that tell a group, in k groups, a row of a group of n weighs N / (k n), so that groups weigh alike and the
    mean is 1 (King & Zeng 2001, Political Analysis 9:137; "balanced" in scikit-learn). Rows that tell none weigh 1.

    Raises :class:`InputError` where no row tells the attribute, or all tell the same.
    """
    if recipe.balance is None:
        return None, None
    by, method = recipe.balance.by, recipe.balance.method
    groups = [row.label if by == LABEL else row.subgroups.get(by) for row in rows]
    sizes = Counter(group for group in groups if group is not None)
    where = f"{recipe.path}: balance.by"
    if not sizes:
        told = ", ".join([LABEL, *sorted({attribute for row in rows for attribute in row.subgroups})])
        raise InputError(f"{where}: no training row of {recipe.task.name} tells {show(by)}; expected one of {told}")
    if len(sizes) == 1:
        (only,) = sizes
        raise InputError(f"{where}: all training rows that tell {show(by)} tell {show(only)}; leave balance: out")
    weight_of = {group: sizes.total() / (len(sizes) * n) for group, n in sorted(sizes.items())}
    report = {
        "by": by,
        "method": method,
        "groups": {group: {"rows": sizes[group], "weight": round(of, 4)} for group, of in weight_of.items()},
        "rows_without": len(rows) - sizes.total(),
    }
    return [1.0 if group is None else weight_of[group] for group in groups], report
