"""A recipe: a YAML file read strictly into frozen dataclasses, complete and typed, before anything is downloaded.

``train:`` takes any field of the installed ``trl.SFTConfig`` and ``lora:`` any of ``peft.LoraConfig``, except what
Osler decides itself (``schema.OWNED``). Everything wrong is an :class:`~osler.errors.InputError` of one line.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import json
import os
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from osler.errors import InputError
from osler.limits import (
    check_augment,
    check_base,
    check_combinations,
    check_mixture,
    check_stage,
    check_values,
    simulated,
    task_facts,
)
from osler.manifest import sha256_text
from osler.schema import (
    GONE,
    RENAMED,
    Problem,
    check,
    check_keys,
    dump_yaml,
    field_types,
    join,
    one_line,
    owned,
    parse_yaml,
    read_yaml,
    record_of_values,
    record_type,
    settings,
    show,
)
from osler.sections import (
    AugmentSection,
    BaseSection,
    DataSection,
    EvaluationSection,
    LossSection,
    MixtureSection,
    PublishSection,
    TaskSection,
)


@dataclass(frozen=True)
class Recipe:
    """A resolved recipe. ``lora`` and ``train`` are read-only and hold only what the recipe sets.

    ``allow_overlap`` maps an evaluated split to the reason why cases of it may stand in the training data.

    Equality and ``sha256`` are about the content; where it was read from does not matter.
    """

    schema: int
    name: str
    version: str
    base: BaseSection
    task: TaskSection
    data: DataSection | None
    lora: Mapping[str, Any] | None
    loss: LossSection
    train: Mapping[str, Any]
    evaluation: EvaluationSection
    allow_overlap: Mapping[str, str] | None
    augment: AugmentSection | None
    mixture: MixtureSection | None
    stage: Literal["pretrain"] | None
    publish: PublishSection
    path: Path = field(compare=False)
    overridden: tuple[str, ...] = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The resolved content in plain types; sections that are null are left out."""

        def plain(value: Any) -> Any:
            return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]

        content = {item.name: plain(getattr(self, item.name)) for item in dataclasses.fields(self) if item.compare}
        content = {key: dict(value) if isinstance(value, Mapping) else value for key, value in content.items()}
        return copy.deepcopy({key: value for key, value in content.items() if value is not None})

    def to_yaml(self) -> str:
        """The resolved recipe; loads back to an equal recipe."""
        return dump_yaml(self.to_dict())

    @property
    def seed(self) -> int:
        """The seed of data and training; 42 is the trainer's own where the recipe names none."""
        return int(self.train.get("seed", 42))

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the content: comments, key order and ``3`` for ``3.0`` do not change it."""
        return _sha256(self.to_dict())

    @property
    def run_sha256(self) -> str:
        """Hash of what a run is bound to once it is trained: all but which cases it is scored on beside which systems
        and how it is published. The scorer stays in it: another one needs predictions of its own."""
        content = self.to_dict()
        bound = {key: content[key] for key in content.keys() - {"allow_overlap", "publish"}}
        return _sha256({**bound, "evaluation": {"scorer": self.evaluation.scorer}})


def _sha256(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_text(canonical)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def load(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, put ``KEY=VALUE`` overrides over it (``train.learning_rate=1e-4``) and check all of it.

    Raises:
        InputError: anything at all is wrong; one line with the file, the key's path, the value and what is allowed.
    """
    path = Path(path)
    if not os.path.exists(path):  # unlike Path.exists, False for whatever cannot be a path
        recipes = [os.path.relpath(recipe) for recipe in _shipped(path)]
        close = difflib.get_close_matches(os.path.relpath(path), recipes, n=1, cutoff=0.3)
        raise InputError(f"{path}: no such file" + (f"; did you mean {close[0]}?" if close else ""))
    document = read_yaml(path)
    for override in overrides:
        _put(document, override, path)
    try:
        return _resolve(document, path, tuple(overrides))
    except Problem as problem:
        keys = [f"{override.partition('=')[0]}." for override in overrides]
        key = f"{problem.key}."
        mark = " (override)" if any(key.startswith(other) or other.startswith(key) for other in keys) else ""
        raise InputError(one_line(f"{path}: {problem.key}{mark}: {problem.text}")) from None


def find_tasks(path: Path) -> Path:
    """The ``tasks`` folder that a recipe, or a run directory, means: in, beside or above it, else in the working
    directory.

    Raises:
        InputError: there is none.
    """
    root = _root(path, "tasks/*/task.yaml")
    if root is None:
        raise InputError(f"{path}: no tasks/<name>/task.yaml beside or above it, nor in {Path.cwd()}")
    return root / "tasks"


def _root(path: Path, pattern: str) -> Path | None:
    here = Path(os.path.abspath(path))  # not resolve(): in the Hub's cache a file is a link to a blob far away
    itself = [here] if os.path.isdir(here) else []
    return next((root for root in [*itself, *here.parents, Path.cwd()] if any(root.glob(pattern))), None)


