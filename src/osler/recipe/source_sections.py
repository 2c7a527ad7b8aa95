"""Where a task's cases come from: ``source:`` of its ``task.yaml``, one class a ``kind``."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import Field

from osler.recipe.task_texts import COMMIT, Commit, Name, ProjectPath, RelativePath, Sha256, WheelFile
from osler.storage import Contract, sha256_of_data


class PanelSection(Contract):
    """Diseases with at least ``min_patients`` published patients; null: every disease."""

    min_patients: int | None = Field(ge=1)


class Around(Protocol):
    """What a source sees of the rest of its ``task.yaml``."""

    @property
    def name(self) -> str: ...
    @property
    def panels(self) -> Mapping[str, PanelSection]: ...
    @property
    def splits(self) -> Mapping[str, str]: ...
    @property
    def scorer(self) -> str | None: ...
    @property
    def labels(self) -> tuple[str, ...] | None: ...


class HubPin(NamedTuple):
    """A dataset on the Hub and the commit of it that is read."""

    dataset: str
    revision: str


class SourceSection(Contract):
    """``source:``, where the cases come from. ``kind`` says which; everything else asks these.

    Attributes:
        trains_on: patients as ``findings`` of an ontology, cases as ``texts``, ``documents`` without labels; None where
            the cases are for evaluation only.
        own_data: whether the rows are a user's own, which nobody else has.
        has_images: whether a case is an image with its text.
        data_defaults: the keys that a recipe's ``data:`` may have, and what they are where it is silent.
        no_rows_reason: why ``scripts/prepare_data.py`` finds no published rows to prepare; None where it finds some.
    """

    trains_on: ClassVar[Literal["findings", "texts", "documents"] | None]
    own_data: ClassVar[bool] = False
    has_images: ClassVar[bool] = False
    data_defaults: ClassVar[Mapping[str, Any]] = {}
    no_rows_reason: ClassVar[str | None]

    @property
    def hub(self) -> HubPin | None:
        """The dataset on the Hub that the cases are from; None where they are from elsewhere."""
        return None

    def release_sha256(self) -> str | None:
        """The sha256 of the data on this machine where the task does not say which there have to be, and labels and
        splits follow from them; None elsewhere, and where they are not here."""
        return None

    @abstractmethod
    def pin(self, split: str) -> str:
        """What pins the cases of ``split``: a commit, or the hash of a file."""

    def check(self, task: Around) -> None:
        """Raise ``ValueError``, which names the key, for what does not go with the rest of ``task``."""
        if not task.labels:
            raise ValueError("labels: missing; expected the texts that a model answers with")


class OntologySource(SourceSection):
    """What sources made from the Human Phenotype Ontology share. A panel is a selection of its diseases."""

    ontology: WheelFile
    annotations: WheelFile

    def pin(self, split: str) -> str:
        """The file of annotations, with its sha256."""
        return self.annotations

    def check(self, task: Around) -> None:
        """There are panels; the labels follow from them."""
        if not task.panels:
            raise ValueError("panels: missing; expected NAME: {min_patients: N}")
        if task.labels is not None:
            raise ValueError("labels: not with this source, whose panels decide which there are")


class SimulatedSource(OntologySource):
    """Patients simulated from the annotations, tested on published ones that are taken out of them before."""

    trains_on = "findings"
    data_defaults: ClassVar[Mapping[str, Any]] = {"simulated_per_label": 100, "real_repeats": 0}
    no_rows_reason = "its patients are simulated when a recipe is trained; the run's data_report.json describes them"

    kind: Literal["simulated"]

    def check(self, task: Around) -> None:
        """Every panel says how many patients a disease needs, too."""
        super().check(task)
        for name, panel in task.panels.items():
            if panel.min_patients is None:
                raise ValueError(f"panels.{name}.min_patients: null is not allowed; expected an integer")


class Shares(Contract):
    """Which share of the publications each part gets; they add up to 1."""

    train: float = Field(gt=0, lt=1)
    validation: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    def check(self) -> None:
        """Raise ``ValueError`` where they do not add up to 1."""
        if not math.isclose(total := self.train + self.validation + self.test, 1):
            raise ValueError(f"source.shares: they add up to {total:g}; expected 1")


class StoreSource(OntologySource):
    """Published patients out of a release of Phenopacket Store, divided by publication; ``store`` is below
    OSLER_DATA_DIR."""

    trains_on = "findings"
    no_rows_reason = "its patients are told in sentences when a recipe is trained; data_report.json describes them"

    store: RelativePath
    shares: Shares

    def pin(self, split: str) -> str:
        """The hash of the release that is here."""
        return f"sha256:{self.release_sha256()}"

    def release_sha256(self) -> str | None:
        """The sha256 of ``store``."""
        return sha256_of_data(self.store)

    def check(self, task: Around) -> None:
        """There are neither panels nor labels, and no splits but :meth:`known_splits`."""
        for key in ("panels", "labels"):
            if getattr(task, key):
                raise ValueError(f"{key}: not with this source, which decides itself which labels there are")
        self.shares.check()
        known = [f"{split}{wording}" for split in self.known_splits() for wording in ("", "_unseen_wording")]
        for split in task.splits:
            if split not in known:
                raise ValueError(f"splits.{split}: unknown split; expected one of {', '.join(known)}")

    @abstractmethod
    def known_splits(self) -> tuple[str, ...]:
        """The splits there may be, in HPO's wording; each may be there in ``_unseen_wording``, too."""


