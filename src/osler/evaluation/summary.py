"""The tables that people read of ``results.json`` and ``robustness.json``, as plain text or Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from osler.rendering import aligned, cell, difference, escaped, p_value, shorten
from osler.runs import Comparison, PerturbedRecord, Record, Results, Robustness, System

COLUMNS = {
    "accuracy": "accuracy [95%]",
    "balanced_accuracy": "balanced",
    "top_3_accuracy": "top-3",
    "top_5_accuracy": "top-5",
    "mrr": "MRR",
    "macro_roc_auc": "AUROC",
    "ece": "ECE",
}
MEANINGS = {
    "accuracy": "the share of cases whose first answer is right",
    "balanced_accuracy": "the same with every diagnosis counting alike, however many cases it has",
    "top_3_accuracy": "the share of cases whose right answer is among the first three",
    "top_5_accuracy": "the share of cases whose right answer is among the first five",
    "mrr": (
        "mean reciprocal rank: a case counts 1 where the right answer comes first, 1/2 where second, 1/3 where third,"
        " and so on"
    ),
    "macro_roc_auc": (
        "area under the ROC curve, averaged over the diagnoses: how often a case with the diagnosis is given more"
        " probability of it than one without; 1 is best, 0.5 is chance"
    ),
    "ece": (
        "expected calibration error: how far the stated probability is from the share that is right, on average; 0 is"
        " best, 0.10 means ten in a hundred off"
    ),
}
PROBABILITY_COLUMNS = ("macro_roc_auc", "ece")  # only for splits in which a system has probabilities
ROBUSTNESS_NOTES = (
    "sex_swap, age_swap: a counterfactual test; only words for sex or age change, so a new answer depends on them.\n"
    "negated: the findings are no longer those of the case, so a new answer is not wrong.\n"
    "n is 0 if no case of the split mentions what would be changed; choose another with --split.\n"
)


def render_table(results: Results) -> str:
    """Plain text of at most 110 columns: a table a task and split, then a line a comparison; long names are cut."""
    lines = []
    for record in results.records:
        columns = column_titles(record)
        rows = [["system", *columns.values(), "n"]]
        rows += [
            [shorten(name), *_cells(system, columns, with_interval=("accuracy",)), str(record.n)]
            for name, system in record.systems.items()
        ]
        lines += [f"{record.task}, {record.split}", "", *aligned(rows)]
        lines.append("")
        lines += [*group_notes(record), *contamination_notes(record), *parity_notes(record)]
        lines += [f"{shorten(name)}: {note}" for name, note in parsing_notes(record)]
        if record.comparisons:
            lines.append(f"Accuracy of {shorten(record.comparisons[0].a)} minus that of")
        width = max(len(row[0]) for row in rows)
        lines += [f"  {shorten(row.b).ljust(width)}  {comparison(row)}" for row in record.comparisons]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown_table(records: Sequence[Record]) -> str:
    """Markdown of the same numbers, every one with its 95% interval: for cards and READMEs."""
    lines = []
    for record in records:
        lines += [f"**{escaped(f'{record.task}, {record.split}')}** (n = {record.n})", ""]
        columns = {**column_titles(record), "accuracy": "accuracy"}
        lines += [f"| {' | '.join(['system', *columns.values()])} |", f"|---|{'---:|' * len(columns)}"]
        for name, system in record.systems.items():
            lines.append(f"| {' | '.join([escaped(name), *_cells(system, columns, with_interval=tuple(columns))])} |")
        lines.append("")
        lines += [f"* {note}" for note in (*group_notes(record), *contamination_notes(record), *parity_notes(record))]
        lines += [f"* {escaped(name)}: {note}" for name, note in parsing_notes(record)]
        lines += [f"* {escaped(f'accuracy of {row.a} minus {row.b}: {comparison(row)}')}" for row in record.comparisons]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def render_robustness(robustness: Robustness) -> str:
    """Plain text of at most 110 columns: a table a system, a row a perturbation."""
    rows = [["", "strength", "n", "accuracy", "change [95%]", "new answer [95%]"]]
    for system, records in robustness.records.items():
        rows.append([shorten(system, 34), *[""] * 5])
        rows += [[f"  {r.perturbation}", f"{r.strength:g}", str(r.n), *_robustness_cells(r)] for r in records]
    title = f"{robustness.task}, {robustness.split}: original cases → the same cases perturbed"
    return "\n".join([title, "", *map(str.rstrip, aligned(rows)), "", ROBUSTNESS_NOTES])


def _robustness_cells(record: PerturbedRecord) -> list[str]:
    if not (record.original_accuracy and record.accuracy and record.change):
        return ["–", "–", "–"]
    return [
        f"{record.original_accuracy.value:.3f} → {record.accuracy.value:.3f}",
        difference(record.change),
        cell(record.top_1_flip_rate),
    ]


def column_titles(record: Record) -> dict[str, str]:
    """Metric name → title, for the columns in the table of a split."""
    measured = set().union(*(system.metrics for system in record.systems.values()))
    return {name: title for name, title in COLUMNS.items() if name in measured or name not in PROBABILITY_COLUMNS}


def meanings(record: Record) -> dict[str, str]:
    """Title → what it is in plain words, of the columns in the table of a split."""
    titles = column_titles(record)
    return {title.partition(" [")[0]: MEANINGS[name] for name, title in titles.items()}


def guessing(labels: int) -> dict[str, float]:
    """What one scores who puts ``labels`` labels in any order: the chance level of the columns that have one."""
    return {
        "accuracy": 1 / labels,
        "balanced_accuracy": 1 / labels,
        "top_3_accuracy": min(1.0, 3 / labels),
        "top_5_accuracy": min(1.0, 5 / labels),
        "mrr": sum(1 / place for place in range(1, labels + 1)) / labels,
        "macro_roc_auc": 0.5,
    }


def indifferent(labels: int) -> float:
    """The log loss of giving all of ``labels`` labels the same probability."""
    return math.log(labels)


def _cells(system: System, columns: Mapping[str, str], with_interval: tuple[str, ...]) -> list[str]:
    return [cell(system.metrics.get(name), name in with_interval) for name in columns]


def group_notes(record: Record) -> list[str]:
    """A note if the cases are not independent."""
    if not record.groups:
        return []
    groups = f"{record.groups} group{'' if record.groups == 1 else 's'}"
    # With too few groups, a share still has Wilson's interval, up to [0, 1]; resampled metrics have none.
    return [f"{record.n} cases of {groups}: intervals are over groups; with too few groups, only shares have one"]


def contamination_notes(record: Record) -> list[str]:
    """A note on how many cases are in the training data, if that was measured."""
    overlap = record.contamination
    if overlap is None:
        return []
    shared = f"; {overlap.publications.cases} share a publication with it" if overlap.publications else ""
    return [
        f"Cases that are in the training data: {overlap.normalised.cases} word for word, {overlap.near.cases} nearly,"
        f" {overlap.ngrams.cases} by most of their 8-word phrases{shared}"
    ]


def parity_notes(record: Record) -> list[str]:
    """A note on how closely the merged model agrees with the model with its adapter, if both were run."""
    parity = record.parity
    if parity is None:
        return []
    same = f"same first answer in {parity.same_first_label} of {parity.n}, ranking in {parity.same_ranking}"
    if parity.max_probability_difference is not None:
        same += f"; probabilities within {parity.max_probability_difference:.1e} (bound {parity.bound:g})"
    return [f"{'Merged' if parity.holds else 'MERGED MODEL DIFFERS'}: {same}"]


def parsing_notes(record: Record) -> list[tuple[str, str]]:
    """(system, note) for each system with answers that could not be parsed."""
    rates = {name: system.metrics["parse_rate"].value for name, system in record.systems.items()}
    return [
        (name, f"{1 - rate:.1%} of the answers could not be parsed and count as wrong")
        for name, rate in rates.items()
        if rate < 1
    ]


def comparison(row: Comparison) -> str:
    """One comparison with its interval, test and p values."""
    test = "McNemar" if row.method == "mcnemar_exact" else "sign flips"
    return f"{difference(row)}, {test} {p_value(row.p_value)}, Holm {p_value(row.p_adjusted)}"
