"""A task: what is to be learnt. One object feeds training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from osler.errors import InputError
from osler.recipe import (
    BenchmarkSource,
    CorpusSource,
    DifferentialSource,
    ImageTextSource,
    PhenopacketSource,
    PreparedSource,
    QuestionSource,
    SimulatedSource,
    TaskFile,
    TerminologySection,
    read_task,
)
from osler.storage import data_folder
from osler.tasks.case import Case
from osler.tasks.prompt import Prompt, load_prompt
from osler.tasks.source import Source
from osler.tasks.sources.all_diseases import AllDiseases
from osler.tasks.sources.benchmark import Benchmark
from osler.tasks.sources.corpus import Corpus
from osler.tasks.sources.dataset import HubDataset
from osler.tasks.sources.image_text import ImageText
from osler.tasks.sources.known_panel import KnownPanel
from osler.tasks.sources.phenopackets import StoredPatients
from osler.tasks.sources.prepared import Prepared
from osler.tasks.sources.questions import Questions
from osler.tasks.sources.simulated import SimulatedPatients


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
    terminology: TerminologySection | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """Label id → label text."""
        return self.source.labels

    @property
    def has_images(self) -> bool:
        """Whether its cases are images with their texts."""
        return isinstance(self.source, ImageText)

    @property
    def kept_apart(self) -> Mapping[str, Sequence[Case]]:
        """Where they are from → cases of which training may hold no copy, not even a near one; none where the task does
        not ask for it."""
        return self.source.kept_apart if isinstance(self.source, Questions) else {}


def load_task(folder: Path, panel: str | None = None) -> Task:
    """Load the task in ``folder`` and the data it names; ``panel`` is given exactly where it has some.

    Raises:
        InputError: the task's file is wrong, it has no such panel, or its data is not there.
    """
    task = read_task(folder)
    if (panel is None) == bool(task.panels) or (panel is not None and panel not in task.panels):
        panels = ", ".join(task.panels) or "none"
        raise InputError(f"{folder / 'task.yaml'}: panels: {panel or 'none'} is asked for; the task has {panels}")
    source = _source(folder, task, task.panels[panel].min_patients if panel else None)
    return _task(folder, task, panel, source)


def load_to_ask(folder: Path, panel: str | None, labels: Mapping[str, str]) -> Task:
    """As :func:`load_task`, with the ``labels`` of a trained model and without data: enough to ask that model.

    Raises:
        InputError: the task's file is wrong.
    """
    return _task(folder, read_task(folder), panel, KnownPanel(labels))


def _task(folder: Path, task: TaskFile, panel: str | None, source: Source) -> Task:
    return Task(
        name=task.name,
        version=task.version,
        panel=panel,
        splits=task.splits,
        prompt=load_prompt(folder),
        source=source,
        scorer=task.scorer,
        terminology=task.terminology,
    )


def _source(folder: Path, task: TaskFile, min_patients: int | None) -> Source:
    """The one place that knows which class reads which kind of source."""
    section, labels = task.source, task.labels or ()
    if isinstance(section, SimulatedSource):
        assert min_patients is not None, "TaskFile refuses such a panel"
        return SimulatedPatients(section, min_patients)
    if isinstance(section, PhenopacketSource):
        return StoredPatients(section, data_folder())
    if isinstance(section, DifferentialSource):
        return AllDiseases(section, data_folder())
    if isinstance(section, CorpusSource):
        return Corpus(section, min_patients)
    if isinstance(section, BenchmarkSource):
        return Benchmark(section, labels, data_folder())
    if isinstance(section, QuestionSource):
        return Questions(section, labels, data_folder(), partial(_benchmark, folder.parent))
    if isinstance(section, PreparedSource):
        return Prepared(section, labels, folder)
    if isinstance(section, ImageTextSource):
        return ImageText(section, labels, data_folder())
    return HubDataset(section, labels, data_folder(), task.terminology.ontology if task.terminology else None)


def _benchmark(tasks: Path, name: str) -> tuple[Source, Sequence[str]]:
    """The source of a task in the folder ``tasks``, and the names of its splits."""
    task = load_task(tasks / name)
    return task.source, list(task.splits)
