"""Render a data report for readers: ``data_report.html``, and the summary that the command prints."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

import osler
from osler.preparation.data_report import DataReport, describe_outcome
from osler.rendering import plots, render_template
from osler.splits import SPLITS

MAX_LABELS = 30  # in the figure
MAX_LISTED = 5  # labels that were joined, and that may be one, in the summary
THIN = 5  # rows of a label in a split; with fewer, one row decides what is measured of it
MASKING = "label_in_text"  # the step that masks


def render_page(name: str, report: DataReport) -> str:
    """``data_report.html``: one page that needs no network. The same arguments give the same bytes."""
    rows = [(split, {"rows": counts["rows"]}) for split, counts in report["splits"].items()]
    rows += [(f"dropped: {_words(reason)}", {"rows": n}) for reason, n in report["dropped"].items()]
    labels = list(report["labels"].items())[:MAX_LABELS]
    lengths = [
        (f"{lengths['from']}–{lengths['to']}", {split: lengths[split] for split in SPLITS})  # type: ignore[literal-required]
        for lengths in report["lengths"]
    ]
    return render_template(
        "preparation/data_report.html.jinja",
        version=osler.__version__,
        name=name,
        report=report,
        outcome=describe_outcome(report),
        shows_text=any(example["text"] for examples in report["examples"].values() for example in examples),
        rows=Markup(plots.bars("flow", f"What became of the rows of {name}", rows, "rows")),
        labels=Markup(plots.bars("labels", "Rows of each label", labels, "rows")),
        lengths=Markup(plots.bars("lengths", "Words in a text", lengths, "rows")),
        max_labels=MAX_LABELS,
    )


def render_summary(report: DataReport) -> str:
    """The outcome in a few lines: what was dropped, changed, masked and merged, and where a split is thin."""
    splits = ", ".join(f"{split} {counts['rows']:,}" for split, counts in report["splits"].items())
    lines = [f"{report['rows_in']:,} rows in, {report['rows_out']:,} out: {splits}; {len(report['labels'])} labels"]
    counted = [("dropped", reason, n) for reason, n in report["dropped"].items()]
    for step in report["steps"]:
        counted.append(("masked" if step["step"] == MASKING else "changed", step["step"], step["changed"]))
    lines += [f"  {n:>9,} {verb}: {_words(what)}" for verb, what, n in counted if n]
    lines += [f"  {n:>9,} {text}" for text, n in report["notices"].items()]
    joined = {label: sum(spellings.values()) for label, spellings in report["spellings"].items()}
    for label in sorted(joined, key=lambda label: -joined[label])[:MAX_LISTED]:
        spellings = ", ".join(map(repr, report["spellings"][label]))
        lines.append(f"  {joined[label]:>9,} joined to the label {label}: written {spellings}")
    if len(joined) > MAX_LISTED:
        lines.append(f"  {sum(joined.values()):>9,} joined to {len(joined):,} labels in all: see data_report.html")
    for label, n in report["labels_left_in_text"].items():
        texts = "text contains" if n == 1 else "texts contain"
        lines.append(f"  {n:>9,} {texts} the label {label}, which is not masked because it is a common word")
    leak = report["mask_leak"]
    if leak is None and any(step["changed"] for step in report["steps"] if step["step"] == MASKING):
        lines.append("  whether masks give answers away was not measured: too few rows a label")
    if leak is not None and not leak["above_chance"]:
        low, high = leak["interval"]
        lines.append(
            f"  masks give no answer away: from their places alone {leak['accuracy']:.0%} [{low:.0%}, {high:.0%}] of"
            f" the labels are guessed; {leak['chance']:.0%} is chance"
        )
    lines += [
        f"  not joined, but maybe one label: {', '.join(map(repr, labels))}; if so, write them alike in the source"
        for labels in report["similar_labels"][:MAX_LISTED]
    ]
    if (more := len(report["similar_labels"]) - MAX_LISTED) > 0:
        lines.append(f"  and {more:,} more groups of labels that may be one: see data_report.html")
    if report["identifiers"] is not None:
        identifiers = ", ".join(f"{name} {n:,}" for name, n in report["identifiers"].items())
        lines.append(f"  identifiers replaced: {identifiers or 'none found'}")
    for order, n in (report["dates"] or {}).items():
        if n:
            lines.append(f"  dates of {n:,} {'file' if n == 1 else 'files'} read with the {order.replace('_', ' ')}")
    lines.append(f"  {describe_outcome(report)}{_aim(report)}")
    lines += _thin_splits(report)
    clusters = report["clusters"]
    lines.append(
        f"  {clusters['rows']:,} rows in {clusters['clusters']:,} clusters of near-duplicates, each in one split"
    )
    if report["license"] is None:
        lines.append(
            "  no licence: the recipe says `other`, which scripts/publish.py refuses; name the data's with --license"
        )
    lines += [f"WARNING: {warning}" for warning in report["warnings"]]
    return "\n".join(lines)


def _words(reason: str) -> str:
    return "no text" if reason == "missing" else reason.replace("_", " ")


def _aim(report: DataReport) -> str:
    if report["shares"] is None:
        return ""
    shares = ", ".join(f"{100 * share:.4g}%" for share in report["shares"].values())
    return f"; aimed at {shares}, but every split gets every label where it can"


def _thin_splits(report: DataReport) -> list[str]:
    lines, advice = [], ""
    for split, counts in report["splits"].items():
        if not counts["rows"]:
            lines.append(f"  {split} has no rows")
        if missing := counts["labels_missing"]:
            lines.append(f"  {split} has no rows of {_labels(missing)}")
        thin = [label for label, rows in report["labels"].items() if 0 < rows[split] < THIN]
        if thin:
            lines.append(f"  {split} has fewer than {THIN} rows of {_labels(thin)}")
            by_shares = " choose other --shares in another --output," if report["shares"] else ""
            advice = f"  what is measured on so few says little: add rows,{by_shares} or drop rare labels by --min-rows"
    return [*lines, advice] if advice else lines


def _labels(names: Sequence[str]) -> str:
    return f"{len(names):,} label{'' if len(names) == 1 else 's'} ({_some(names)})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
