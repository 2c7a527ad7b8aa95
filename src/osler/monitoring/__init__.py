"""A model in use, watched: drift, accuracy without labels and with them, subgroups; alarms and a report."""

from osler.monitoring import drift
from osler.monitoring.alarms import Gauges, lines, lines_of_swaps
from osler.monitoring.bins import NUMBERS
from osler.monitoring.detection import ACCURACY, FLIPS, Detectors, Raised, unequal
from osler.monitoring.gaps import MIN_TESTED
from osler.monitoring.observed import Observed
from osler.monitoring.page import write
from osler.monitoring.records import Monitoring, Swapped
from osler.monitoring.reference import Reference, read_reference, told
from osler.monitoring.watching import NEEDED, Watch

__all__ = [
    "ACCURACY",
    "FLIPS",
    "MIN_TESTED",
    "NEEDED",
    "NUMBERS",
    "Detectors",
    "Gauges",
    "Monitoring",
    "Observed",
    "Raised",
    "Reference",
    "Swapped",
    "Watch",
    "drift",
    "lines",
    "lines_of_swaps",
    "read_reference",
    "told",
    "unequal",
    "write",
]
