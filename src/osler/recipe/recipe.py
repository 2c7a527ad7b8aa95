"""A recipe: a YAML file read strictly into frozen dataclasses, complete and typed, before anything is downloaded.

``train:`` takes any field of the installed ``trl.SFTConfig`` and ``lora:`` any of ``peft.LoraConfig``, except what
Osler decides itself (``schema.OWNED``). Everything wrong is an :class:`~osler.errors.InputError` of one line.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from osler.recipe.sections import (
    AugmentSection,
    BaseSection,
    DataSection,
    EvaluationSection,
    LossSection,
    MixtureSection,
    PublishSection,
    TaskSection,
)
from osler.recipe.strict_yaml import dump_yaml
from osler.storage import sha256_text


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
