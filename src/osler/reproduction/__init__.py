"""A published number computed again, and the expected files that say what should come out."""

from osler.reproduction.expected import Expected, RecordedRun, expected_path, read_expected
from osler.reproduction.learning_curve import LearningCurve
from osler.reproduction.outcome import ReproductionFile
from osler.reproduction.rankings import Rankings

__all__ = [
    "Expected",
    "LearningCurve",
    "Rankings",
    "RecordedRun",
    "ReproductionFile",
    "expected_path",
    "learning_curve",
    "outcome",
    "rankings",
    "read_expected",
    "readme_tables",
    "recording",
    "reproduction",
    "rescoring",
    "target",
]
