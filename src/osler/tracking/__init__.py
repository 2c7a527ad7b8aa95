"""A run's place in the trackers that its recipe reports to: opened, kept from ending a training, given its files."""

from osler.tracking.tracking import Tracking, tracked, without_ids

__all__ = ["Tracking", "tracked", "without_ids"]