def _shipped(path: Path) -> list[Path]:
    root = _root(path, "recipes/**/*.yaml")
    return sorted(root.glob("recipes/**/*.yaml")) if root else []


def _put(document: dict[str, Any], override: str, path: Path) -> None:
    key, equals, value = override.partition("=")
    *sections, last = key.split(".")
    if not equals or not all([*sections, last]):
        raise InputError(f"{path}: override {show(override)}: expected KEY=VALUE, such as train.learning_rate=1e-4")
    for section in sections:
        if not isinstance(document.get(section), dict):
            document[section] = {}
        document = document[section]
    document[last] = parse_yaml(value, f"{path}: override {show(override)}")


def _resolve(document: dict[str, Any], path: Path, overrides: tuple[str, ...]) -> Recipe:
    if "schema" in document:  # first, because a newer schema explains all other problems
        check(document["schema"], Literal[1], "schema")
    types = _document_types()
    _explain_names(document, types)
    check_keys(document, types, required={"schema", "name", "version", "base", "task", "evaluation"})
    check_values(document)

    def section(kind: Any, name: str) -> Any:
        return _built(kind, document.get(name, {}))

    def optional(kind: Any, name: str) -> Any:
        return None if document.get(name) is None else _built(kind, document[name])

    base, task, loss = section(BaseSection, "base"), section(TaskSection, "task"), section(LossSection, "loss")
    evaluation, augment = section(EvaluationSection, "evaluation"), optional(AugmentSection, "augment")
    check_base(base, shipped := _shipped(path))
    facts = task_facts(task.name, task, "task", tasks := find_tasks(path))
    check_stage(document.get("stage"), evaluation, task.name, facts)
    if augment is not None:
        check_augment(augment, task.name, facts, shipped)
    _check_data("data", "data" in document, task.name, facts)
    if loss.name == "label_trie" and loss.completion_weight is None:
        loss = dataclasses.replace(loss, completion_weight=0.1)
    recipe = Recipe(
        schema=document["schema"],
        name=document["name"],
        version=document["version"],
        base=base,
        task=task,
        data=section(DataSection, "data") if simulated(facts) else None,
        lora=None if document.get("lora") is None else MappingProxyType(document["lora"]),
        loss=loss,
        train=MappingProxyType(document.get("train", {})),
        evaluation=evaluation,
        allow_overlap=MappingProxyType(document["allow_overlap"]) if document.get("allow_overlap") else None,
        augment=augment,
        mixture=_mixture(optional(MixtureSection, "mixture"), task.name, tasks),
        stage=document.get("stage"),
        publish=section(PublishSection, "publish"),
        path=path,
        overridden=overrides,
    )
    defaults = {item.name: item.default for item in dataclasses.fields(types["train"])}
    check_combinations(recipe, defaults)
    return recipe


def _built(kind: Any, values: Mapping[str, Any]) -> Any:
    """The dataclass ``kind`` from checked values, with the sections inside it."""
    hints = typing.get_type_hints(kind)

    def value(hint: Any, plain: Any) -> Any:
        if isinstance(plain, dict) and (section := record_type(hint)):
            return _built(section, plain)
        if isinstance(plain, dict) and (section := record_of_values(hint)):
            return {name: _built(section, item) for name, item in plain.items()}
        return tuple(plain) if isinstance(plain, list) else plain

    return kind(**{key: value(hints[key], plain) for key, plain in values.items()})


def _check_data(where: str, written: bool, task: str, facts: Mapping[str, Any]) -> None:
    if written and not simulated(facts):
        raise Problem(where, f"only for tasks with `source: {{kind: simulated}}` in task.yaml, not for {task}")


def _mixture(mixture: MixtureSection | None, task: str, tasks: Path) -> MixtureSection | None:
    """The mixture with the defaults that follow from its tasks' own files."""
    if mixture is None:
        return None
    check_mixture(mixture, task)
    complete = {}
    for name, mixed in mixture.tasks.items():
        where = join("mixture.tasks", name)
        facts = task_facts(name, mixed, where, tasks)
        _check_data(f"{where}.data", mixed.data is not None, name, facts)
        data = mixed.data or DataSection() if simulated(facts) else None
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


def _explain_names(document: dict[str, Any], types: dict[str, Any]) -> None:
    """Say more than "unknown key": Osler's own, renamed, gone, or at home in another section."""
    known = {"": set(types)} | {name: set(field_types(hint)) for name, hint in types.items()}
    found = [("", key) for key in document]
    found += [(name, key) for name in types if isinstance(document.get(name), dict) for key in document[name]]
    for section, key in found:
        where = join(section, key)
        if reason := owned(where):
            raise Problem(where, f"not for a recipe to set: {reason}")
        if key in known[section]:
            continue
        if key in RENAMED:
            raise Problem(where, f"renamed; write {RENAMED[key]}")
        if key in GONE:
            raise Problem(where, f"gone; {GONE[key]}")
        if home := next((name for name in known if name and key in known[name]), None):
            raise Problem(where, f"unknown key; did you mean {home}.{key}?")
