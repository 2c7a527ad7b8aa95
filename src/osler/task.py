"""A task: what is to be learnt. One object feeds training, evaluation and serving."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

from osler import augmentation, pypi
from osler.augmentation import Augmentation
from osler.errors import InputError
from osler.hpo import Annotations, Ontology, read_ontology
from osler.lexicon import Lexicon
from osler.narrative import stable_unit
from osler.patient import Patient
from osler.perturbation import OF_TEXTS, Perturbation
from osler.prompt import Prompt
from osler.reading import Columns, Record, Rejected, read
from osler.recipe import DataSection
from osler.schema import Problem, read_yaml

if TYPE_CHECKING:
    from typing_extensions import NotRequired  # in typing from Python 3.11

WORD_BANDS = ((25, "0-24"), (50, "25-49"), (math.inf, "50+"))  # of a text: below each limit


class Row(TypedDict):
    """One case. ``label`` is a label id; ``source`` says where the case comes from.

    A multiple choice question has ``options``, option id (a letter) → text in the order shown, and ``label`` is one of
    these ids. A question that is answered in free text has none, and ``label`` is the reference answer itself.
    ``group``, where it is not None, is shared by cases that are not independent (the publication they are from).
    """

    case_id: str
    text: str
    label: str
    subgroups: dict[str, str]
    group: str | None
    source: str
    options: NotRequired[dict[str, str]]


@dataclass
class Rows:
    """Training rows, and what was left out of them and why."""

    rows: list[Row]
    dropped: dict[str, int] = field(default_factory=dict)


def changed(rows: Sequence[Row], texts: Sequence[str]) -> Rows:
    """``rows`` with ``texts`` in place of theirs; those whose words are the same are left out and counted."""
    kept = [
        Row(**{**row, "text": text})
        for row, text in zip(rows, texts, strict=True)
        if text.split() != row["text"].split()
    ]
    return Rows(kept, {"nothing to change": len(rows) - len(kept)})


class Source(Protocol):
    """Where a task's cases come from."""

    perturbations: tuple[str, ...]  # names of what :meth:`perturbed` can do

    @property
    def labels(self) -> Mapping[str, str]:
        """Label id → the text a model answers with, in the panel's order; empty where answers are free text."""

    def training(self, data: DataSection | None, seed: int) -> Rows:
        """The training rows. Raises :class:`InputError` where the source is for evaluation only."""

    def split(self, name: str) -> list[Row]:
        """The held-out rows of one split; empty where its data is not on this machine."""

    def perturbed(self, split: str, perturbation: Perturbation) -> Rows:
        """The rows of a split, changed; the same case ids and labels, in the same order. Where nothing can be changed,
        the case is left out and counted. Raises :class:`InputError` for what is not in ``perturbations``."""

    def augmenter(self, data: DataSection | None, seed: int) -> Callable[[Row, Augmentation, str], str]:
        """What gives a training row's text for a copy of it, by the copy's case id; the text of the row where nothing
        can be changed. Every augmentation that needs no model is asked of it."""

    def held_out_wordings(self, text: str) -> set[str]:
        """The wordings in ``text`` that training may not use; empty where the source holds none back."""

    def patients(self, split: str) -> Mapping[str, Patient]:
        """Case id → the patient a text was made from, with the findings that it names; empty where texts are all."""

    def knowledge(self) -> tuple[Ontology, Annotations]:
        """The ontology, and the annotations of diseases that training may learn from.

        Raises :class:`InputError` where the cases are texts and nothing more.
        """

    def publications(self, split: str) -> Mapping[str, Collection[str]]:
        """Case id → the publications a held-out case was taken from; empty where the source knows none."""

    def training_publications(self, data: DataSection | None) -> Collection[str]:
        """Every publication something in the training rows was taken from."""

    def provenance(self) -> dict[str, Any]:
        """What a reviewer needs to check that training and held-out cases have nothing in common."""


