"""``data_report.json`` of a prepared dataset: what became of every row; ``data_report.html`` for those who look."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

import osler
from osler.data import duplicates
from osler.preparation.cleaning import LabelInText, Step, stated
from osler.preparation.splitting import SPLITS
from osler.rendering import plots, render_template

if TYPE_CHECKING:
    from osler.preparation.selection import Selection
    from osler.preparation.settings import Preparation

EXAMPLES = 3  # of each reason
LONGEST_EXAMPLE = 200  # characters
SHOWN = 10  # clusters, and cases of each
BARS = 30  # labels in the figure


def describe(selection: Selection, source: str, preparation: Preparation, files: Mapping[str, str]) -> dict[str, Any]:
    """What became of every row, as JSON. No text is in it but of rows that were dropped after cleaning and
    de-identification (``examples``).

    ``rows_in`` is ``rows_out`` and all of ``dropped``. ``labels``, ``lengths``, ``subgroups`` and ``splits`` count the
    rows that stayed. ``leakage``: training rows dropped because they stood in a held-out split of the source.
    ``files``: name → sha256.
    """
    kept = selection.kept
    dropped = Counter(str(reason) for reason in selection.dropped if reason)
    if selection.rejected:
        dropped["unreadable"] = len(selection.rejected)
    changed: Counter[str] = Counter()
    for names, n in Counter(selection.column(selection.cleaned, "changed")).items():
        changed.update(dict.fromkeys(names.split(","), n))
    steps = [
        {**step, "changed": changed[step["step"]], "dropped": dropped[step["step"]]}
        for step in stated(preparation.steps)
    ]
    labels = _labels(selection)
    return {
        "schema": 1,
        "source": source,
        "license": preparation.license,
        "rows_in": len(selection.dropped) + len(selection.rejected),
        "rows_out": len(kept),
        "dropped": dict(dropped.most_common()),
        "steps": steps,
        "labels_left_in_text": _left_in_text(selection, preparation.steps),
        "labels": labels,
        "spellings": _spellings(selection),
        "lengths": _lengths(selection),
        "clusters": _clusters(selection),
        "leakage": selection.leakage,
        "splits": {split: _split(selection, split, labels) for split in SPLITS},
        "split_by": _split_by(selection, preparation.cuts),
        "subgroups": _subgroups(selection),
        "identifiers": None
        if preparation.key is None
        else dict(Counter(found["type"] for found in selection.audit()).most_common()),
        "examples": _examples(selection, hidden=preparation.key is not None),
        "files": dict(files),
    }


def _labels(selection: Selection) -> dict[str, dict[str, int]]:
    """Label → split → rows, the most frequent first."""
    found = {}
    for code in np.unique(selection.label[selection.kept]):
        of = Counter(selection.assigned[selection.kept[selection.label[selection.kept] == code]])
        found[str(selection.labels[code])] = {split: of[split] for split in SPLITS}
    return dict(sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0])))


def _left_in_text(selection: Selection, steps: Mapping[str, Step]) -> dict[str, int]:
    """Label that is one common word → how many texts of it say it, and keep it."""
    step = steps.get("label_in_text")
    if not isinstance(step, LabelInText):
        return {}
    kept, found = selection.kept, {}
    for code, label in enumerate(map(str, selection.labels)):
        if step.keeps(label):
            found[label] = step.left(label, selection.texts(kept[selection.label[kept] == code]))
    return {label: n for label, n in found.items() if n}


def _spellings(selection: Selection) -> dict[str, list[str]]:
    """Label → how else the source writes it, where it does."""
    also: dict[str, set[str]] = {}
    given, meant = (selection.column(rows, "label") for rows in (selection.raw, selection.cleaned))
    for raw, now in set(zip(given, meant, strict=True)):
        if now and raw.strip() != now:
            also.setdefault(now, set()).add(raw.strip())
    return {label: sorted(of) for label, of in sorted(also.items())}


def _lengths(selection: Selection) -> list[dict[str, Any]]:
    """How many rows of each split have ``from`` to ``to`` words; after 8, a bin is twice as wide as the one before."""
    words = selection.column(selection.cleaned, "words")[selection.kept]
    edges = [0, *(2**power for power in range(3, max(4, int(words.max()).bit_length() + 1)))]
    bins = []
    for low, high in pairwise(edges):
        of = Counter(selection.assigned[selection.kept[(low <= words) & (words < high)]])
        bins.append({"from": low, "to": high - 1, **{split: of[split] for split in SPLITS}})
    return bins


def _clusters(selection: Selection) -> dict[str, Any]:
    """Near-duplicates among the rows that stayed."""
    _, place, rows = np.unique(selection.cluster[selection.kept], return_inverse=True, return_counts=True)
    case_ids = selection.column(selection.raw, "case_id")
    largest = [code for code in np.argsort(-rows, kind="stable")[:SHOWN].tolist() if rows[code] > 1]
    return {
        "near": duplicates.CLUSTER,
        "clusters": int((rows > 1).sum()),
        "rows": int(rows[rows > 1].sum()),
        "largest": [
            {
                "rows": int(rows[code]),
                "cases": case_ids[selection.kept[place == code][:SHOWN]].tolist(),
            }
            for code in largest
        ],
    }


def _split(selection: Selection, split: str, labels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    places = selection.kept[selection.assigned[selection.kept] == split]
    groups, case_ids = (selection.column(selection.raw, name)[places] for name in ("group", "case_id"))
    return {
        "rows": len(places),
        "groups": len(set(np.where(groups == "", case_ids, groups))),
        # A split that is not wanted misses nothing.
        "labels_missing": [label for label, of in labels.items() if not of[split]] if len(places) else [],
    }


def _split_by(selection: Selection, cuts: tuple[str, str] | None) -> str:
    if selection.given.any():
        return "The splits are those of the source."
    if cuts:
        return f"By date: before {cuts[0]} train, before {cuts[1]} validation, from then on test."
    return (
        "By a hash of the group, or of the case where it has none; what shares a group or is nearly the same stays"
        " together, and rows added later move no row that is here."
    )


def _subgroups(selection: Selection) -> dict[str, dict[str, dict[str, int]]]:
    """Subgroup → value → split → rows."""
    counts: Counter[tuple[str, str, str]] = Counter()
    kept = selection.kept
    values = selection.column(selection.raw, "subgroups")[kept]
    for (subgroups, split), n in Counter(zip(values, selection.assigned[kept], strict=True)).items():
        for name, value in json.loads(subgroups).items():
            counts[name, value, split] += n
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, value in sorted({(name, value) for name, value, _ in counts}):
        found.setdefault(name, {})[value] = {split: counts[name, value, split] for split in SPLITS}
    return found


def _examples(selection: Selection, hidden: bool) -> dict[str, list[dict[str, str | None]]]:
    """Reason → some rows. Where texts are de-identified, those dropped before that are not shown."""
    shown: dict[str, list[dict[str, str | None]]] = {}
    for reason in dict.fromkeys(str(reason) for reason in selection.dropped if reason):
        places = np.flatnonzero(selection.dropped == reason)[:EXAMPLES]
        shown[reason] = [
            {"source": raw["source"], "text": None if hidden and row["dropped"] else row["text"][:LONGEST_EXAMPLE]}
            for raw, row in selection.pairs(places)
        ]
    if selection.rejected:
        shown["unreadable"] = [
            {"source": f"{row.source}: {row.reason}", "text": None} for row in selection.rejected[:EXAMPLES]
        ]
    return shown


def page(name: str, report: Mapping[str, Any]) -> str:
    """``data_report.html``: one page that needs no network; the same arguments give the same bytes."""
    by_split = [(split, {"rows": of["rows"]}) for split, of in report["splits"].items()]
    flow = [*by_split, *((f"dropped: {why.replace('_', ' ')}", {"rows": n}) for why, n in report["dropped"].items())]
    labels = list(report["labels"].items())[:BARS]
    lengths = [(f"{of['from']}–{of['to']}", {split: of[split] for split in SPLITS}) for of in report["lengths"]]
    return render_template(
        "preparation/data_report.html.jinja",
        version=osler.__version__,
        name=name,
        report=report,
        flow=Markup(plots.bars("flow", f"What became of the rows of {name}", flow, "rows")),
        labels=Markup(plots.bars("labels", "Rows of each label", labels, "rows")),
        lengths=Markup(plots.bars("lengths", "Words of a text", lengths, "rows")),
        shown=BARS,
    )


def summary(report: Mapping[str, Any]) -> str:
    """What came out, in a few lines."""
    splits = ", ".join(f"{split} {of['rows']:,}" for split, of in report["splits"].items())
    lines = [f"{report['rows_in']:,} rows in, {report['rows_out']:,} out: {splits}; {len(report['labels'])} labels"]
    lines += [f"  {n:>9,} dropped: {reason.replace('_', ' ')}" for reason, n in report["dropped"].items()]
    for label, n in report["labels_left_in_text"].items():
        lines.append(f"  {n:>9,} texts of {label} say so: one common word, which is not masked")
    if report["identifiers"] is not None:
        found = ", ".join(f"{name} {n:,}" for name, n in report["identifiers"].items())
        lines.append(f"  identifiers replaced: {found or 'none found'}")
    for split, of in report["splits"].items():
        if not of["rows"]:
            lines.append(f"  {split} has no rows")
        if of["labels_missing"]:
            some = ", ".join(of["labels_missing"][:3]) + (" …" if len(of["labels_missing"]) > 3 else "")
            lines.append(f"  {split} has no row of {len(of['labels_missing'])} labels: {some}")
    clusters = report["clusters"]
    lines.append(
        f"  {clusters['rows']:,} rows in {clusters['clusters']:,} clusters of near-duplicates, none torn apart"
    )
    return "\n".join(lines)
