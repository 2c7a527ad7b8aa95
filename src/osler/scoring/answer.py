"""The answer to a case, and the interface that every scorer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from osler.tasks import Case


@dataclass(frozen=True)
class Answer:
    """A model's answer to one case, in the fields of :class:`osler.runs.Prediction`.

    Attributes:
        ranked: label ids, best first.
        probabilities: parallel to ``ranked``; None where the scorer gives none.
        text: what the model wrote; None where it wrote nothing.
        parsed: whether there is a diagnosis in ``text``.
    """

    ranked: tuple[str, ...]
    probabilities: tuple[float, ...] | None
    text: str | None = None
    parsed: bool = True


class Scorer(Protocol):
    """Turns cases into answers."""

    def encode(self, case: Case) -> list[int]:
        """The token ids of a case's prompt."""

    def behind(self, case: Case) -> int:
        """How many tokens of an answer the model reads behind a case's prompt, at most."""

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """The answers to one batch of cases; ``prompts`` are what :meth:`encode` gave for them."""
