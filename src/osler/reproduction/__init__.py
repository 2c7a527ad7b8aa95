"""A published number computed again, and the expected files that say what should come out."""

from osler.reproduction.expected import Expected, RecordedRun, expected_path, read_expected
from osler.reproduction.outcome import ReproductionFile

__all__ = [
    "Expected",
    "RecordedRun",
    "ReproductionFile",
    "expected_path",
    "outcome",
    "read_expected",
    "readme_tables",
    "recording",
    "reproduction",
    "rescoring",
    "target",
]
