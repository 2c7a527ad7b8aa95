"""Draw the figures of ``report.html`` and ``data_report.html`` as SVG for a page, those of a card as PNG, and learning
curves as files.

The same numbers give the same bytes. The colours are those of Okabe and Ito (2008), which colour-blind readers can
tell apart. Everything with a colour also has its own marker, line style or hatch, for prints in grey.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from typing import Any, Protocol

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from osler.rendering.tables import Value, cell, shorten
from osler.statistics import Floats

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, "black", SKY)
# The lengths differ from that of COLOURS, so that many systems still get different combinations.
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h", "<", ">")
GREY = "#555555"
WIDTH = 4.0  # inches, so that what is written in 9 points has 11 pixels on a telephone 400 wide
STYLE: Any = {
    "svg.fonttype": "none",  # text can be selected, searched and read aloud
    "svg.hashsalt": "osler",
    "text.parse_math": False,  # a $ in a disease name is a dollar
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "hatch.linewidth": 0.8,
}
ON_GRID: dict[str, Any] = {"va": "center", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}

Rows = Sequence[tuple[str, Value | None]]
"""Names and shares from top to bottom; a row without a share is a heading."""

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'  # a page has them
DPI = 200  # of a PNG: twice what a card is shown at


def forest(name: str, title: str, rows: Rows, reference: float | None = None) -> str:
    """A forest plot: shares with their intervals, one below the other, each under its name.

    Args:
        name: the name of the figure, unique on the page.
        title: the name that a screen reader announces.
        reference: the position of a vertical line.
    """
    description = "; ".join(label if metric is None else f"{label} {cell(metric)}" for label, metric in rows)
    with rc_context(STYLE):
        return as_svg(_forest(rows, reference), name, title, description)


def forest_png(rows: Rows, reference: float | None = None) -> bytes:
    """The figure of :func:`forest` as a PNG."""
    with rc_context(STYLE):
        return _png(_forest(rows, reference))


def _forest(rows: Rows, reference: float | None) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.55 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    if reference is not None:
        axes.axvline(reference, color=GREY, linestyle="--", linewidth=1)
    across = axes.get_yaxis_transform()  # x from 0 at the left of the axes to 1 at their right; y in rows
    for row, (label, metric) in enumerate(rows):
        if metric is None:
            axes.text(0, row, shorten(label, 44), weight="bold", transform=across, **ON_GRID)
            continue
        axes.text(0, row - 0.22, shorten(label, 32), transform=across, **ON_GRID)
        axes.text(1, row - 0.22, cell(metric), ha="right", color=GREY, transform=across, **ON_GRID)
        _interval(axes, metric, row + 0.2, BLUE)
        axes.plot(metric.value, row + 0.2, "o", color=BLUE)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.4, -0.6), xlabel="accuracy", yticks=[])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.spines["left"].set_visible(False)
    return figure


class Bin(Protocol):
    """Cases of similar confidence, such as :class:`osler.runs.Reliability`."""

    @property
    def n(self) -> int: ...
    @property
    def confidence(self) -> float: ...
    @property
    def accuracy(self) -> Value: ...


Reliability = Mapping[str, Sequence[Bin]]
"""Heading → a reliability table of ``results.json``; at most two."""


def reliability(name: str, title: str, tables: Reliability) -> str:
    """A reliability diagram: accuracy against confidence in each bin, with a panel for each table."""
    description = "; ".join(
        f"{heading}: " + ", ".join(f"{row.confidence:.2f} → {row.accuracy.value:.2f} (n = {row.n})" for row in bins)
        for heading, bins in tables.items()
    )
    with rc_context(STYLE):
        return as_svg(_reliability(tables), name, title, f"confidence → accuracy, {description}")


def reliability_png(tables: Reliability) -> bytes:
    """The figure of :func:`reliability` as a PNG."""
    with rc_context(STYLE):
        return _png(_reliability(tables))


def _reliability(tables: Reliability) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (heading, bins), marker, colour in zip(panels, tables.items(), "os", (VERMILLION, BLUE), strict=False):
        axes.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1)
        for row in bins:
            _interval(axes, row.accuracy, row.confidence, colour, upright=True)
            axes.plot(row.confidence, row.accuracy.value, marker, color=colour)
        axes.set(title=heading, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", aspect="equal")
        as_percent(axes.xaxis, axes.yaxis)
    panels[0].set_ylabel("accuracy")
    for axes in panels[len(tables) :]:
        axes.set_axis_off()
    return figure


def coverage(
    name: str,
    title: str,
    curves: Mapping[str, tuple[Floats, Floats]],
    thresholds: Mapping[str, tuple[float, float]],
    systems: Sequence[str],
) -> str:
    """The accuracy of the answers against the share of cases answered.

    Args:
        name, title: as in :func:`forest`.
        curves: system → coverages and accuracies, both in [0, 1].
        thresholds: system → coverage and accuracy at its abstention threshold.
        systems: all systems on the page in order, so that a system looks the same in every figure.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.75 + 0.2 * (len(curves) + bool(thresholds))), layout="constrained")
        axes = figure.add_subplot()
        for system, (shares, accuracies) in curves.items():
            place = systems.index(system)
            look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            every = max(1, len(shares) // 8)
            line = LINES[place % len(LINES)]
            axes.plot(shares, accuracies, linestyle=line, markevery=(every // 2, every), label=shorten(system), **look)
        for number, at in enumerate(thresholds.values()):
            label = "abstention threshold" if number == 0 else None
            axes.plot(*at, "*", markersize=14, color="white", markeredgecolor="black", zorder=5, label=label)
        axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.03), xlabel="share of cases answered", ylabel="accuracy of the answers")
        as_percent(axes.xaxis, axes.yaxis)
        figure.legend(loc="outside lower left", handlelength=4)
        description = "; ".join(
            f"{system}: {accuracies[-1]:.3f} where all are answered" for system, (_, accuracies) in curves.items()
        )
        return as_svg(figure, name, title, description)


def robustness(name: str, title: str, rows: Sequence[tuple[str, Sequence[Value]]]) -> str:
    """Bars of accuracy on the original and the perturbed cases, next to bars of the share of changed first answers.

    ``rows`` are names and three shares from top to bottom: accuracy before, accuracy after, flip rate.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.55 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        kinds = (
            (left, 0, 0.05, "original", {"color": "#d9d9d9", "hatch": "////"}),
            (left, 1, 0.28, "perturbed", {"color": SKY}),
            (right, 2, 0.165, "first answer changed", {"color": ORANGE, "hatch": "...."}),
        )
        for axes, column, offset, label, look in kinds:
            values = [shares[column].value for _, shares in rows]
            places = [place + offset for place in range(len(rows))]
            axes.barh(places, values, height=0.22, edgecolor="black", linewidth=0.6, label=label, **look)
            for place, (_, shares) in zip(places, rows, strict=True):
                _interval(axes, shares[column], place, "black")
        for row, (label, _) in enumerate(rows):
            left.text(0.02, row - 0.22, shorten(label, 44), transform=left.get_yaxis_transform(), **ON_GRID)
        left.set(xlim=(0, _end(rows, 0, 1)), ylim=(len(rows) - 0.5, -0.5), xlabel="accuracy", yticks=[])
        right.set(xlim=(0, _end(rows, 2)), xlabel="flip rate")
        for axes in (left, right):
            axes.grid(axis="y", visible=False)
            as_percent(axes.xaxis)
        figure.legend(loc="outside lower left", ncols=3, handlelength=1.5, columnspacing=1)
        description = "; ".join(
            f"{label}: accuracy {cell(before)}, perturbed {cell(after)}, flip rate {cell(flips)}"
            for label, (before, after, flips) in rows
        )
        return as_svg(figure, name, title, description)


def bars(name: str, title: str, rows: Sequence[tuple[str, Mapping[str, int]]], xlabel: str) -> str:
    """Counts as stacked bars, one below the other; parts (splits) differ in colour and hatch.

    Args:
        name, title: as in :func:`forest`.
        rows: names and part → count, from top to bottom; all rows have the same parts.
        xlabel: what is counted.
    """
    looks: tuple[dict[str, Any], ...] = (
        {"color": "#d9d9d9"},
        {"color": SKY, "hatch": "////"},
        {"color": ORANGE, "hatch": "...."},
    )
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.8 + 0.36 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        parts = list(rows[0][1])
        left = [0] * len(rows)
        for part, look in zip(parts, looks, strict=False):
            counts = [part_counts[part] for _, part_counts in rows]
            places = [place + 0.2 for place in range(len(rows))]
            axes.barh(places, counts, left=left, height=0.3, edgecolor="black", linewidth=0.6, label=part, **look)
            left = [before + count for before, count in zip(left, counts, strict=True)]
        across = axes.get_yaxis_transform()
        for row, (label, _) in enumerate(rows):
            axes.text(0, row - 0.2, shorten(label, 38), transform=across, **ON_GRID)
            axes.text(1, row - 0.2, f"{left[row]:,}", ha="right", color=GREY, transform=across, **ON_GRID)
        axes.set(xlim=(0, max(left) * 1.02 or 1), ylim=(len(rows) - 0.4, -0.6), xlabel=xlabel, yticks=[])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        if len(parts) > 1:
            figure.legend(loc="outside lower left", ncols=3, handlelength=1.5, columnspacing=1)
        description = "; ".join(
            f"{label}: " + ", ".join(f"{part} {n:,}" for part, n in counts.items()) for label, counts in rows
        )
        return as_svg(figure, name, title, description)


@dataclass(frozen=True)
class Panel:
    """Axes of :func:`lines`: system → positions along x and values there, from left to right."""

    xlabel: str
    ylabel: str
    series: Mapping[str, Sequence[tuple[float, Value]]]


def lines(name: str, title: str, panels: Sequence[Sequence[Panel]]) -> str:
    """Shares with their intervals over a logarithmic x, in rows of panels: a whole SVG file, not one for a page.

    ``name`` and ``title`` are as in :func:`forest`. All panels have the same systems in the same order; one without
    values is drawn in none.
    """
    with rc_context(STYLE):
        alone = len(panels[0]) == 1
        width, height = max(WIDTH, 2.9 * len(panels[0])), 2.4 * len(panels) + 0.4
        height += 0.2 * len(panels[0][0].series) if alone else 0.0
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(len(panels), len(panels[0]), sharex="col", sharey="row", squeeze=False)
        description = []
        for axes, panel in zip(grid.flat, chain.from_iterable(panels), strict=True):
            _lines(axes, panel)
            told = "; ".join(
                f"{system}: " + ", ".join(f"{x:,g} → {cell(value)}" for x, value in values)
                for system, values in panel.series.items()
                if values
            )
            description.append(f"{panel.ylabel} over {panel.xlabel}: {told}")
        for axes, panel in zip(grid[-1], panels[-1], strict=True):
            axes.set_xlabel(panel.xlabel)
        for axes, row in zip(grid[:, 0], panels, strict=True):
            axes.set_ylabel(row[0].ylabel)
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=1 if alone else 2, handlelength=4
        )
        svg = as_svg(figure, name, title, ". ".join(description))
    return svg.replace("<svg ", f"<svg {NAMESPACES} ", 1) + "\n"


def _lines(axes: Axes, panel: Panel) -> None:
    budgets = sorted({x for values in panel.series.values() for x, _ in values})
    for place, (system, values) in enumerate(panel.series.items()):
        if values:
            look: dict[str, Any] = {"color": COLOURS[place], "linestyle": LINES[place % len(LINES)]}
            aside = 1.01 ** (place - len(panel.series) / 2)  # so that intervals do not hide one another
            places = [x * aside for x, _ in values]
            shares = [value.value for _, value in values]
            axes.plot(places, shares, marker=MARKERS[place], label=shorten(system), **look)
            for x, (_, value) in zip(places, values, strict=True):
                _interval(axes, value, x, COLOURS[place], upright=True)
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{x:,.0f}" if x >= 10 or x == round(x) else f"{x:.1f}" for x in budgets], rotation=30)
    axes.minorticks_off()
    as_percent(axes.yaxis)


def training(
    name: str, title: str, losses: Mapping[int, float], chosen: Mapping[int, float], metric: str, kept: int | None
) -> str:
    """The training loss over steps, and below it, where there is one, the ``metric`` a checkpoint was chosen by.

    Args:
        name, title: as in :func:`forest`.
        losses, chosen: step → value.
        metric: what ``chosen`` has, in words.
        kept: the step whose checkpoint is the model.
    """
    drawn = [("training loss", losses, BLUE)] + [(f"validation {metric}", chosen, VERMILLION)] * bool(chosen)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.6 + 1.7 * len(drawn)), layout="constrained")
        rows = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, values, colour), marker in zip(rows, drawn, ("", "o"), strict=False):
            axes.plot(*zip(*values.items(), strict=True), marker=marker if len(values) > 1 else "o", color=colour)
            axes.set_ylabel(label)
            if kept is not None:
                axes.axvline(kept, color=GREY, linestyle="--", linewidth=1)
            if values is chosen and kept is not None and kept in values:
                star: dict[str, Any] = {"markersize": 14, "color": "white", "markeredgecolor": "black", "zorder": 5}
                axes.plot(kept, values[kept], "*", clip_on=False, **star)
        if kept is not None:
            rows[0].set_title(f"kept: step {kept:,}", loc="right", fontsize=9, color=GREY)
        rows[-1].set_xlabel("step")
        rows[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        rows[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        figure.align_ylabels()
        description = "; ".join(
            f"{label}: {first:.3f} at step {min(values):,}, {last:.3f} at step {max(values):,}"
            for label, values, _ in drawn
            for first, last in [(values[min(values)], values[max(values)])]
        )
        return as_svg(figure, name, title, description + (f"; kept: step {kept:,}" if kept is not None else ""))


def _end(rows: Sequence[tuple[str, Sequence[Value]]], *columns: int) -> float:
    """The end of an axis that begins at 0: just above the highest interval, rounded up to tenths."""
    return (
        min(10, 1 + int(10 * max((shares[column].high or 0.0) for _, shares in rows for column in columns))) / 10 + 0.02
    )


def _interval(axes: Axes, metric: Value, position: float, colour: str, upright: bool = False) -> None:
    """Draw the interval of a share, if it has one, along x, or along y if ``upright``, at ``position`` on the other."""
    if metric.low is not None and metric.high is not None:
        (axes.vlines if upright else axes.hlines)(position, metric.low, metric.high, color=colour, linewidth=1.6)


def as_percent(*axes: Any) -> None:
    """Have axes tell shares as percentages."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1))


def as_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an ``<svg>`` element with a title and a description; ids begin with ``name``."""
    file = io.StringIO()
    with warnings.catch_warnings():
        # The font used for measuring lacks letters that the reader's browser has.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    viewbox = re.search(r'viewBox="[^"]*"', svg)
    assert viewbox, "matplotlib writes one"
    return (
        f'<svg {viewbox[0]} role="img" aria-labelledby="{name}-title {name}-description"><title id="{name}-title">'
        f'{escape(title)}</title><desc id="{name}-description">{escape(description)}</desc>{body}'
    )


def _png(figure: Figure) -> bytes:
    """The figure as a PNG without the name of the software, whose version would change the bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()
