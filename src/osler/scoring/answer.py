"""What a model answers to a case, and what every scorer has to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from osler.tasks import Case


@dataclass(frozen=True)
class Answer:
    """``ranked`` is best first, ``probabilities`` parallel to it; see :class:`osler.runs.predictions.Prediction`."""

    ranked: tuple[str, ...]
    probabilities: tuple[float, ...] | None
    text: str | None = None
    parsed: bool = True


class Scorer(Protocol):
    """Turns cases into answers."""

    def encode(self, row: Case) -> list[int]:
        """The token ids of a case's prompt."""

    def answer(self, prompts: Sequence[Sequence[int]], rows: Sequence[Case]) -> list[Answer]:
        """The answers to one batch of cases; ``prompts`` are their :meth:`encode`."""
