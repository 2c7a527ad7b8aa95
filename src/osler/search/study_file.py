"""``<recipe>.study.json``, beside the recipe that a search wrote: what was searched, and what every trial came to."""

from __future__ import annotations

from typing import Any, Literal

from osler.runs import Environment
from osler.storage import Contract, FileContract


class SearchedRange(Contract):
    """Both ends were tried with; ``log``: evenly by the logarithm."""

    low: float
    high: float
    log: bool


class SearchedRecipe(Contract):
    """The recipe that the trials were made of, with the ``overrides`` of the command."""

    name: str
    version: str
    sha256: str
    overrides: tuple[str, ...]


class StudiedTrial(Contract):
    """One training with these ``values``.

    ``value`` is the best of its ``evaluations`` (step → metric on validation), after ``step`` steps. A ``pruned`` trial
    was ended for being worse than the median of others at the same step, one that ``failed`` for its ``reason``; one
    that is ``unfinished`` had no more time.
    """

    trial: int
    values: dict[str, Any]
    state: Literal["complete", "pruned", "failed", "unfinished"]
    value: float | None
    step: int | None
    evaluations: dict[str, float]
    seconds: float
    reason: str | None


class StudyFile(FileContract):
    """``<recipe>.study.json``.

    ``file`` is the recipe with the values of the trial ``best``; where those were its own from the start, the recipe
    itself. ``seconds`` are of all trials together, those of processes that were killed with them.
    """

    recipe: SearchedRecipe
    file: str
    metric: Literal["accuracy", "macro_f1", "log_loss"]
    minutes: float
    seconds: float
    seed: int
    space: dict[str, SearchedRange | tuple[Any, ...]]
    best: int
    trials: tuple[StudiedTrial, ...]
    optuna: str
    environment: Environment
