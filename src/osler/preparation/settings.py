"""How a dataset is prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from osler.preparation.cleaning_steps import Step
from osler.splits import SHARES


@dataclass(frozen=True)
class PreparationSettings:
    """How a dataset is prepared.

    Attributes:
        steps: the cleaning steps by name, in order.
        find_label: looks up the task's label for a label of the source; None keeps the labels of the source.
        max_rejected: number of unreadable rows that are allowed.
        key: the secret of de-identification; None leaves texts as they are.
        day_first: with a key, whether 3/4/2021 is in April, in files whose other dates do not tell; None refuses those.
        cutoffs: the first day of ``validation`` and of ``test`` (ISO 8601); None splits by a hash of the group.
        license: as the Hub writes it; None if unknown.
        shares: split → share of the units; they add up to 1. A split by date ignores them.
        min_rows: rows of labels that have fewer are dropped.
        show_text: whether messages and the report quote texts; else they give only the places.
    """

    steps: Mapping[str, Step]
    find_label: Callable[[str], str | None] | None = None
    max_rejected: int = 0
    key: str | None = None
    day_first: bool | None = None
    cutoffs: tuple[str, str] | None = None
    license: str | None = None
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    min_rows: int = 1
    show_text: bool = False
