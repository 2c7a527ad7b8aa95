"""Draw what an answer's probability does while parts of its text are left out, or put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from osler.rendering import plots


def draw(name: str, title: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Deletion to the left, insertion to the right: ``curves`` is the name of an order → both, at even steps."""
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(plots.WIDTH, 2.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for place, (order, both) in enumerate(curves.items()):
            look = {"color": plots.COLOURS[place], "linestyle": plots.LINES[place], "marker": plots.MARKERS[place]}
            for axis, curve in zip(axes, both, strict=True):
                axis.plot(np.linspace(0, 1, len(curve)), curve, label=order, markevery=2, **look)
        for axis, what in zip(axes, ("left out", "put back"), strict=True):
            axis.set(xlabel=what, xlim=(0, 1), ylim=(0, None))
            plots.as_percent(axis.xaxis)
        axes[0].set_ylabel("p of the first answer")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
        said = "; ".join(
            f"{order}: {both[0][0]:.2f} whole, {both[0][len(both[0]) // 2]:.2f} with half left out,"
            f" {both[1][len(both[1]) // 2]:.2f} with half put back"
            for order, both in curves.items()
        )
        return plots.as_svg(figure, name, title, said)