@dataclass(frozen=True)
class Task:
    """A loaded task, its panel chosen.

    ``scorer`` is the one its cases need; None where the recipe chooses. ``terminology`` names the files that free-text
    answers are read with (:func:`osler.terminology.load`), and findings in its texts are found with.
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


def data_folder() -> Path | None:
    """``$OSLER_DATA_DIR``, the folder of local dataset copies; None where it is not set.

    Raises :class:`InputError` where it is set to something that is not a folder.
    """
    value = os.environ.get("OSLER_DATA_DIR")
    if not value:
        return None
    if not Path(value).is_dir():
        raise InputError(f"OSLER_DATA_DIR={value}: no such folder; unset it or name the folder of your local datasets")
    return Path(value)


def load(folder: Path, panel: str | None = None) -> Task:
    """Load ``folder/task.yaml`` and the data it names. Raises :class:`InputError` for whatever is wrong with it."""
    content = read_yaml(folder / "task.yaml")
    source: Source
    if content["source"]["kind"] == "simulated":
        from osler.cohort import Cohort

        source = Cohort(content["source"], content["panels"][panel]["min_patients"], data_folder())
    elif content["source"]["kind"] == "benchmark":
        from osler.benchmark import Benchmark

        try:
            source = Benchmark(content, data_folder())
        except Problem as problem:
            raise InputError(f"{folder / 'task.yaml'}: {problem.key}: {problem.text}") from None
    elif content["source"]["kind"] == "corpus":
        from osler.corpus import Corpus

        source = Corpus(content["source"], content["panels"][panel]["min_patients"])
    elif content["source"]["kind"] == "prepared":
        from osler.prepared import Prepared

        source = Prepared(content["source"], content["labels"], folder)
    else:
        ontology = content.get("terminology", {}).get("ontology")
        source = Published(content["source"], content["labels"], data_folder(), ontology)
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


def hub_file(dataset: str, revision: str, name: str, local: str) -> Path:
    """A file of a dataset on the Hub at a pinned revision, from the local cache or downloaded.

    Raises :class:`InputError`, which names the ``local`` copy below ``$OSLER_DATA_DIR`` as a way out.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(dataset, name, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{dataset}@{revision}: {name} is not in the local cache and the Hub did not give it"
            f" ({type(error).__name__}); go online, or set OSLER_DATA_DIR to a folder that has {local}"
        ) from error


class Texts(ABC):
    """A source whose cases are texts and nothing more: neither their findings nor where they are from is known."""

    perturbations = OF_TEXTS
    labels: Mapping[str, str]
    ontology: str | None = None  # the file of HPO, as :mod:`osler.pypi` reads it, that findings are found in texts with

    @abstractmethod
    def training(self, data: DataSection | None, seed: int) -> Rows:
        """See :class:`Source`."""

    @abstractmethod
    def split(self, name: str) -> list[Row]:
        """See :class:`Source`."""

    def perturbed(self, split: str, perturbation: Perturbation) -> Rows:
        """The rows of ``split``, their sentences and words changed; options are left alone."""
        perturbation.check(self.perturbations)
        rows = self.split(split)
        answers = [self.labels.get(row["label"], row["label"]) for row in rows]
        texts = [perturbation.text(r["case_id"], r["text"], answer) for r, answer in zip(rows, answers, strict=True)]
        return changed(rows, texts)

    def augmenter(self, data: DataSection | None, seed: int) -> Callable[[Row, Augmentation, str], str]:
        """What tells a training text again, its sentences, words or findings changed."""
        return augmentation.Texts(self.training(data, seed).rows, self.labels, self._lexicon)

    def _lexicon(self) -> Lexicon:
        assert self.ontology is not None, "a recipe that has to find findings in texts without one is refused"
        return Lexicon(read_ontology(pypi.fetch(self.ontology)))

    def held_out_wordings(self, text: str) -> set[str]:
        """None."""
        return set()

    def patients(self, split: str) -> Mapping[str, Patient]:
        """None."""
        return {}

    def knowledge(self) -> tuple[Ontology, Annotations]:
        """Raises :class:`InputError`."""
        raise InputError("the cases of this task are texts; no ontology says what their findings are")

    def publications(self, split: str) -> Mapping[str, Collection[str]]:
        """None."""
        return {}

    def training_publications(self, data: DataSection | None) -> Collection[str]:
        """None."""
        return ()