class PhenopacketSource(StoreSource):
    """Published patients of one of the diseases with at least ``min_publications`` publications in a release of
    Phenopacket Store. These diseases are the labels."""

    data_defaults: ClassVar[Mapping[str, Any]] = {
        "tellings": 1,
        "balance": 0.0,
        "partial": 0.0,
        "share": 1.0,
        "simulated_per_label": 0,
    }

    kind: Literal["phenopackets"]
    min_publications: int = Field(ge=3)

    def known_splits(self) -> tuple[str, ...]:
        """The parts that publications are held out in."""
        return ("validation", "test")


class PinnedFile(Contract):
    """A file below OSLER_DATA_DIR, and its sha256."""

    path: RelativePath
    sha256: Sha256


class DifferentialSource(StoreSource):
    """Every disease of OMIM is a candidate, and nothing is a label. Learnt from the training publications of the store;
    tested on its test publications, on the patients in the annotations (``hpoa``), and on ``external`` ones, of whom
    nothing is learnt."""

    data_defaults: ClassVar[Mapping[str, Any]] = {"tellings": 1, "partial": 0.0}

    kind: Literal["differential"]
    genes: WheelFile | None = None  # HPO's genes_to_phenotype.txt; errors within a gene are told apart by it
    external: Mapping[Name, PinnedFile] = {}

    def known_splits(self) -> tuple[str, ...]:
        """The parts of the store, the annotations' own patients, and the external sets."""
        return ("validation", "phenopackets", "hpoa", *self.external)


class CorpusSource(OntologySource):
    """What the ontology knows, as documents for pre-training."""

    trains_on = "documents"
    no_rows_reason = "its texts are generated from an ontology when a recipe is trained"

    kind: Literal["corpus"]


class Columns(Contract):
    """The columns a case is read from."""

    text: str
    label: str


class DatasetSource(SourceSection):
    """A dataset with train and test files of its own; ``local`` is below OSLER_DATA_DIR, read instead of the Hub."""

    trains_on = "texts"
    no_rows_reason = None

    kind: Literal["dataset"]
    dataset: str
    revision: Commit
    local: RelativePath
    files: Mapping[Name, RelativePath]
    columns: Columns
    validation_share: float = Field(0.0, ge=0, lt=1)

    @property
    def hub(self) -> HubPin | None:
        """The dataset."""
        return HubPin(self.dataset, self.revision)

    def pin(self, split: str) -> str:
        """The commit of the dataset."""
        return self.revision

    def check(self, task: Around) -> None:
        """There are labels, a file to train on and one for every split."""
        super().check(task)
        _check_files(self.files, task.splits, {"validation"} if self.validation_share else set())


class PreparedFile(Contract):
    """A file that ``scripts/prepare_data.py`` wrote."""

    name: RelativePath
    sha256: Sha256


class PreparedSource(SourceSection):
    """A user's own rows, as ``scripts/prepare_data.py`` wrote them into ``folder`` (relative to the task's, in
    the same project)."""

    trains_on = "texts"
    own_data = True
    no_rows_reason = "prepare_data.py made it; name the export it was made from"

    kind: Literal["prepared"]
    prepared_from: str
    folder: ProjectPath
    files: Mapping[Name, PreparedFile]

    def pin(self, split: str) -> str:
        """The hash of the split's file."""
        return f"sha256:{self.files[split].sha256}"

    def check(self, task: Around) -> None:
        """There are labels, a file to train on and one for every split."""
        super().check(task)
        _check_files(self.files, task.splits, set())


