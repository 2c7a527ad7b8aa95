"""How rows are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from osler.preparation.cleaning import Step


@dataclass(frozen=True)
class Preparation:
    """How rows are prepared.

    Attributes:
        steps: of cleaning, in order.
        known: finds the task's label for what a row has; None where the labels are those of the rows.
        max_rejected: rows that may be unreadable before all of it is refused.
        key: of de-identification, a secret; None where texts stay as they are.
        cuts: dates (ISO 8601) from which rows are ``validation`` and ``test``; None: by a hash of the group.
        license: as the Hub writes it; None where nobody said.
    """

    steps: Mapping[str, Step]
    known: Callable[[str], str | None] | None = None
    max_rejected: int = 0
    key: str | None = None
    cuts: tuple[str, str] | None = None
    license: str | None = None
