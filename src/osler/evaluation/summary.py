"""The tables that people read of ``results.json`` and ``robustness.json``, as plain text or Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from osler.recipe import FUSED
from osler.rendering import aligned, cell, difference, escaped, p_value, shorten
from osler.runs import Comparison, Estimate, Fusion, PerturbedRecord, Record, Results, Robustness, System

COLUMNS = {
    "accuracy": "accuracy [95%]",
    "balanced_accuracy": "balanced",
    "top_3_accuracy": "top-3",
    "top_5_accuracy": "top-5",
    "mrr": "MRR",
    "macro_roc_auc": "AUROC",
    "ece": "ECE",
    "calibrated_ece": "ECE cal.",
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
    "calibrated_ece": "the same after a temperature that was fitted on the split validation",
}
# Only for splits in which a system has probabilities, or has them calibrated.
PROBABILITY_COLUMNS = ("macro_roc_auc", "ece", "calibrated_ece")
WIDTH = 26  # of a system's name in plain text
LEVEL = 0.05  # an adjusted p value below it is called a difference
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
            [shorten(name, WIDTH), *_cells(system, columns, with_interval=("accuracy",)), str(record.n)]
            for name, system in record.systems.items()
        ]
        part = f": only the first {results.first} cases" if results.first else ""
        lines += [f"{record.task}, {record.split}{part}", "", *aligned(rows)]
        lines.append("")
        lines += [*group_notes(record), *contamination_notes(record), *parity_notes(record)]
        lines += [f"{shorten(name, WIDTH)}: {note}" for name, note in parsing_notes(record)]
        width = max(len(row[0]) for row in rows)
        for a in dict.fromkeys(row.a for row in record.comparisons):
            lines.append(f"Accuracy of {shorten(a, WIDTH)} minus that of")
            lines += [f"  {shorten(b, WIDTH).ljust(width)}  {comparison(row)}" for b, row in record.against(a).items()]
        lines += [*fusion_notes(record, results.fused), ""]
    lines += fusion_formula(results.fused)
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown_table(records: Sequence[Record], fused: Fusion | None = None) -> str:
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
        lines += [f"* {escaped(note)}" for note in fusion_notes(record, fused)]
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
    measured = set().union(*(measures(system) for system in record.systems.values()))
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


def measures(system: System) -> dict[str, Estimate]:
    """What the columns of a table are taken from: the metrics, and ``calibrated_ece`` where there is one."""
    after = system.calibration.after
    return {**system.metrics, **({"calibrated_ece": after.ece} if after and after.ece else {})}


def _cells(system: System, columns: Mapping[str, str], with_interval: tuple[str, ...]) -> list[str]:
    return [cell(measures(system).get(name), name in with_interval) for name in columns]


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
    # Training looked at the whole split; where only its first cases were asked, it does not say how many of them.
    of = f" (of all {overlap.n:,} of the split)" if overlap.n != record.n else ""
    return [
        f"Cases that are in the training data{of}: {overlap.normalised.cases} word for word, {overlap.near.cases}"
        f" nearly, {overlap.ngrams.cases} by most of their 8-word phrases{shared}"
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


def fusion_formula(fused: Fusion | None, shown: Mapping[str, str] = {}) -> list[str]:
    """What the system ``fused`` is, in a line; no line without one. ``shown`` is system → what it is called."""
    if fused is None:
        return []
    parts = " + ".join(f"{weight:.2f} × log p({shown.get(name, name)})" for name, weight in fused.weights.items())
    on = f"fitted on {fused.fitted_on.n:,} cases of {fused.fitted_on.split} ({fused.groups:,} independent)"
    left_out = ", ".join(shown.get(name, name) for name in fused.left_out)
    without = f"; without {left_out}, which gives no probabilities" if fused.left_out else ""
    return [f"log p({FUSED}) = {parts} + constant; {on}{without}"]


def fusion_notes(record: Record, fused: Fusion | None, shown: Mapping[str, str] = {}) -> list[str]:
    """:func:`fusion_verdict` of a split; none where nothing was fused."""
    rows = record.against(FUSED)
    return [] if fused is None else fusion_verdict({shown.get(name, name): row for name, row in rows.items()})


class Compared(Protocol):
    """A paired comparison, such as :class:`~osler.runs.Comparison`."""

    @property
    def difference(self) -> float: ...
    @property
    def p_adjusted(self) -> float: ...


def fusion_verdict(rows: Mapping[str, Compared]) -> list[str]:
    """Whether ``fused`` is above every part, from its paired comparisons with them, by their names."""
    ahead = [b for b, row in rows.items() if row.p_adjusted < LEVEL and row.difference > 0]
    behind = [b for b, row in rows.items() if row.p_adjusted < LEVEL and row.difference < 0]
    unclear = [b for b in rows if b not in (*ahead, *behind)]
    if rows and not (behind or unclear):
        return [f"{FUSED} is above every part of it (Holm, p < {LEVEL:g} each)"]
    notes = [f"{FUSED} is below {', '.join(behind)}"] if behind else []
    return notes + ([f"{FUSED} is not shown to be above {', '.join(unclear)}"] if unclear else [])


def comparison(row: Comparison) -> str:
    """One comparison with its interval, test and p values."""
    test = "McNemar" if row.method == "mcnemar_exact" else "sign flips"
    return f"{difference(row)}, {test} {p_value(row.p_value)}, Holm {p_value(row.p_adjusted)}"
