"""``panel.json``: the labels a run can name and what its training texts were like, for whoever asks it without them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from osler.storage import Contract, FileContract


class TrainingTexts(Contract):
    """What texts a model has seen, told without quoting one of them.

    Attributes:
        words: the words that texts of ``min_units`` patients or publications or more have in common, sorted: names and
            other rare words are not among them.
        min_units: how many that is.
        tokens: 99% of the training prompts have as many tokens, or fewer.
        unknown_share: 99% of the training texts have this share of words outside ``words``, or less.
    """

    words: tuple[str, ...]
    min_units: Annotated[int, Field(ge=1)]
    tokens: Annotated[int, Field(ge=0)]
    unknown_share: Annotated[float, Field(ge=0, le=1)]


class Panel(FileContract):
    """``labels`` are label id → the name that is answered, in the task's order; none where answers are free text."""

    labels: dict[str, str]
    texts: TrainingTexts | None