class Published(Texts):
    """A dataset with its own train and test files: JSONL on the Hub at a pinned revision, or a local copy of it.

    ``validation_share`` of the rows of its training file, chosen by a hash of their text, are the split ``validation``.
    """

    def __init__(
        self, spec: Mapping[str, Any], labels: list[str], folder: Path | None, ontology: str | None = None
    ) -> None:
        self.ontology = ontology
        self.labels = {label: label for label in labels}
        self._spec = spec
        self._folder = folder / spec["local"] if folder and (folder / spec["local"]).is_dir() else None

    def training(self, data: DataSection | None, seed: int) -> Rows:
        """The published training rows, less those whose text stands in a test split or earlier in training."""
        held_out = {_key(row["text"]) for name in self._spec["files"] if name != "train" for row in self.split(name)}
        seen: set[str] = set()
        kept = Rows([], {"text is in a held-out split": 0, "text stands in training already": 0})
        for row in self._rows("train"):
            if self._is_validation(row):
                continue
            key = _key(row["text"])
            if key in held_out:
                kept.dropped["text is in a held-out split"] += 1
            elif key in seen:
                kept.dropped["text stands in training already"] += 1
            else:
                kept.rows.append(row)
            seen.add(key)
        return kept

    def split(self, name: str) -> list[Row]:
        """The held-out rows of ``name``. Raises :class:`InputError` naming the row that is wrong."""
        if name == "validation":
            return [row for row in self._rows("train") if self._is_validation(row)]
        return self._rows(name)

    def raw(self) -> Iterator[tuple[str, Record | Rejected]]:
        """Every published row as it stands, with its split."""
        columns = Columns(self._spec["columns"]["text"], self._spec["columns"]["label"])
        for split, name in self._spec["files"].items():
            for row in read(str(self._path(name)), columns):
                yield split, row

    def _is_validation(self, row: Row) -> bool:
        return stable_unit(_key(row["text"])) < self._spec.get("validation_share", 0)

    def _rows(self, name: str) -> list[Row]:
        """Every row of the file behind ``name``, checked."""
        path = self._path(self._spec["files"][name])
        rows = []
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    rows.append(self._row(line, f"{path}:{number}", f"{name}/{number:05d}"))
        return rows

    def _row(self, line: str, where: str, case_id: str) -> Row:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error})") from error
        columns = self._spec["columns"]
        for column in columns.values():
            if not isinstance(record, dict) or not isinstance(record.get(column), str) or not record[column].strip():
                raise InputError(f"{where}: no text in the column {column!r}, which the task reads")
        label = record[columns["label"]].strip()
        if label not in self.labels:
            raise InputError(
                f"{where}: the label {label!r} is not among the {len(self.labels)} of the task: {list(self.labels)}"
            )
        text = record[columns["text"]].strip()
        length = len(text.split())
        subgroups = {"words": next(band for limit, band in WORD_BANDS if length < limit)}
        dataset = self._spec["dataset"]
        return Row(case_id=case_id, text=text, label=label, subgroups=subgroups, group=None, source=dataset)

    def _path(self, name: str) -> Path:
        if self._folder:
            if not (self._folder / name).is_file():
                raise InputError(
                    f"{self._folder / name}: no such file; the local copy of {self._spec['dataset']} needs it"
                )
            return self._folder / name
        return hub_file(self._spec["dataset"], self._spec["revision"], name, f"{self._spec['local']}/{name}")

    def provenance(self) -> dict[str, Any]:
        """The dataset, its revision and the local folder read instead, if one was."""
        return {
            "dataset": self._spec["dataset"],
            "revision": self._spec["revision"],
            "local": str(self._folder) if self._folder else None,
        }


def _key(text: str) -> str:
    """What makes two rows of a file the same text. It chooses the split ``validation``: another key, another split."""
    return " ".join(text.lower().split())
