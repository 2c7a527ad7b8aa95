"""Which rows are trained on and which are held out: units of related rows, split by a stable hash or by date."""

from osler.splits.assignment import SHARES, SPLITS, assign
from osler.splits.units import unit_names

__all__ = ["SHARES", "SPLITS", "assign", "unit_names"]
