"""What ``search:`` may ask for. That every end of a range is a value of its key is seen by reading the recipe with it
(:mod:`osler.recipe.loading`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from osler.errors import join, show
from osler.recipe.sections import SearchRange, SearchSection
from osler.recipe.task_file import TaskFile
from osler.recipe.type_check import Problem, overlap

if TYPE_CHECKING:
    from osler.recipe.recipe import Recipe

SPLIT = "validation"

# Why some keys are not searched, and these keys; a section stands for all in it.
NOT_SEARCHED = {
    "names the recipe and changes nothing that is learnt": "schema name version publish",
    "is what is learnt": "task stage",
    "is how trials are judged, which has to be the same for all": "evaluation allow_overlap search"
    " train.metric_for_best_model train.eval_steps train.save_steps train.save_strategy",
    "is one name with the others of the base": "base.model base.revision base.weights",
    "is chance, and its best value is only luck": "train.seed train.data_seed",
}


def search_problems(recipe: Recipe, search: SearchSection, task: TaskFile) -> Iterator[Problem]:
    """A search that cannot be judged, keys that are not searched, ranges of nothing."""
    if recipe.stage is not None:
        yield Problem("search", f"not with stage: {recipe.stage}, which diagnoses nobody; leave it out")
    elif SPLIT not in task.splits:
        yield Problem("search", f"{task.name} has no split {SPLIT} to judge by; give it one in its task.yaml")
    if not search.space:
        yield Problem("search.space", "names nothing to try; expected keys such as train.learning_rate")
    for key, values in search.space.items():
        where = join("search.space", key)
        other = next((other for other in search.space if other != key and overlap(key, other)), None)
        if reason := _not_searched(key):
            yield Problem(where, f"is not searched: it {reason}; leave it out, or make a recipe of its own")
        elif other:
            yield Problem(where, f"also holds {other}, or is in it; leave one out")
        elif not isinstance(values, SearchRange):
            if len({json.dumps(value) for value in values}) < max(2, len(values)):
                yield Problem(where, f"{show(values)} is not allowed; expected two or more values, each once")
        elif values.low > values.high:
            text = f"low {show(values.low)} is above high {show(values.high)}; change their places"
            yield Problem(where, text)
        elif values.low == values.high:
            text = f"is one value, {show(values.low)}; write that under its key, and leave it out here"
            yield Problem(where, text)
        elif values.log and values.low <= 0:
            text = f"low {show(values.low)} has no logarithm; expected low above 0, or log: false"
            yield Problem(where, text)


def _not_searched(key: str) -> str | None:
    return next((why for why, names in NOT_SEARCHED.items() if any(overlap(key, of) for of in names.split())), None)


def judged_by(recipe: Recipe, search: SearchSection) -> dict[str, Any]:
    """The keys of ``train:`` that have ``validation`` answered in every trial, and their values.

    Where the recipe does not choose its checkpoint by ``search.metric`` yet, every checkpoint is judged.

    Raises :class:`~osler.recipe.type_check.Problem` where the recipe chooses by another metric, or says no steps.
    """
    train = recipe.train
    if (chosen := train.get("metric_for_best_model", search.metric)) != search.metric:
        text = f"{search.metric} is not train.metric_for_best_model, {chosen}; write one of them in both places"
        raise Problem("search.metric", text)
    steps = train.get("eval_steps", train.get("save_steps"))
    if not isinstance(steps, int) or train.get("save_strategy", "steps") != "steps":
        text = "validation is answered every train.eval_steps, or else train.save_steps; expected whole steps there"
        raise Problem("search", text)
    return {"metric_for_best_model": search.metric, "eval_steps": steps}


def ends(search: SearchSection) -> Iterator[tuple[str, Any]]:
    """Each key of the space with each end of its range, or with each of its values."""
    for key, values in search.space.items():
        for value in (values.low, values.high) if isinstance(values, SearchRange) else values:
            yield key, value
