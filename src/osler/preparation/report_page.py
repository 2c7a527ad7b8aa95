"""Render a data report for readers: ``data_report.html``, and the summary that the command prints."""

from __future__ import annotations

from markupsafe import Markup

import osler
from osler.preparation.data_report import DataReport
from osler.preparation.splitting import SPLITS
from osler.rendering import plots, render_template

MAX_LABELS = 30  # in the figure


def render_page(name: str, report: DataReport) -> str:
    """``data_report.html``: one page that needs no network. The same arguments give the same bytes."""
    rows = [(split, {"rows": counts["rows"]}) for split, counts in report["splits"].items()]
    rows += [(f"dropped: {reason.replace('_', ' ')}", {"rows": n}) for reason, n in report["dropped"].items()]
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
        rows=Markup(plots.bars("flow", f"What became of the rows of {name}", rows, "rows")),
        labels=Markup(plots.bars("labels", "Rows of each label", labels, "rows")),
        lengths=Markup(plots.bars("lengths", "Words in a text", lengths, "rows")),
        max_labels=MAX_LABELS,
    )


def render_summary(report: DataReport) -> str:
    """The outcome in a few lines."""
    splits = ", ".join(f"{split} {counts['rows']:,}" for split, counts in report["splits"].items())
    lines = [f"{report['rows_in']:,} rows in, {report['rows_out']:,} out: {splits}; {len(report['labels'])} labels"]
    lines += [f"  {n:>9,} dropped: {reason.replace('_', ' ')}" for reason, n in report["dropped"].items()]
    for label, n in report["labels_left_in_text"].items():
        texts = "text contains" if n == 1 else "texts contain"
        lines.append(f"  {n:>9,} {texts} the label {label}, which is not masked because it is one common word")
    if report["identifiers"] is not None:
        identifiers = ", ".join(f"{name} {n:,}" for name, n in report["identifiers"].items())
        lines.append(f"  identifiers replaced: {identifiers or 'none found'}")
    for order, n in (report["dates"] or {}).items():
        if n:
            lines.append(f"  dates of {n:,} {'file' if n == 1 else 'files'} read with the {order.replace('_', ' ')}")
    for split, counts in report["splits"].items():
        if not counts["rows"]:
            lines.append(f"  {split} has no rows")
        if missing := counts["labels_missing"]:
            some = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            number = "1 label" if len(missing) == 1 else f"{len(missing)} labels"
            lines.append(f"  {split} has no rows of {number}: {some}")
    clusters = report["clusters"]
    lines.append(
        f"  {clusters['rows']:,} rows in {clusters['clusters']:,} clusters of near-duplicates, each in one split"
    )
    return "\n".join(lines)
