"""``monitoring.html``: a report on one page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from markupsafe import Markup

import osler
from osler.monitoring import alarms
from osler.monitoring.bins import MEANING
from osler.monitoring.records import Accuracy, Monitoring
from osler.rendering import cell, interval_apart, p_value, render_template, signed_cell, timelines
from osler.runs import Estimate
from osler.storage import check_folder, write_atomically, write_model

Series = Mapping[str, Sequence[tuple[int, Estimate]]]


def write(path: Path, report: Monitoring) -> None:
    """Write the page to ``path``, and beside it, with its stem, ``.json``, ``.txt`` (an e-mail) and ``.prom``."""
    check_folder(path.parent)
    write_atomically(path, render(report))
    write_model(path.with_suffix(".json"), report)
    write_atomically(path.with_suffix(".txt"), alarms.email(report))
    write_atomically(path.with_suffix(".prom"), alarms.exposition(report))


def render(report: Monitoring) -> str:
    """The page; the same report gives the same bytes."""
    ends = list(accumulate(window.n for window in report.windows))
    full = [(end, window) for end, window in zip(ends, report.windows, strict=True) if window.drift]
    drift = [
        (
            MEANING[feature],
            [(end, window.drift[feature].psi / window.drift[feature].limit) for end, window in full],
        )
        for feature in (full[0][1].drift if full else ())
    ]
    known = list(zip(ends, (window.accuracy for window in report.windows), strict=True))
    attributes = sorted({attribute for window in report.windows for attribute in window.groups})
    return render_template(
        "monitoring/page.html.jinja",
        {
            "estimate": lambda share: interval_apart(cell(share)),
            "p_value": p_value,
            "signed": lambda gap: interval_apart(signed_cell(gap)),
        },
        version=osler.__version__,
        report=report,
        headline=alarms.headline(report),
        compared=alarms.compared(report),
        judged=alarms.judged(report.accuracy, report.n),
        selected=alarms.SELECTED,
        concept=alarms.CONCEPT,
        misjudged=alarms.misjudged(report),
        meaning=MEANING,
        differs=lambda swap: "; ".join(f"{measure}: {p_value(p)}" for measure, p in swap.differs.items()) or "–",
        drift=Markup(timelines.limits("drift", "Distance from the evaluation, as a share of the limit", drift))
        if len(full) > 1
        else None,
        last=full[-1] if full else None,
        unfinished=report.n % report.window,
        accuracy=_shares("accuracy", "Accuracy by window", "accuracy", accuracies(known), report.window),
        abstention=_shares(
            "abstention",
            "Answers too unsure to be told, by window",
            "share",
            {"too unsure": _of(known, "abstained")},
            report.window,
        ),
        groups={
            attribute: _shares(
                f"group-{number}",
                f"Estimated accuracy by {attribute}",
                "estimated accuracy",
                estimates_by_value(
                    {end: window.groups.get(attribute, {}) for end, window in zip(ends, report.windows, strict=True)}
                ),
                report.window,
            )
            for number, attribute in enumerate(attributes)
        },
    )


def accuracies(known: Sequence[tuple[int, Accuracy]]) -> Series:
    """Estimated and realised accuracy."""
    return {"estimated without labels": _of(known, "estimated"), "of judged cases": _of(known, "realised")}


def estimates_by_value(windows: Mapping[int, Mapping[str, Accuracy]]) -> Series:
    """Value of an attribute → its estimated accuracy in each window, by the window's last case, where it is known."""
    values = sorted({value for own in windows.values() for value in own})
    return {
        value: _of([(end, own[value]) for end, own in windows.items() if value in own], "estimated") for value in values
    }


def _of(known: Sequence[tuple[int, Accuracy]], name: str) -> list[tuple[int, Estimate]]:
    return [(end, found) for end, accuracy in known if (found := getattr(accuracy, name)) is not None]


def _shares(name: str, title: str, ylabel: str, series: Series, window: int) -> Markup | None:
    """The figure of those that have a point; None where all are of one window: the tables have it."""
    drawn = {label: points for label, points in series.items() if points}
    if len({end for points in drawn.values() for end, _ in points}) < 2:
        return None
    return Markup(timelines.shares(name, title, drawn, ylabel, window))
