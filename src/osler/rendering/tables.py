"""The tables people read, rendered from ``results.json``, and how a number is written in any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = {
    "accuracy": "accuracy [95%]",
    "balanced_accuracy": "balanced",
    "top_3_accuracy": "top-3",
    "top_5_accuracy": "top-5",
    "mrr": "MRR",
    "macro_roc_auc": "AUROC",
    "ece": "ECE",
}
OF_PROBABILITIES = ("macro_roc_auc", "ece")  # columns for splits where a system has probabilities


def render_table(results: dict[str, Any]) -> str:
    """Plain text of at most 110 columns: a table a task and split, then a line a comparison; long names are cut."""
    lines = []
    for record in results["records"]:
        columns = titles(record)
        rows = [["system", *columns.values(), "n"]]
        rows += [
            [shorten(name), *_cells(system, columns, with_interval=("accuracy",)), str(record["n"])]
            for name, system in record["systems"].items()
        ]
        lines += [f"{record['task']}, {record['split']}", "", *_aligned(rows)]
        lines.append("")
        lines += [*grouped(record), *overlapping(record), *merged(record)]
        lines += [f"{shorten(name)}: {note}" for name, note in unparsed(record)]
        if record["comparisons"]:
            lines.append(f"Accuracy of {shorten(record['comparisons'][0]['a'])} minus that of")
        width = max(len(row[0]) for row in rows)
        lines += [f"  {shorten(row['b']).ljust(width)}  {comparison(row)}" for row in record["comparisons"]]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown_table(results: dict[str, Any]) -> str:
    """Markdown of the same numbers, every one with its 95% interval: for cards and READMEs."""
    lines = []
    for record in results["records"]:
        lines += [f"**{record['task']}, {record['split']}** (n = {record['n']})", ""]
        columns = {**titles(record), "accuracy": "accuracy"}
        lines += [f"| {' | '.join(['system', *columns.values()])} |", f"|---|{'---:|' * len(columns)}"]
        for name, system in record["systems"].items():
            lines.append(f"| {' | '.join([name, *_cells(system, columns, with_interval=tuple(columns))])} |")
        lines.append("")
        lines += [f"* {note}" for note in (*grouped(record), *overlapping(record), *merged(record))]
        lines += [f"* {name}: {note}" for name, note in unparsed(record)]
        lines += [f"* accuracy of {row['a']} minus {row['b']}: {comparison(row)}" for row in record["comparisons"]]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; whatever the cells hold, it stays one."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in [header, *rows]]
    head, *body = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, "|" + "---|" * len(header), *body])


PERTURBED = (
    "sex_swap, age_swap: a counterfactual test; only words for sex or age differ, a new answer hangs on them.\n"
    "negated: the findings are no longer those of the case; another answer is no fault there.\n"
    "n is 0 where no case of the split says what would be changed; --split takes another.\n"
)


def render_robustness(robustness: dict[str, Any]) -> str:
    """Plain text of at most 110 columns, of ``robustness.json``: a table a system, a row a perturbation."""
    systems = robustness["records"]
    rows = [["", "strength", "n", "accuracy", "change [95%]", "another answer [95%]"]]
    for system, records in systems.items():
        rows.append([shorten(system, 34), *[""] * 5])
        rows += [[f"  {r['perturbation']}", f"{r['strength']:g}", str(r["n"]), *_robustness_cells(r)] for r in records]
    title = f"{robustness['task']}, {robustness['split']}: cases as they are → the same cases perturbed"
    return "\n".join([title, "", *map(str.rstrip, _aligned(rows)), "", PERTURBED])


def _robustness_cells(record: dict[str, Any]) -> list[str]:
    if not record["n"]:
        return ["–", "–", "–"]
    return [
        f"{record['original_accuracy']['value']:.3f} → {record['accuracy']['value']:.3f}",
        difference(record["change"]),
        cell(record["top_1_flip_rate"]),
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def titles(record: dict[str, Any]) -> dict[str, str]:
    """Metric name → title, of the columns that the table of a split has."""
    found = set().union(*(system["metrics"] for system in record["systems"].values()))
    return {name: title for name, title in COLUMNS.items() if name in found or name not in OF_PROBABILITIES}


def _cells(system: dict[str, Any], columns: dict[str, str], with_interval: tuple[str, ...]) -> list[str]:
    return [cell(system["metrics"].get(name), name in with_interval) for name in columns]


def cell(metric: dict[str, Any] | None, with_interval: bool = True) -> str:
    """A ``{value, low, high, …}`` as ``0.308 [0.216, 0.417]``; without the interval where there is none."""
    if metric is None:
        return "–"
    interval = f" [{metric['low']:.3f}, {metric['high']:.3f}]" if with_interval and metric["low"] is not None else ""
    return f"{metric['value']:.3f}{interval}"


def grouped(record: dict[str, Any]) -> list[str]:
    """A note on cases that are not independent, if they are not."""
    if not record["groups"]:
        return []
    groups = f"{record['groups']} group{'' if record['groups'] == 1 else 's'}"
    # Of too few groups a share still has Wilson's interval, up to [0, 1]; what is resampled has none.
    return [f"{record['n']} cases of {groups}: intervals are over groups; of too few, only a share has one"]


def overlapping(record: dict[str, Any]) -> list[str]:
    """A note on how many cases stand in the training data, where that was measured."""
    measures = record["contamination"]
    if not measures:
        return []
    names = {"normalised": "word for word", "near": "nearly", "ngrams": "by most of their 8-word phrases"}
    found = ", ".join(f"{measures[name]['cases']} {how}" for name, how in names.items())
    shared = measures["publications"]
    of_one = f"; {shared['cases']} share a publication with it" if shared else ""
    return [f"Cases that the training data holds: {found}{of_one}"]


def merged(record: dict[str, Any]) -> list[str]:
    """A note on how near the merged model is to the model with its adapter, where it answered too."""
    found = record.get("parity")  # results from before it was measured have no such key
    if not found:
        return []
    same = f"same first answer in {found['same_first_label']} of {found['n']}, ranking in {found['same_ranking']}"
    if found["max_probability_difference"] is not None:
        same += f"; probabilities within {found['max_probability_difference']:.1e} (bound {found['bound']:g})"
    return [f"{'Merged' if found['holds'] else 'MERGED MODEL DIFFERS'}: {same}"]


def unparsed(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(system, note) of each system with answers that could not be parsed."""
    rates = {name: system["metrics"]["parse_rate"]["value"] for name, system in record["systems"].items()}
    return [
        (name, f"{1 - rate:.1%} of the answers could not be parsed and count as wrong")
        for name, rate in rates.items()
        if rate < 1
    ]


def comparison(row: dict[str, Any]) -> str:
    """One of ``comparisons`` with its interval, test and p values."""
    test = "McNemar" if row["method"] == "mcnemar_exact" else "sign flips"
    return f"{difference(row)}, {test} {p_value(row['p_value'])}, Holm {p_value(row['p_adjusted'])}"


def difference(row: dict[str, Any]) -> str:
    """A ``{difference, low, high, …}`` as ``+0.077 [-0.013, +0.167]``."""
    interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{row['difference']:+.3f}{interval}"


def p_value(value: float) -> str:
    """``p = 0.180``; small ones as ``p < 0.001``."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def shorten(name: str, width: int = 36) -> str:
    """``name`` with its middle cut out where it is longer than ``width``."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"
