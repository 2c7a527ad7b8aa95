"""A published number computed again, and the expected files that say what should come out."""

__all__ = [
    "expected",
    "outcome",
    "readme_tables",
    "recording",
    "reproduction",
    "rescoring",
    "target",
]
