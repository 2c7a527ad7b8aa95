"""The trials of a search, kept by Optuna in an SQLite file: what has been tried, what came of it, and what is next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from osler.errors import InputError, one_line
from osler.recipe import Recipe, SearchRange, SearchSection
from osler.search.study_file import StudiedTrial
from osler.storage import sha256_text, validated

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import FrozenTrial, Trial, TrialState
    from sqlalchemy.exc import DatabaseError
except ImportError:
    raise InputError("optuna is not installed here: pip install -e '.[search]'") from None

DIGITS = 3  # of a number that is tried: more say nothing, and a recipe is read by people
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Study:
    """The trials of one search, numbered from 0 by ``n``.

    A trial that was interrupted is one more row for Optuna, with the same number: the last row of a number holds.
    """

    def __init__(self, path: Path, recipe: Recipe, search: SearchSection, every: int) -> None:
        """Open the study in ``path``, or begin one. ``every``: steps from one evaluation to the next.

        Raises :class:`InputError` where the file cannot be read, or holds the trials of another search.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._search, self._seed = search, recipe.seed
        self.own = _own_values(recipe, search)  # what is tried first; null where it is not in the space
        self._distributions = {key: _distribution(values) for key, values in search.space.items()}
        bound = sha256_text(recipe.run_sha256 + json.dumps(_plain_space(search)) + search.metric)
        with _readable(path):
            self._study = optuna.create_study(
                storage=f"sqlite:///{path.resolve()}",
                study_name="search",
                direction="minimize" if search.metric == "log_loss" else "maximize",
                # The first evaluation says more about the warm-up than about the end.
                pruner=optuna.pruners.MedianPruner(n_warmup_steps=every + 1),
                load_if_exists=True,
            )
            before = self._study.user_attrs.get("bound")
            if before is None:
                self._study.set_user_attr("bound", bound)
            elif before != bound:
                raise InputError(
                    f"{path}: holds the trials of another search (another recipe, space or metric); name another folder"
                    " with --output, or move that one away"
                )
            self._take_up()

    def _take_up(self) -> None:
        """Have each trial whose process is gone come next."""
        waiting = {row.user_attrs.get("n") for row in self._study.get_trials(states=[TrialState.WAITING])}
        for row in self._study.get_trials(states=[TrialState.RUNNING]):
            if "values" in row.user_attrs and row.user_attrs["n"] not in waiting:
                self._study.enqueue_trial(row.params, user_attrs=row.user_attrs)
            self._study.tell(row.number, state=TrialState.FAIL)

    def _rows(self) -> dict[int, FrozenTrial]:
        return {row.user_attrs["n"]: row for row in self._study.get_trials() if "values" in row.user_attrs}

    def trials(self) -> list[StudiedTrial]:
        """Every trial so far, in order."""
        return [_studied(row, row.user_attrs) for _, row in sorted(self._rows().items())]

    @property
    def best(self) -> StudiedTrial | None:
        """The best trial of those that came to their end, the first of equal ones."""
        done = [trial for trial in self.trials() if trial.state == "complete" and trial.value is not None]
        sign = 1 if self._search.metric == "log_loss" else -1
        return min(done, key=lambda trial: sign * (trial.value or 0), default=None)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to try: each combination has been."""
        size = _size(self._search)
        trials = self.trials()
        return size is not None and len(trials) >= size and all(trial.state != "unfinished" for trial in trials)

    def ask(self) -> Trial:
        """The next trial: an interrupted one, or the recipe's own values, or new ones.

        The values follow from the seed, the number of the trial and what came of those before, so that a search which
        was interrupted goes on as it would have.
        """
        if self._study.get_trials(states=[TrialState.WAITING]):
            return self._study.ask(self._distributions)
        rows = self._rows()
        tried = [row.user_attrs["values"] for row in rows.values()]
        n = len(rows)
        if n == 0 and self.own is not None:
            params = {key: _stored(self._search.space[key], value) for key, value in self.own.items()}
            self._study.enqueue_trial(params, user_attrs={"n": n, "values": self.own})
            return self._study.ask(self._distributions)
        for attempt in count():
            seed = self._seed + n
            self._study.sampler = (
                optuna.samplers.TPESampler(seed=seed)
                if attempt == 0
                else optuna.samplers.RandomSampler(seed=seed + 1000 * attempt)
            )
            trial = self._study.ask(self._distributions)
            values = {key: _value(self._search.space[key], stored) for key, stored in trial.params.items()}
            if values not in tried:
                break
            self._study.tell(trial, state=TrialState.FAIL)  # a training with these values would end as it did before
        trial.set_user_attr("n", n)
        trial.set_user_attr("values", values)
        return trial

    def report(self, trial: Trial, step: int, value: float) -> bool:
        """Note what an evaluation came to; whether the trial should be ended for it."""
        trial.report(value, step)
        return trial.should_prune()

    def complete(self, trial: Trial, step: int, value: float) -> None:
        """The trial came to its end; ``value`` is its best evaluation, after ``step`` steps."""
        trial.set_user_attr("step", step)
        self._study.tell(trial, value)

    def prune(self, trial: Trial) -> None:
        """The trial was ended for being worse than others."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """The trial came to nothing."""
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    @property
    def written(self) -> tuple[int, str] | None:
        """The trial that a recipe was written of, and its file's name."""
        found = self._study.user_attrs.get("written")
        return tuple(found) if found else None

    def set_written(self, trial: int, name: str) -> None:
        """Note that the recipe ``name`` is about to be written of ``trial``."""
        self._study.set_user_attr("written", [trial, name])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError, RuntimeError, optuna.exceptions.OptunaError) as error:
        raise InputError(
            f"{path}: cannot be read as a study of Optuna {optuna.__version__} ({one_line(str(error))[:200]}); bring"
            " back the whole file, or move its folder away to search anew"
        ) from None


