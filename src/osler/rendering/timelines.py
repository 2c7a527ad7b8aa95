"""Draw what happens over the cases of a stream, for the report of monitoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
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
APART = 0.12  # of a window: how far the points of one are, so that none covers another


def shares(
    name: str,
    title: str,
    series: Mapping[str, Sequence[tuple[int, Value]]],
    ylabel: str,
    window: int,
) -> str:
    """Shares with their intervals over the number of the last case they are of.

    Args:
        name, title: as in :func:`osler.rendering.plots.forest`.
        series: name → case and share, from left to right; there is one name with a point, at least.
        window: of how many cases each is; points of fewer, at the end, are open.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.3 + 0.2 * len(series)), layout="constrained")
        axes = figure.add_subplot()
        longest = max(map(len, series.values()))
        for place, (label, points) in enumerate(series.items()):
            colour = COLOURS[place % len(COLOURS)]
            look: dict[str, Any] = {"color": colour, "marker": MARKERS[place % len(MARKERS)]}
            look |= {"linestyle": LINES[place % len(LINES)], "markevery": max(1, longest // ON_THE_WAY)}
            places = [x - place * APART * window for x, _ in points]
            axes.plot(places, [value.value for _, value in points], label=shorten(label), **look)
            if longest <= 4 * ON_THE_WAY:  # more intervals hide each other
                for x, (_, value) in zip(places, points, strict=True):
                    _interval(axes, value, x, colour, upright=True)
            if points and points[-1][0] % window:
                last = {**look, "markerfacecolor": "white", "markevery": 1, "zorder": 4}
                axes.plot(places[-1:], [points[-1][1].value], **last)
        axes.set(ylim=(-0.03, 1.03), xlabel="case", ylabel=ylabel)
        _cases(axes, max(x for points in series.values() for x, _ in points))
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
        _cases(every[-1], max(x for _, points in rows for x, _ in points))
        description = "; ".join(
            f"{label}: beyond its limit in {sum(value > 1 for _, value in points)} of {len(points)} windows"
            for label, points in rows
        )
        return as_svg(figure, name, title, description)


def _cases(axes: Axes, last: int) -> None:
    """Ticks of the cases that there are, up to the ``last``."""
    axes.set_xlim(0, 1.04 * last)
    axes.set_xticks([tick for tick in MaxNLocator(5, integer=True).tick_values(0, last) if 0 <= tick <= last])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
