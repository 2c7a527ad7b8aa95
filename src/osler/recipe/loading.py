"""From a recipe file and its overrides to a checked :class:`~osler.recipe.Recipe`."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import os
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from osler.errors import InputError, join, one_line, show
from osler.recipe.balance_section import BalanceSection, check_balance
from osler.recipe.installed_types import GONE, RENAMED, settings
from osler.recipe.recipe import Recipe
from osler.recipe.rules import (
    check_augment,
    check_base,
    check_combinations,
    check_head,
    check_images,
    check_mixture,
    check_replaced_base,
    check_stage,
    check_values,
    complete_data,
    read_learnt_task,
)
from osler.recipe.search_rules import ends, judged_by, search_problems
from osler.recipe.sections import (
    AugmentSection,
    BaseSection,
    DataSection,
    EvaluationSection,
    LossSection,
    MixtureSection,
    PreferencesSection,
    PublishSection,
    SearchSection,
    TaskSection,
    TeacherSection,
    implied_by,
)
from osler.recipe.setting_rules import setting_problems
from osler.recipe.strict_yaml import parse_yaml, read_yaml
from osler.recipe.task_file import find_tasks
from osler.recipe.type_check import (
    Problem,
    check,
    check_keys,
    field_types,
    hint_of_values,
    overlap,
    record_type,
)
from osler.recipe.verdicts import refusal
from osler.storage import root_with

REQUIRED = ("schema", "name", "version", "base", "task", "evaluation")


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, put ``KEY=VALUE`` overrides over it (``train.learning_rate=1e-4``) and check all of it.

    Raises:
        InputError: anything at all is wrong; a line a fault, with the file, the key's path, the value and what is
            allowed. What follows from the values of several keys is only looked for once each of them is right.
    """
    path = Path(path)
    if not os.path.exists(path):  # unlike Path.exists, False for whatever cannot be a path
        recipes = [os.path.relpath(recipe) for recipe in _shipped(path)]
        close = difflib.get_close_matches(os.path.relpath(path), recipes, n=1, cutoff=0.3)
        raise InputError(f"{path}: no such file" + (f"; did you mean {close[0]}?" if close else ""))
    document = read_yaml(path)
    written = dict(document["base"]) if isinstance(document.get("base"), dict) else {}
    for number, override in enumerate(overrides):
        _apply_override(document, override, overrides[:number], path)
    try:
        return _resolve(document, path, tuple(overrides), written)
    except _Wrong as wrong:
        raise InputError("\n".join(_line(path, problem, overrides) for problem in wrong.problems)) from None


class _Wrong(Exception):
    """All that is wrong with a recipe."""

    def __init__(self, problems: Sequence[Problem]):
        super().__init__(problems)
        firsts = {problem.key: problem for problem in reversed(problems)}  # one a key: others follow from the first
        self.problems = [problem for problem in problems if firsts[problem.key] is problem]


@contextmanager
def _noted(problems: list[Problem]) -> Iterator[None]:
    """Add a :class:`Problem` to ``problems``, and go on."""
    try:
        yield
    except Problem as problem:
        problems.append(problem)


def _line(path: Path, problem: Problem, overrides: Sequence[str]) -> str:
    overridden = any(overlap(problem.key, override.partition("=")[0]) for override in overrides)
    mark = " (override)" if overridden else ""
    return one_line(f"{path}: {problem.key}{mark}: {problem.text}")


def _shipped(path: Path) -> list[Path]:
    root = root_with(path, "recipes/**/*.yaml")
    return sorted(root.glob("recipes/**/*.yaml")) if root else []


def _apply_override(document: dict[str, Any], override: str, others: Sequence[str], path: Path) -> None:
    """Put one override over ``document``, after ``others``."""
    key, equals, value = override.partition("=")
    if not equals or not all(key.split(".")):
        raise InputError(f"{path}: override {show(override)}: expected KEY=VALUE, such as train.learning_rate=1e-4")
    for other in others:
        if overlap(key, other.partition("=")[0]):
            raise InputError(f"{path}: {key} (override): given twice, {show(other)} and {show(override)}; give one")
    _put(document, key, parse_yaml(value, f"{path}: override {show(override)}"))


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(document.get(section), dict):
            document[section] = {}
        document = document[section]
    document[last] = value