def _studied(row: FrozenTrial, attributes: Mapping[str, Any]) -> StudiedTrial:
    ended = row.state == TrialState.COMPLETE
    content = {
        "trial": attributes["n"],
        "values": attributes["values"],
        "state": STATES.get(row.state, "unfinished"),
        "value": row.value if ended else None,
        "step": attributes.get("step"),
        "evaluations": {str(step): value for step, value in sorted(row.intermediate_values.items())},
        "seconds": attributes.get("seconds", 0.0),
        "reason": attributes.get("reason"),
    }
    return validated(StudiedTrial, content, "a trial of the study")


# ── values and how Optuna stores them ────────────────────────────────────────────────────────────────────────────────


def _distribution(values: SearchRange | tuple[Any, ...]) -> BaseDistribution:
    if not isinstance(values, SearchRange):
        return CategoricalDistribution([json.dumps(value) for value in values])  # text, so that it may be a list, too
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(float(values.low), float(values.high), log=values.log)


def _stored(values: SearchRange | tuple[Any, ...], value: Any) -> Any:
    return value if isinstance(values, SearchRange) else json.dumps(value)


def _value(values: SearchRange | tuple[Any, ...], stored: Any) -> Any:
    if not isinstance(values, SearchRange):
        return json.loads(stored)
    if isinstance(stored, int):
        return stored
    return min(max(float(f"{stored:.{DIGITS}g}"), float(values.low)), float(values.high))


def _plain_space(search: SearchSection) -> dict[str, Any]:
    return {
        key: {"low": values.low, "high": values.high, "log": values.log}
        if isinstance(values, SearchRange)
        else list(values)
        for key, values in search.space.items()
    }


def _size(search: SearchSection) -> int | None:
    """How many combinations there are; None where a range has no end of them."""
    size = 1
    for values in search.space.values():
        if not isinstance(values, SearchRange):
            size *= len(values)
        elif isinstance(values.low, int) and isinstance(values.high, int):
            size *= values.high - values.low + 1
        else:
            return None
    return size


def _own_values(recipe: Recipe, search: SearchSection) -> dict[str, Any] | None:
    """What the recipe itself says of the searched keys; None where it leaves one out, or its value is not searched."""
    own = {}
    for key, values in search.space.items():
        value: Any = recipe.to_dict()
        for depth, name in enumerate(key.split(".")):
            if not isinstance(value, dict) or (depth and name not in value):  # at the top, what is null is left out
                return None
            value = value.get(name)
        if not isinstance(values, SearchRange):
            inside = json.dumps(value) in [json.dumps(choice) for choice in values]
        else:
            whole = isinstance(values.low, int) and isinstance(values.high, int)
            number = type(value) is int or (type(value) is float and not whole)
            inside = number and values.low <= value <= values.high
        if not inside:
            return None
        own[key] = value
    return own
