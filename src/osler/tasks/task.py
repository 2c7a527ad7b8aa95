"""A task: what is to be learnt. One object feeds training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from osler.errors import InputError
from osler.recipe import Problem, read_yaml
from osler.storage import data_folder
from osler.tasks.prompt import Prompt
from osler.tasks.source import Source
from osler.tasks.sources.dataset import HubDataset


@dataclass(frozen=True)
class Task:
    """A loaded task, its panel chosen.

    ``scorer`` is the one its cases need; None where the recipe chooses. ``terminology`` names the files that free-text
    answers are read with (:func:`osler.terminology.diseases.load`), and findings in its texts are found with.
    """

    name: str
    version: int
    panel: str | None
    splits: Mapping[str, str]
    prompt: Prompt
    source: Source
    scorer: Literal["multiple_choice", "generate"] | None = None
    terminology: Mapping[str, str] | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """Label id → label text."""
        return self.source.labels


def load_task(folder: Path, panel: str | None = None) -> Task:
    """Load ``folder/task.yaml`` and the data it names. Raises :class:`InputError` for whatever is wrong with it."""
    content = read_yaml(folder / "task.yaml")
    source: Source
    if content["source"]["kind"] == "simulated":
        from osler.tasks.sources.simulated import SimulatedPatients

        source = SimulatedPatients(content["source"], content["panels"][panel]["min_patients"], data_folder())
    elif content["source"]["kind"] == "benchmark":
        from osler.tasks.sources.benchmark import Benchmark

        try:
            source = Benchmark(content, data_folder())
        except Problem as problem:
            raise InputError(f"{folder / 'task.yaml'}: {problem.key}: {problem.text}") from None
    elif content["source"]["kind"] == "corpus":
        from osler.tasks.sources.corpus import Corpus

        source = Corpus(content["source"], content["panels"][panel]["min_patients"])
    elif content["source"]["kind"] == "prepared":
        from osler.tasks.sources.prepared import Prepared

        source = Prepared(content["source"], content["labels"], folder)
    else:
        ontology = content.get("terminology", {}).get("ontology")
        source = HubDataset(content["source"], content["labels"], data_folder(), ontology)
    prompt = Prompt((folder / content["prompt"]).read_text(encoding="utf-8"), content.get("system"))
    return Task(
        name=content["name"],
        version=content["version"],
        panel=panel,
        splits=content["splits"],
        prompt=prompt,
        source=source,
        scorer=content.get("scorer"),
        terminology=content.get("terminology"),
    )
