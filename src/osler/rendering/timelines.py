"""Draw what happens over the cases of a stream, for the report of monitoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from osler.rendering.plots import (
    BLUE,
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    STYLE,
    VERMILLION,
    WIDTH,
    _interval,
    as_percent,
    as_svg,
)
from osler.rendering.tables import Value, cell, shorten

ON_THE_WAY = 12  # points of a line that get a marker, where there are more


def shares(
    name: str,
    title: str,
    series: Mapping[str, Sequence[tuple[int, Value]]],
    ylabel: str,
    reference: float | None = None,
) -> str:
    """Shares with their intervals over the number of the last case they are of.

    Args:
        name, title: as in :func:`osler.rendering.plots.forest`.
        series: name → case and share, from left to right; there is one name with a point, at least.
        reference: the height of a horizontal line.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.3 + 0.2 * len(series)), layout="constrained")
        axes = figure.add_subplot()
        if reference is not None:
            axes.axhline(reference, color=GREY, linestyle="--", linewidth=1)
        longest = max(map(len, series.values()))
        for place, (label, points) in enumerate(series.items()):
            colour = COLOURS[place % len(COLOURS)]
            look: dict[str, Any] = {"color": colour, "marker": MARKERS[place % len(MARKERS)]}
            look |= {"linestyle": LINES[place % len(LINES)], "markevery": max(1, longest // ON_THE_WAY)}
            axes.plot([x for x, _ in points], [value.value for _, value in points], label=shorten(label), **look)
            if longest <= 4 * ON_THE_WAY:  # more intervals hide each other
                for x, value in points:
                    _interval(axes, value, x, colour, upright=True)
        axes.set(ylim=(-0.03, 1.03), xlabel="case", ylabel=ylabel)
        _cases(axes)
        as_percent(axes.yaxis)
        figure.legend(loc="outside lower left", handlelength=4)
        description = "; ".join(
            f"{label}: " + ", ".join(f"up to case {x:,} {cell(value)}" for x, value in (points[0], points[-1]))
            for label, points in series.items()
            if points
        )
        return as_svg(figure, name, title, description)


def limits(name: str, title: str, rows: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> str:
    """For each row a bar a window: what was seen in it, as a share of its limit, over the number of its last case.

    ``rows`` are names and cases with shares; all rows have the same cases.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + 0.72 * len(rows)), layout="constrained")
        every = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, points) in zip(every, rows, strict=True):
            width = points[0][0] * 0.8
            for colour, hatch, beyond in ((BLUE, "", False), (VERMILLION, "////", True)):
                own = [(x, value) for x, value in points if (value > 1) is beyond]
                heights = [min(value, 2.0) for _, value in own]
                axes.bar(
                    [x - width / 1.6 for x, _ in own], heights, width, color=colour, hatch=hatch, edgecolor="white"
                )
            axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
            axes.set(ylim=(0, 2.05), yticks=[1], yticklabels=["limit"])
            axes.set_title(label, loc="left", fontsize=9, pad=2)
            axes.grid(axis="x", visible=False)
        every[-1].set_xlabel("case")
        _cases(every[-1])
        description = "; ".join(
            f"{label}: beyond its limit in {sum(value > 1 for _, value in points)} of {len(points)} windows"
            for label, points in rows
        )
        return as_svg(figure, name, title, description)


def _cases(axes: Any) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
