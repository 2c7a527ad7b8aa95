"""A published number computed again, and the expected files that say what should come out."""

from osler.reproduction.expected import Expected, RecordedRun, expected_path, read_expected
from osler.reproduction.learning_curve import LearningCurve
from osler.reproduction.outcome import ReproductionFile

__all__ = [
    "Expected",
    "LearningCurve",
    "RecordedRun",
    "ReproductionFile",
    "expected_path",
    "learning_curve",
    "outcome",
    "read_expected",
    "readme_tables",
    "recording",
    "reproduction",
    "rescoring",
    "target",
]
