"""A model in use, watched: drift, accuracy without labels and with them, subgroups; alarms and a report."""

from osler.monitoring.records import Monitoring
from osler.monitoring.watching import Watch

__all__ = ["Monitoring", "Watch"]
