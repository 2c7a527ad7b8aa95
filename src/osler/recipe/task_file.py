"""A task's ``task.yaml`` as a recipe sees it: where the file is, and what it says that a recipe has to agree with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from osler.errors import InputError, nearest, show
from osler.recipe.sections import MixedTask, TaskSection
from osler.recipe.strict_yaml import read_yaml
from osler.recipe.type_check import Problem, check


def find_tasks(path: Path) -> Path:
    """The ``tasks`` folder that a recipe, or a run directory, means: in, beside or above it, else in the working
    directory.

    Raises:
        InputError: there is none.
    """
    root = root_with(path, "tasks/*/task.yaml")
    if root is None:
        raise InputError(f"{path}: no tasks/<name>/task.yaml beside or above it, nor in {Path.cwd()}")
    return root / "tasks"


def root_with(path: Path, pattern: str) -> Path | None:
    here = Path(os.path.abspath(path))  # not resolve(): in the Hub's cache a file is a link to a blob far away
    itself = [here] if os.path.isdir(here) else []
    return next((root for root in [*itself, *here.parents, Path.cwd()] if any(root.glob(pattern))), None)


def task_facts(name: str, task: TaskSection | MixedTask, where: str, tasks: Path) -> dict[str, Any]:
    """What the task's own file says, compared with the recipe's section at ``where``."""
    named = f"{where}.name" if isinstance(task, TaskSection) else where
    names = sorted(path.parent.name for path in tasks.glob("*/task.yaml"))
    if name not in names:
        close = nearest(name, names) or f"; tasks: {', '.join(names)}"
        raise Problem(named, f"{show(name)} is not a task in {tasks}{close}")
    path = tasks / name / "task.yaml"
    facts = read_yaml(path)
    panels: Any = facts.get("panels") or []
    try:
        check(facts.get("version"), int, "version")
        check(panels, list[str] | dict[str, Any], "panels")
        check(facts.get("splits"), list[str] | dict[str, Any], "splits")
    except Problem as problem:
        raise InputError(f"{path}: {problem.key}: {problem.text}") from None
    if kind_of(facts) == "benchmark":
        raise Problem(named, f"{show(name)} is a benchmark, for evaluation only; train on another task")
    if task.version != facts["version"]:
        raise Problem(f"{where}.version", f"{task.version} is not the version in {path}; expected {facts['version']}")
    if panels and task.panel is None:
        raise Problem(f"{where}.panel", f"missing; expected one of {', '.join(panels)}")
    if task.panel is not None and not panels:
        raise Problem(f"{where}.panel", f"{show(task.panel)} is not allowed; {path} lists no panels")
    if panels:
        check(task.panel, Literal[tuple(panels)], f"{where}.panel")
    return facts


def kind_of(facts: Mapping[str, Any]) -> Any:
    source = facts.get("source")
    return source.get("kind") if isinstance(source, dict) else None


def simulated(facts: Mapping[str, Any]) -> bool:
    """Whether a task's training patients are simulated."""
    return kind_of(facts) == "simulated"