def _check_files(files: Collection[str], splits: Collection[str], made: set[str]) -> None:
    for split in ("train", *splits):
        if split not in files and split not in made:
            expected = f"expected a file for train and for each of {', '.join(splits)}"
            raise ValueError(f"source.files.{split}: missing; {expected}")


class SplitFile(Contract):
    """The file a split is read from: ``hub`` in the dataset on the Hub (null: not there), ``local`` in a local copy.

    ``only`` is a JSON file beside the local one whose keys are the cases of the split. ``sha256`` is the fingerprint of
    the split's rows, whichever file they come from.
    """

    hub: RelativePath | None
    local: RelativePath
    only: RelativePath | None = None
    sha256: Sha256 | None = None


class PublishedQuestions(SourceSection):
    """Published cases. ``subjects`` are those the task keeps of a file that has more."""

    format: Literal["agentclinic", "dxbench", "medmcqa", "medqa", "mmlu", "pubmedqa"]
    dataset: str | None
    revision: Commit | None
    local: RelativePath
    files: Mapping[Name, SplitFile]
    subjects: tuple[str, ...] | None = None

    @property
    def hub(self) -> HubPin | None:
        """The dataset; None where there is a local copy only."""
        return HubPin(self.dataset, self.revision) if self.dataset and self.revision else None

    @property
    def held_out(self) -> set[str]:
        """The splits that the files give."""
        return set(self.files)

    def pin(self, split: str) -> str:
        """The commit of the dataset, or the fingerprint of the split."""
        return self.revision or f"sha256:{self.files[split].sha256}"

    def check(self, task: Around) -> None:
        """Every split has a file, whatever is on the Hub a dataset and a commit, and the labels are those of questions:
        letters, or none for free text."""
        if self.held_out != set(task.splits):
            expected = f"expected one entry a split: {', '.join(task.splits)}"
            raise ValueError(f"source.files: has {', '.join(self.files)}; {expected}")
        if self.dataset and not self.revision:
            raise ValueError(f"source.revision: null is not allowed; expected {COMMIT[1]}")
        for split, file in self.files.items():
            if file.hub and not self.dataset:
                raise ValueError(f"source.files.{split}.hub: {file.hub} of which dataset? source.dataset is null")
        if task.scorer is None:
            raise ValueError("scorer: missing; expected one of multiple_choice, generate")
        if task.labels is None:
            raise ValueError("labels: missing; expected [A, B, …] for multiple_choice, [] for generate")
        letters = tuple("ABCDEFGHIJ"[: len(task.labels)])
        if task.labels != letters or (task.scorer == "multiple_choice") != (len(letters) > 1):
            expected = "expected [A, B, …] for multiple_choice, [] for generate"
            raise ValueError(f"labels: [{', '.join(task.labels)}] is not allowed; {expected}")


class BenchmarkSource(PublishedQuestions):
    """The published cases of a benchmark."""

    trains_on = None
    no_rows_reason = "it is a benchmark, scored as published: scripts/evaluate.py RUN --benchmark NAME"

    kind: Literal["benchmark"]


class QuestionSource(PublishedQuestions):
    """Published multiple-choice questions to learn from: ``files`` has ``train``, too.

    ``validation_share`` of those, chosen by a hash, are the split ``validation``. ``apart_from`` are benchmarks beside
    this task: training holds no near copy of their cases, nor of this task's own held-out ones.
    """

    trains_on = "texts"
    no_rows_reason = "its questions are learnt as published; which are left out, a run's data_report.json says"

    kind: Literal["questions"]
    validation_share: float = Field(0.0, ge=0, lt=1)
    apart_from: tuple[Name, ...] = ()

    @property
    def held_out(self) -> set[str]:
        """The splits that the files give, without what is trained on."""
        return set(self.files) - {"train"} | ({"validation"} if self.validation_share else set())

    def check(self, task: Around) -> None:
        """There is something to train on, and letters to answer with."""
        if "train" not in self.files or (self.validation_share and "validation" in self.files):
            text = "train and, unless there is a validation_share, the held-out splits"
            raise ValueError(f"source.files: has {', '.join(self.files)}; expected {text}")
        super().check(task)
        if task.scorer != "multiple_choice":
            raise ValueError(f"scorer: {task.scorer} is not for questions to learn from; expected multiple_choice")
