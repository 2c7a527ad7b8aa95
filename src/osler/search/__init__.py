"""Settings of a recipe tried and judged on validation, and the best of them as the recipe's next version."""

from osler.search.study_file import StudyFile
from osler.search.trials import search

__all__ = [
    "StudyFile",
    "search",
]