def _resolve(
    document: dict[str, Any], path: Path, overrides: tuple[str, ...], written_base: Mapping[str, Any]
) -> Recipe:
    types = _document_types()
    if problems := _problems_of_keys(document, types):
        raise _Wrong(problems)

    implied = implied_by(document.get("head"))

    def section(kind: Any, name: str) -> Any:
        return _built(kind, {**implied.get(name, {}), **document.get(name, {})})

    def optional(kind: Any, name: str) -> Any:
        return None if document.get(name) is None else _built(kind, document[name])

    base, task, loss = section(BaseSection, "base"), section(TaskSection, "task"), section(LossSection, "loss")
    evaluation, augment = section(EvaluationSection, "evaluation"), optional(AugmentSection, "augment")
    shipped, tasks, learnt, mixture = _shipped(path), find_tasks(path), None, None
    with _noted(problems):
        check_replaced_base(written_base, document["base"], [override.partition("=")[0] for override in overrides])
        check_base(base, shipped)
    with _noted(problems):
        learnt = read_learnt_task(task.name, task, "task", tasks)
    with _noted(problems):
        mixture = _mixture(document.get("mixture"), task.name, tasks)
    if learnt is None:
        raise _Wrong(problems)
    with _noted(problems):
        check_stage(document.get("stage"), evaluation, learnt)
    if augment is not None:
        with _noted(problems):
            check_augment(augment, learnt, shipped)
    data = None
    with _noted(problems):
        data = complete_data("data", document.get("data"), learnt)
    if loss.name == "label_trie" and loss.completion_weight is None:
        loss = dataclasses.replace(loss, completion_weight=0.1)
    recipe = Recipe(
        schema=document["schema"],
        name=document["name"],
        version=document["version"],
        base=base,
        task=task,
        head=document.get("head"),
        data=data,
        lora=None if document.get("lora") is None else MappingProxyType(document["lora"]),
        loss=loss,
        train=MappingProxyType(document.get("train", {})),
        evaluation=evaluation,
        allow_overlap=MappingProxyType(document["allow_overlap"]) if document.get("allow_overlap") else None,
        augment=augment,
        balance=optional(BalanceSection, "balance"),
        mixture=mixture,
        teacher=optional(TeacherSection, "teacher"),
        preferences=optional(PreferencesSection, "preferences"),
        patience=document.get("patience"),
        stage=document.get("stage"),
        publish=section(PublishSection, "publish"),
        search=optional(SearchSection, "search"),
        path=path,
        overridden=overrides,
    )
    defaults = {item.name: item.default for item in dataclasses.fields(types["train"])}
    with _noted(problems):
        check_head(recipe, learnt)
    with _noted(problems):
        check_images(recipe, learnt)
    with _noted(problems):
        check_combinations(recipe)
    if recipe.balance is not None:
        with _noted(problems):
            check_balance(recipe, recipe.balance)
    problems += [Problem(key, text) for key, text in setting_problems(recipe, {**defaults, **recipe.train})]
    if recipe.search is not None and not problems:
        with _noted(problems):
            judged = judged_by(recipe, recipe.search)
            problems += search_problems(recipe, recipe.search, learnt)
            problems += _tried(recipe, recipe.search, document, written_base, judged)
    if problems:
        raise _Wrong(problems)
    return recipe


def _tried(
    recipe: Recipe,
    search: SearchSection,
    document: dict[str, Any],
    written_base: Mapping[str, Any],
    judged: Mapping[str, Any],
) -> Iterator[Problem]:
    """What is wrong with the recipe at each end of each range, and with each of the values to choose from."""
    for key, value in ends(search):
        tried = copy.deepcopy({name: section for name, section in document.items() if name != "search"})
        tried["train"] = {**tried.get("train", {}), **judged}
        _put(tried, key, value)
        try:
            _resolve(tried, recipe.path, (), written_base)
        except _Wrong as wrong:
            problem = wrong.problems[0]
            other = "" if problem.key == key else f"with {show(value)}, {problem.key}: "
            yield Problem(join("search.space", key), f"{other}{problem.text}")


