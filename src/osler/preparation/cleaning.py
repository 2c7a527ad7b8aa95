"""Clean a row: replace its label by the task's and take the cleaning steps until one of them drops it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from osler.preparation.cleaning_steps import Step
from osler.preparation.label_masking import LabelNames


class CleanedRow(NamedTuple):
    """A row after cleaning: ``dropped`` names the step that dropped it, if any; ``changed`` those that changed it."""

    text: str
    label: str
    dropped: str | None
    changed: tuple[str, ...]


class Cleaning:
    """Cleans rows.

    Args:
        steps: name → step, in order; see :func:`osler.preparation.cleaning_steps.parse_steps`.
        labels: label in the source → the task's label, or None if it is none of them; see
            :func:`osler.preparation.label_spellings.merge_spellings`.
    """

    def __init__(self, steps: Mapping[str, Step], labels: Mapping[str, str | None]) -> None:
        self._steps = steps
        self._labels = labels
        self._names = LabelNames({label for label in labels.values() if label})

    @property
    def description(self) -> str:
        """The same for what cleans in the same way."""
        return repr((list(self._steps.items()), sorted(self._labels.items())))

    def clean(self, text: str | None, source_label: str | None) -> CleanedRow:
        """Take the steps until one of them drops the row."""
        text, label = text or "", self._labels.get(source_label or "") or ""
        changed = ["labels"] if label and label != source_label else []
        for name, step in self._steps.items():
            cleaned = step(text, label, self._names)
            if cleaned is None:
                return CleanedRow(text, label, name, tuple(changed))
            if cleaned != text:
                changed.append(name)
                text = cleaned
        return CleanedRow(text, label, None, tuple(changed))
