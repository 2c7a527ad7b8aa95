"""A recipe: a YAML file read strictly into frozen dataclasses, complete and typed, before anything is downloaded.

``train:`` takes the fields of the installed ``trl.SFTConfig`` and ``lora:`` those of ``peft.LoraConfig`` that Osler
honours (:mod:`osler.recipe.verdicts`). Everything wrong is an
:class:`~osler.errors.InputError` of one line.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from osler.recipe.balance_section import BalanceSection
from osler.recipe.sections import (
    AugmentSection,
    BaseSection,
    DataSection,
    EvaluationSection,
    Head,
    LossSection,
    MixtureSection,
    PreferencesSection,
    PublishSection,
    SearchSection,
    TaskSection,
    TeacherSection,
)
from osler.recipe.strict_yaml import dump_yaml
from osler.storage import sha256_text


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A resolved recipe. ``lora`` and ``train`` are read-only and hold only what the recipe sets.

    ``head``: the base is trained under a linear layer, over the labels of the task (``classifier``) or with one output
    that says how well a candidate fits (``reranker``); null leaves it a language model.
    ``patience``: training ends after that many evaluations in a row that are no better (``metric_for_best_model``).
    ``allow_overlap`` maps an evaluated split to the reason why cases of it may stand in the training data.

    Equality and ``sha256`` are about the content; where it was read from does not matter.
    """

    schema: int
    name: str
    version: str
    base: BaseSection
    task: TaskSection
    head: Head | None = None
    data: DataSection | None = None
    lora: Mapping[str, Any] | None = None
    loss: LossSection
    train: Mapping[str, Any]
    evaluation: EvaluationSection
    allow_overlap: Mapping[str, str] | None = None
    augment: AugmentSection | None = None
    balance: BalanceSection | None = None
    mixture: MixtureSection | None = None
    teacher: TeacherSection | None = None
    preferences: PreferencesSection | None = None
    patience: int | None = None
    stage: Literal["pretrain"] | None = None
    publish: PublishSection
    search: SearchSection | None = None
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
        """Hash of what the recipe says: of the canonical JSON of every value that is not its key's default.

        Comments, key order and ``3`` for ``3.0`` do not change it, nor does a default written out, nor a new key of
        the schema: what is published stays as it is when Osler learns something new.
        """
        return _sha256(_stated(self))

    @property
    def run_sha256(self) -> str:
        """Hash of what a run is bound to once it is trained: all but which cases it is scored on beside which systems,
        how it is published, and what else was searched. The scorer stays in it: another one needs predictions of its
        own."""
        stated = _stated(self)
        unbound = ("allow_overlap", "publish", "evaluation", "search")
        bound = {key: value for key, value in stated.items() if key not in unbound}
        return _sha256({**bound, "scorer": self.evaluation.scorer})


def _stated(section: Any) -> dict[str, Any]:
    """The fields of a recipe, or of a section of it, that are not at their defaults; empty sections are left out."""
    stated = {}
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if not item.compare or value == item.default:
            continue
        if dataclasses.is_dataclass(value):
            value = _stated(value)
            if not value:
                continue
        elif isinstance(value, Mapping):
            value = {key: _stated(of) if dataclasses.is_dataclass(of) else of for key, of in value.items()}
        stated[item.name] = value
    return stated


def _sha256(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_text(canonical)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