def _problems_of_keys(document: dict[str, Any], types: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with single keys and values. After each fault, the rest is looked at without what is at fault."""
    if "schema" in document:  # first, because a newer schema explains all other problems
        try:
            check(document["schema"], Literal[1], "schema")
        except Problem as problem:
            return [problem]
    rest, required, problems = copy.deepcopy(document), set(REQUIRED), list[Problem]()
    while True:
        try:
            _explain_names(rest, types)
            check_keys(rest, types, required)
            check_values(rest)
            return problems
        except Problem as problem:
            if problem.key not in {earlier.key for earlier in problems}:  # one that was taken out is missing now
                problems.append(problem)
            if not _take_out(rest, problem.key, required):
                return problems


def _take_out(document: dict[str, Any], key: str, required: set[str]) -> bool:
    """Remove ``key``, or the section that lacks it. False where neither is there."""
    *sections, last = key.split(".")
    parent, holder = document, {}
    for section in sections:
        if not isinstance(parent.get(section), dict):
            return False
        parent, holder = parent[section], parent
    lacking = key in required or last in parent or bool(holder)
    if last not in parent and holder:
        parent, last = holder, sections[-1]
    parent.pop(last, None)
    required.discard(key.partition(".")[0])
    return lacking


def _built(kind: Any, values: Mapping[str, Any]) -> Any:
    """The dataclass ``kind`` from checked values, with the sections inside it."""
    hints = typing.get_type_hints(kind)

    def value(hint: Any, plain: Any) -> Any:
        if isinstance(plain, dict) and (section := record_type(hint)):
            return _built(section, plain)
        if isinstance(plain, dict) and (of_values := hint_of_values(hint)):
            return {name: value(of_values, item) for name, item in plain.items()}
        return tuple(plain) if isinstance(plain, list) else plain

    return kind(**{key: value(hints[key], plain) for key, plain in values.items()})


def _mixture(document: Mapping[str, Any] | None, task: str, tasks: Path) -> MixtureSection | None:
    """The mixture with the defaults that follow from its tasks' own files."""
    if document is None:
        return None
    mixture: MixtureSection = _built(MixtureSection, document)
    check_mixture(mixture, task)
    complete = {}
    for name, mixed in mixture.tasks.items():
        where = join("mixture.tasks", name)
        learnt = read_learnt_task(name, mixed, where, tasks)
        if learnt.source.has_images:
            raise Problem(where, "its cases have images, which are learnt alone; make it the recipe's own task")
        data = complete_data(f"{where}.data", document["tasks"][name].get("data"), learnt)
        complete[name] = dataclasses.replace(mixed, data=data)
    return dataclasses.replace(mixture, tasks=complete)


@functools.cache
def _document_types() -> dict[str, Any]:
    """The types of a recipe's top-level keys."""
    types = typing.get_type_hints(Recipe)
    types.update(schema=Literal[1], data=DataSection, train=settings("train"), lora=settings("lora") | None)
    types["allow_overlap"] = dict[str, str]
    del types["path"], types["overridden"]
    return types


def _explain_names(document: dict[str, Any], types: Mapping[str, Any]) -> None:
    """Say more than "unknown key": Osler's own, renamed, gone, or at home in another section."""
    known = {"": set(types)} | {name: set(field_types(hint)) for name, hint in types.items()}
    keys = [("", key) for key in document]
    keys += [(name, key) for name in types if isinstance(document.get(name), dict) for key in document[name]]
    for section, key in keys:
        where = join(section, key)
        if key in known[section]:
            continue
        if reason := refusal(where):
            raise Problem(where, reason)
        if key in RENAMED:
            raise Problem(where, f"renamed; write {RENAMED[key]}")
        if key in GONE:
            raise Problem(where, f"gone; {GONE[key]}")
        if home := next((name for name in known if name and key in known[name]), None):
            raise Problem(where, f"unknown key; did you mean {home}.{key}?")
