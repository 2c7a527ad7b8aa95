"""``manifest.json``: what a training was made of and on, written last: a run with a manifest is finished."""

from __future__ import annotations

from typing import Literal

from osler.storage import Contract, FileContract


class Environment(Contract):
    """The software and the machine; what could not be known is null."""

    osler: str
    python: str
    packages: dict[str, str | None]
    constraints_sha256: str | None
    platform: str
    cpu: str | None
    cores: int | None
    memory_bytes: int
    gpus: tuple[str, ...]
    git_commit: str | None
    git_dirty: bool | None


class TrainedRecipe(Contract):
    """The recipe; ``run_sha256`` is the hash of what a run is bound to (:attr:`osler.recipe.Recipe.run_sha256`)."""

    name: str
    version: str
    sha256: str
    run_sha256: str


class Ancestor(Contract):
    """A finished run that another one starts from, or learns from: its recipe, and what its training wrote."""

    name: str
    version: str
    run_sha256: str
    adapter_sha256: str


class Base(Contract):
    """The base model: how the recipe names it; and what was loaded: the class of the model, how many parameters it has
    (packed ones counted as what they stand for) and the fingerprint of its weights. ``run`` is the one whose whole
    model it is, where its folder stands in a run directory."""

    model: str
    revision: str | None
    weights: str | tuple[str, ...] | None
    architecture: str
    parameters: int
    fingerprint: str
    run: Ancestor | None = None


class Teacher(Contract):
    """Who taught beside the labels: the weight of each part, and how good they are together on the training rows, where
    the classifiers of texts were not fitted on the rows they are asked about. ``log_loss`` is in nats."""

    weights: dict[str, float]
    accuracy: float
    log_loss: float
    run: Ancestor | None


class Preferences(Contract):
    """Pairs of a right and a wrong label: of how many rows how many were answered wrongly, and how surely enough to be
    one of the ``pairs``."""

    rows: int
    wrong: int
    pairs: int


class TrainedTask(Contract):
    """The task that was learnt."""

    name: str
    version: int
    panel: str | None


class Conversation(Contract):
    """How the base's chat template asks (:class:`osler.tasks.Conversation`): with a system turn or with that at the
    head of the user turn, with contents in parts, with an ``opening`` before the answer."""

    own_system_turn: bool
    content_parts: bool
    opening: str


class PeakMemory(Contract):
    """The most memory that was held: of the process, and on all GPUs."""

    host: int
    gpu: int | None


class Augmentation(Contract):
    """Changed copies of training rows: how many by each augmentation, and which could not be made."""

    copies: int
    strengths: dict[str, float]
    rows: dict[str, int]
    refused: dict[str, dict[str, int]]
    not_made: int
    skipped: dict[str, str]


class BalancedGroup(Contract):
    """Training rows of one group, and how much each of them counts."""

    rows: int
    weight: float


class Balance(Contract):
    """Groups of training rows that were made to count alike; ``rows_without`` tell no group and weigh 1."""

    by: str
    method: Literal["reweight", "sample"]
    groups: dict[str, BalancedGroup]
    rows_without: int


class MixedTaskTokens(Contract):
    """What a pass takes from one task of a mixture."""

    rows: int
    tokens: int
    completion_tokens: int


class TrainedContent(Contract):
    """What decides the weights, besides the recipe: base, prompt and template by their hashes, data by its counts.

    ``release_sha256`` is of a file of data that the task names without pinning it, so that its labels and splits are
    those of the release at hand; null where there is none. A step has as many micro-batches of the recipe as there
    are ``processes``.
    """

    base_fingerprint: str
    rows_in: int
    dropped: dict[str, int]
    rows_out: int
    truncated_rows: int
    tokens_a_pass: int
    prompt_sha256: str
    chat_template_sha256: str | None
    release_sha256: str | None = None
    processes: int = 1


class Selected(Contract):
    """The checkpoint that was kept: after ``step``, with ``value`` of ``metric`` on validation."""

    metric: str
    step: int
    value: float


class Manifest(FileContract):
    """``manifest.json``.

    Rows and tokens are of one pass. ``adapter_sha256`` is the fingerprint of what training wrote, an adapter, or a
    whole model where the recipe has no ``lora:``, with its configuration, tokenizer and chat template.
    ``panel_sha256`` is of ``panel.json``; null where there is none. ``train_seconds`` counts the time before a kill.
    ``conversation`` is null where documents were read and nothing was asked.
    """

    recipe: TrainedRecipe
    environment: Environment
    base: Base
    task: TrainedTask
    prompt_sha256: str
    chat_template_sha256: str | None
    conversation: Conversation | None
    adapter_sha256: str
    panel_sha256: str | None = None
    seed: int
    rows_in: int
    dropped: dict[str, int]
    rows_out: int
    truncated_rows: int
    tokens_a_pass: int
    release_sha256: str | None = None
    processes: int = 1
    teacher: Teacher | None = None
    preferences: Preferences | None = None
    augmentation: Augmentation | None
    balance: Balance | None = None
    mixture: dict[str, MixedTaskTokens] | None
    train_seconds: float
    resumed_from_step: int | None
    steps: int
    selected: Selected | None = None
    threads: int
    peak_memory_bytes: PeakMemory

    @property
    def content(self) -> TrainedContent:
        """What decided the weights."""
        names = TrainedContent.model_fields.keys() - {"base_fingerprint"}
        return TrainedContent(base_fingerprint=self.base.fingerprint, **{name: getattr(self, name) for name in names})
