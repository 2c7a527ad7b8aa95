"""``data_report.json`` of a run: which rows it learnt from, what was left out of them, what they share with others."""

from __future__ import annotations

from pydantic import JsonValue

from osler.runs.manifest import Augmentation, Balance
from osler.runs.results import OverlapSettings, SplitOverlap
from osler.storage import Contract, FileContract


class Tokens(Contract):
    """Tokens of all rows, those of answers (a classifier writes none), and the lengths of rows."""

    total: int
    completion: int
    min: int
    median: int
    p95: int
    max: int


class MixedTaskReport(Contract):
    """One task of a mixture."""

    task_version: int
    panel: str | None
    prompt_sha256: str
    rows_available: int
    dropped: dict[str, int]
    rows: int
    weight: float
    truncated: int
    tokens: Tokens
    rows_with_held_out_wording: int
    provenance: dict[str, JsonValue]


class MixtureReport(Contract):
    """All tasks of a mixture, the recipe's own first."""

    temperature: float | None
    tasks: dict[str, MixedTaskReport]


class Contamination(Contract):
    """What held-out cases and training rows have in common, split by split, and the reasons given for it."""

    allowed: dict[str, str]
    settings: OverlapSettings
    splits: dict[str, SplitOverlap]


class DataReport(FileContract):
    """``data_report.json``. ``provenance`` is what the source of the task's cases says of itself."""

    task: str
    task_version: int
    panel: str | None
    prompt_sha256: str
    rows_in: int
    dropped: dict[str, int]
    rows_out: int
    truncated: int
    sources: dict[str, int]
    rows_per_label: dict[str, int]
    labels: dict[str, str]
    tokens: Tokens
    augmentation: Augmentation | None
    balance: Balance | None = None
    mixture: MixtureReport | None
    provenance: dict[str, JsonValue]
    contamination: Contamination
