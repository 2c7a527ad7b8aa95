"""Render the tables of results, and format the numbers in them."""

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
PROBABILITY_COLUMNS = ("macro_roc_auc", "ece")  # only for splits in which a system has probabilities


def render_table(results: dict[str, Any]) -> str:
    """``results.json`` as plain text of at most 110 columns: a table for each task and split, then the comparisons.

    Long names are shortened.
    """
    lines = []
    for record in results["records"]:
        columns = column_titles(record)
        rows = [["system", *columns.values(), "n"]]
        rows += [
            [shorten(name), *_cells(system, columns, with_interval=("accuracy",)), str(record["n"])]
            for name, system in record["systems"].items()
        ]
        lines += [f"{record['task']}, {record['split']}", "", *_aligned(rows)]
        lines.append("")
        lines += [*group_notes(record), *contamination_notes(record), *parity_notes(record)]
        lines += [f"{shorten(name)}: {note}" for name, note in parsing_notes(record)]
        if record["comparisons"]:
            lines.append(f"Accuracy of {shorten(record['comparisons'][0]['a'])} minus that of")
        width = max(len(row[0]) for row in rows)
        lines += [f"  {shorten(row['b']).ljust(width)}  {comparison(row)}" for row in record["comparisons"]]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown_table(results: dict[str, Any]) -> str:
    """``results.json`` as Markdown for cards and READMEs, with the 95% interval of every number."""
    lines = []
    for record in results["records"]:
        lines += [f"**{record['task']}, {record['split']}** (n = {record['n']})", ""]
        columns = {**column_titles(record), "accuracy": "accuracy"}
        lines += [f"| {' | '.join(['system', *columns.values()])} |", f"|---|{'---:|' * len(columns)}"]
        for name, system in record["systems"].items():
            lines.append(f"| {' | '.join([name, *_cells(system, columns, with_interval=tuple(columns))])} |")
        lines.append("")
        lines += [f"* {note}" for note in (*group_notes(record), *contamination_notes(record), *parity_notes(record))]
        lines += [f"* {name}: {note}" for name, note in parsing_notes(record)]
        lines += [f"* accuracy of {row['a']} minus {row['b']}: {comparison(row)}" for row in record["comparisons"]]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; pipes and line ends in cells are escaped."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in [header, *rows]]
    head, *body = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, "|" + "---|" * len(header), *body])


ROBUSTNESS_NOTES = (
    "sex_swap, age_swap: a counterfactual test; only words for sex or age change, so a new answer depends on them.\n"
    "negated: the findings are no longer those of the case, so a new answer is not wrong.\n"
    "n is 0 if no case of the split mentions what would be changed; choose another with --split.\n"
)


def render_robustness(robustness: dict[str, Any]) -> str:
    """``robustness.json`` as plain text of at most 110 columns: a row for each system and perturbation."""
    systems = robustness["records"]
    rows = [["", "strength", "n", "accuracy", "change [95%]", "new answer [95%]"]]
    for system, records in systems.items():
        rows.append([shorten(system, 34), *[""] * 5])
        rows += [[f"  {r['perturbation']}", f"{r['strength']:g}", str(r["n"]), *_robustness_cells(r)] for r in records]
    title = f"{robustness['task']}, {robustness['split']}: original cases → the same cases perturbed"
    return "\n".join([title, "", *map(str.rstrip, _aligned(rows)), "", ROBUSTNESS_NOTES])


def _robustness_cells(record: dict[str, Any]) -> list[str]:
    if not record["n"]:
        return ["–", "–", "–"]
    return [
        f"{record['original_accuracy']['value']:.3f} → {record['accuracy']['value']:.3f}",
        difference(record["change"]),
        cell(record["top_1_flip_rate"]),
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines, with the first column left-aligned and the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def column_titles(record: dict[str, Any]) -> dict[str, str]:
    """Metric name → title, for the columns in the table of a split."""
    metrics = set().union(*(system["metrics"] for system in record["systems"].values()))
    return {name: title for name, title in COLUMNS.items() if name in metrics or name not in PROBABILITY_COLUMNS}


def _cells(system: dict[str, Any], columns: dict[str, str], with_interval: tuple[str, ...]) -> list[str]:
    return [cell(system["metrics"].get(name), name in with_interval) for name in columns]


def cell(metric: dict[str, Any] | None, with_interval: bool = True) -> str:
    """A metric ``{value, low, high, …}`` as ``0.308 [0.216, 0.417]``, or without its interval if it has none."""
    if metric is None:
        return "–"
    interval = f" [{metric['low']:.3f}, {metric['high']:.3f}]" if with_interval and metric["low"] is not None else ""
    return f"{metric['value']:.3f}{interval}"


def group_notes(record: dict[str, Any]) -> list[str]:
    """A note if the cases are not independent."""
    if not record["groups"]:
        return []
    groups = f"{record['groups']} group{'' if record['groups'] == 1 else 's'}"
    # With too few groups, a share still has Wilson's interval, up to [0, 1]; resampled metrics have none.
    return [f"{record['n']} cases of {groups}: intervals are over groups; with too few groups, only shares have one"]


def contamination_notes(record: dict[str, Any]) -> list[str]:
    """A note on how many cases are in the training data, if that was measured."""
    measures = record["contamination"]
    if not measures:
        return []
    names = {"normalised": "word for word", "near": "nearly", "ngrams": "by most of their 8-word phrases"}
    counts = ", ".join(f"{measures[name]['cases']} {how}" for name, how in names.items())
    publications = measures["publications"]
    shared = f"; {publications['cases']} share a publication with it" if publications else ""
    return [f"Cases that are in the training data: {counts}{shared}"]


def parity_notes(record: dict[str, Any]) -> list[str]:
    """A note on how closely the merged model agrees with the model with its adapter, if both were run."""
    parity = record["parity"]
    if not parity:
        return []
    note = f"same first answer in {parity['same_first_label']} of {parity['n']}, ranking in {parity['same_ranking']}"
    if parity["max_probability_difference"] is not None:
        note += f"; probabilities within {parity['max_probability_difference']:.1e} (bound {parity['bound']:g})"
    return [f"{'Merged' if parity['holds'] else 'MERGED MODEL DIFFERS'}: {note}"]


def parsing_notes(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(system, note) for each system with answers that could not be parsed."""
    rates = {name: system["metrics"]["parse_rate"]["value"] for name, system in record["systems"].items()}
    return [
        (name, f"{1 - rate:.1%} of the answers could not be parsed and count as wrong")
        for name, rate in rates.items()
        if rate < 1
    ]


def comparison(row: dict[str, Any]) -> str:
    """One of the ``comparisons`` with its interval, test and p-values."""
    test = "McNemar" if row["method"] == "mcnemar_exact" else "sign flips"
    return f"{difference(row)}, {test} {p_value(row['p_value'])}, Holm {p_value(row['p_adjusted'])}"


def difference(row: dict[str, Any]) -> str:
    """A ``{difference, low, high, …}`` as ``+0.077 [-0.013, +0.167]``."""
    interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{row['difference']:+.3f}{interval}"


def p_value(value: float) -> str:
    """``p = 0.180``, or ``p < 0.001`` for smaller values."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def shorten(name: str, width: int = 36) -> str:
    """``name`` without its middle if it is longer than ``width``."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"
