"""A task's ``task.yaml``, typed: what is to be learnt, and where its cases come from. Needs no data and no torch."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from osler.errors import InputError
from osler.recipe.image_section import ImageTextSource
from osler.recipe.source_sections import (
    BenchmarkSource,
    CorpusSource,
    DatasetSource,
    DifferentialSource,
    PanelSection,
    PhenopacketSource,
    PreparedSource,
    QuestionSource,
    SimulatedSource,
)
from osler.recipe.strict_yaml import read_yaml
from osler.recipe.task_texts import Name, WheelFile
from osler.storage import Contract, FileContract, root_with, validated


class TerminologySection(Contract):
    """The files that findings in texts are found with, and answers in free text read with."""

    ontology: WheelFile
    annotations: WheelFile | None = None


class PreparationSection(Contract):
    """How the published rows are prepared; :mod:`osler.preparation` knows the steps of ``cleaning``."""

    cleaning: tuple[Mapping[str, Any], ...]


class TaskFile(FileContract):
    """``task.yaml``.

    Attributes:
        panels: selections of what is to be learnt, of which a recipe names one; empty where there is nothing to select.
        splits: the held-out splits, and what each is.
        labels: the texts that a model answers with, in Unicode's composed form (NFC) whatever the file has; None where
            the panel decides.
        scorer: the one its cases need; None where the recipe chooses.
        prompt, system: the file of the user turn, a jinja template beside ``task.yaml``; and the text of the system
            turn, None for no such turn.
        license: of the data, as the Hub calls it; None where it is not known.
    """

    name: Name
    version: int
    source: Annotated[
        SimulatedSource
        | PhenopacketSource
        | DifferentialSource
        | CorpusSource
        | DatasetSource
        | PreparedSource
        | ImageTextSource
        | BenchmarkSource
        | QuestionSource,
        Field(discriminator="kind"),
    ]
    panels: Mapping[str, PanelSection] = {}
    splits: Mapping[Name, str]
    scorer: Literal["multiple_choice", "generate"] | None = None
    terminology: TerminologySection | None = None
    labels: tuple[Annotated[str, AfterValidator(partial(unicodedata.normalize, "NFC"))], ...] | None = None
    system: str | None = None
    prompt: Name
    preparation: PreparationSection | None = None
    license: str | None = None

    @model_validator(mode="after")
    def _check(self) -> TaskFile:
        self.source.check(self)
        spellings = [" ".join(label.lower().split()) for label in self.labels or ()]
        for label, spelling in zip(self.labels or (), spellings, strict=True):
            if spellings.count(spelling) > 1:
                raise ValueError(f"labels: {label!r} is there twice, but for case or spacing; keep one")
        return self


def read_task(folder: Path) -> TaskFile:
    """Read the ``task.yaml`` in ``folder``.

    Raises :class:`InputError` where it is missing or wrong: with the file, the key's path and what is allowed.
    """
    path = folder / "task.yaml"
    return validated(TaskFile, read_yaml(path), str(path))


def find_tasks(path: Path) -> Path:
    """The ``tasks`` folder that a recipe, or a run, means: in, beside or above it, else in the working directory."""
    root = root_with(path, "tasks/*/task.yaml")
    if root is None:
        raise InputError(
            f"{path}: its task is not here: the folder tasks of its project is neither beside or above it, nor in"
            f" {Path.cwd()}; start this from the project's folder, or copy its tasks there"
        )
    return root / "tasks"
