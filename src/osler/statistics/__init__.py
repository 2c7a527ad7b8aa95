"""Intervals, tests, resampling and calibration: numbers in, numbers out."""

from osler.statistics.intervals import wilson_interval
from osler.statistics.resamples import MethodInterval, Resamples
from osler.statistics.resampling import Floats, Ints, number_groups, resample_counts, resampled_mean

__all__ = [
    "Floats",
    "Ints",
    "MethodInterval",
    "Resamples",
    "agreement",
    "calibration",
    "intervals",
    "log_linear",
    "number_groups",
    "resample_counts",
    "resampled_mean",
    "resampling",
    "significance",
    "wilson_interval",
]
