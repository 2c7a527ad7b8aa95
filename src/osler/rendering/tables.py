"""How a number is written in any table, and how tables are laid out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Value(Protocol):
    """A number with its interval, such as :class:`osler.runs.Estimate`."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


class Differing(Protocol):
    """A difference with its interval, such as :class:`osler.runs.Comparison`."""

    @property
    def difference(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def cell(estimate: Value | None, with_interval: bool = True) -> str:
    """``0.308 [0.216, 0.417]``; without the interval where there is none."""
    if estimate is None:
        return "–"
    low, high = estimate.low, estimate.high
    interval = f" [{low:.3f}, {high:.3f}]" if with_interval and low is not None and high is not None else ""
    return f"{estimate.value:.3f}{interval}"


def difference(row: Differing) -> str:
    """``+0.077 [-0.013, +0.167]``; without the interval where there is none."""
    return signed(row.difference, row.low, row.high)


def signed(value: float, low: float | None, high: float | None) -> str:
    """As :func:`difference`, of the three numbers."""
    return f"{value:+.3f}" + ("" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]")


def signed_cell(estimate: Value | None) -> str:
    """As :func:`cell`, of a difference."""
    return "–" if estimate is None else signed(estimate.value, estimate.low, estimate.high)


def p_value(value: float) -> str:
    """``p = 0.180``, or ``p < 0.001`` for smaller values."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def shorten(name: str, width: int = 36) -> str:
    """``name`` without its middle if it is longer than ``width``."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
