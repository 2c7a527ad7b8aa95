#!/usr/bin/env python3
"""What `balance:` was worth: runs that differ in it alone, the first without it, on one split, as a Markdown table.

benchmarks/balance.py validation RUN_WITHOUT RUN_REWEIGHTED RUN_SAMPLED
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from osler.errors import exit_status
from osler.rendering import cell, signed
from osler.runs import Prediction, Run, System, read_predictions, tuned_name
from osler.statistics import Floats, Resamples, intervals, number_groups, resampling


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split")
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    found = [answers(Run(path), arguments.split) for path in arguments.runs]
    first = found[0][1]
    drawn = Resamples.draw(len(first), 2000, 0, number_groups({row.case_id: row.group for row in first}))
    print("| run | accuracy | minus the first | balanced accuracy | minus the first | worst subgroup | gap by sex |")
    print("|---|---|---|---|---|---|---|")
    before = balanced(first, drawn.counts)
    for name, rows, system in found:
        assert [row.case_id for row in rows] == [row.case_id for row in first], f"{name}: other cases"
        right, was = (np.array([float(row.correct) for row in of]) for of in (rows, first))
        accuracy = intervals.paired_bootstrap_difference(right, was, drawn.counts)
        now = balanced(rows, drawn.counts)
        low, high, _ = drawn.interval(now[0] - before[0], now[1] - before[1])
        gap = system.subgroups["sex"].gap if "sex" in system.subgroups else None
        cells = [name, cell(system.metrics["accuracy"]), signed(*accuracy) if rows is not first else "–"]
        cells += [cell(system.metrics["balanced_accuracy"])]
        cells += [signed(now[0] - before[0], low, high) if rows is not first else "–", worst(system)]
        print(f"| {' | '.join([*cells, signed(gap.value, gap.low, gap.high) if gap else '–'])} |")
    return 0


def answers(run: Run, split: str) -> tuple[str, list[Prediction], System]:
    """What the tuned model of ``run`` answered, and what it scored."""
    recipe = run.recipe()
    name = tuned_name(recipe)
    record = next(record for record in run.read_results().records if record.split == split)
    return recipe.name, read_predictions(run.prediction_path(recipe.task.name, split, name)), record.systems[name]


def balanced(rows: list[Prediction], counts: Floats) -> tuple[float, Floats]:
    """Balanced accuracy, and on each resample."""
    given = [row.label for row in rows], [row.answer or "" for row in rows]
    value = resampling.resampled_label_metrics(*given, np.ones((1, len(rows))))["balanced_accuracy"]
    return float(value[0]), resampling.resampled_label_metrics(*given, counts)["balanced_accuracy"]


def worst(system: System) -> str:
    """The subgroup with the least accuracy, of those with enough cases for one."""
    groups = [
        (group.accuracy.value, f"{attribute.replace('_', ' ')} {value} {cell(group.accuracy)}")
        for attribute, of in system.subgroups.items()
        for value, group in of.values.items()
        if group.accuracy
    ]
    return min(groups, default=(0.0, "–"))[1]


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
