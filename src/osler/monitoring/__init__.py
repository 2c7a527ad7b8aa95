"""A model in use, watched: drift, accuracy without labels and with them, subgroups; alarms and a report."""

from osler.monitoring.alarms import Gauges, lines
from osler.monitoring.page import write
from osler.monitoring.records import Monitoring
from osler.monitoring.watching import NEEDED, Watch

__all__ = [
    "NEEDED",
    "Gauges",
    "Monitoring",
    "Watch",
    "bins",
    "detection",
    "drift",
    "lines",
    "observed",
    "reference",
    "write",
]
