"""``results.json`` and ``robustness.json``: what every system scored, each number with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from osler.errors import show
from osler.recipe import FUSED
from osler.storage import Contract, FileContract

Count = Annotated[int, Field(ge=0)]
MAX_RESAMPLES = 100_000  # more say nothing more, and take hours and all memory to compute again


class Estimate(Contract):
    """A number with its 95% interval and the method that gave it; without a bound where there are too few groups."""

    value: float
    low: float | None
    high: float | None
    method: str


class Reliability(Contract):
    """One bin of cases of similar confidence: how sure the system was on average, how often it was right."""

    n: Count
    confidence: float
    accuracy: Estimate


class CalibrationMeasures(Contract):
    """How far probabilities can be believed. ``reliability`` has a row a bin, the least confident first."""

    brier: Estimate | None = None
    ece: Estimate | None = None
    ece_debiased: Estimate | None = None
    log_loss: Estimate | None = None
    reliability: tuple[Reliability, ...]

    @property
    def measures(self) -> dict[str, Estimate]:
        """The measures by name, without the bins."""
        return {name: value for name, value in self if isinstance(value, Estimate)}


class FittedOn(Contract):
    """What temperature and threshold were chosen on: a split and the number of its cases."""

    split: str
    n: Count


class AnsweredShare(Contract):
    """What a threshold came to where it was chosen: the share of cases answered, and how many of these were right."""

    coverage: float
    accuracy: float


class Abstention(Contract):
    """Answering only above a confidence, chosen on validation for a target accuracy, and what it comes to here.

    All but the target are null where no threshold reaches it, and ``accuracy`` where nothing is answered.
    """

    target_accuracy: float
    threshold: float | None
    validation: AnsweredShare | None
    coverage: Estimate | None
    accuracy: Estimate | None


class Calibration(Contract):
    """Probabilities ``before`` and ``after`` a temperature. Empty for a system without probabilities; only ``before``
    where there was nothing to fit the temperature on. ``named``: the share of the cases of ``fitted_on`` whose right
    label the system names, which is the probability that all labels it names have together."""

    before: CalibrationMeasures | None = None
    fitted_on: FittedOn | None = None
    temperature: float | None = None
    named: float = 1.0
    after: CalibrationMeasures | None = None
    abstention: Abstention | None = None

    def tempered(self, probabilities: Sequence[float]) -> list[float]:
        """The probabilities of the labels that one answer names, calibrated; as they are where no temperature was
        fitted."""
        import numpy as np

        from osler.statistics import calibration  # imports scipy, which who only reads results need not wait for

        row = np.array([probabilities])
        if self.temperature is not None:
            row = calibration.temper(row, self.temperature, np.ones_like(row, bool), self.named)
        return [min(1.0, float(p)) for p in row[0]]


class Subgroup(Contract):
    """The cases with one value of an attribute; no accuracy where there are too few."""

    n: Count
    accuracy: Estimate | None


class Subgroups(Contract):
    """An attribute: accuracy by value, the ``worst`` and the ``best`` of them, and the ``gap`` between the two."""

    values: dict[str, Subgroup]
    worst: str | None
    best: str | None
    gap: Estimate | None

    @model_validator(mode="after")
    def _names_its_own(self) -> Subgroups:
        for name in (self.worst, self.best):
            if name is not None and name not in self.values:
                raise ValueError(f"{show(name)} is none of its values")
        return self


class System(Contract):
    """Everything about one system on one split."""

    metrics: dict[str, Estimate]
    calibration: Calibration
    subgroups: dict[str, Subgroups]


class Comparison(Contract):
    """The accuracy of ``a`` minus that of ``b`` on the same cases, with a paired test (p values adjusted by Holm)."""

    a: str
    b: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    interval_method: str
    p_value: float
    p_adjusted: float
    method: str
    discordance: float
    minimum_detectable_difference: float | None


class Parity(Contract):
    """How near the merged model ``system`` is to the model with its adapter, over the ``n`` cases of a split."""

    system: str
    n: Count
    same_first_label: Count
    same_ranking: Count
    max_probability_difference: float | None
    bound: float
    holds: bool


class Overlap(Contract):
    """Held-out cases that stand in the training data by one measure; ``worst`` names them, with what they are like."""

    cases: Count
    share: float
    worst: tuple[tuple[str | float, ...], ...]


class PhraseOverlap(Contract):
    """As :class:`Overlap`, by runs of words; ``measured`` cases are long enough, ``mean`` is their mean share."""

    cases: Count
    mean: float
    measured: Count
    share: float
    worst: tuple[tuple[str | float, ...], ...]


class MinHash(Contract):
    """How near-duplicates are proposed."""

    bands: int
    rows: int
    seed: int


class OverlapSettings(Contract):
    """What counts as an overlap."""

    contained: float
    minhash: MinHash
    near: float
    ngram_words: int
    shingle_characters: int


class SplitOverlap(Contract):
    """What the ``n`` cases of a split have in common with the training data (:mod:`osler.data.contamination`)."""

    exact: Overlap
    n: Count
    near: Overlap
    ngrams: PhraseOverlap
    normalised: Overlap
    publications: Overlap | None

    @property
    def similar(self) -> dict[str, int]:
        """How many cases stand in the training data word for word, nearly, and by most of their phrases."""
        return {"normalised": self.normalised.cases, "near": self.near.cases, "ngrams": self.ngrams.cases}


class MeasuredOverlap(SplitOverlap):
    """As :class:`SplitOverlap`, with the reason a recipe gives for it, and the settings it was measured with."""

    allowed: str | None
    settings: OverlapSettings


class Record(Contract):
    """One split of one task. ``groups`` is the number of independent groups, null where every case stands alone."""

    task: str
    task_version: int | None
    split: str
    n: Annotated[int, Field(ge=1)]
    groups: Count | None
    prompt_sha256: str | None
    predictions_sha256: dict[str, str]
    systems: dict[str, System]
    comparisons: tuple[Comparison, ...]
    parity: Parity | None
    contamination: MeasuredOverlap | None

    def against(self, a: str) -> dict[str, Comparison]:
        """System → the comparison of ``a`` with it, of those there are."""
        return {row.b: row for row in self.comparisons if row.a == a}

    @model_validator(mode="after")
    def _is_of_its_systems(self) -> Record:
        if not self.systems or self.systems.keys() != self.predictions_sha256.keys():
            raise ValueError("systems and predictions_sha256 are not of the same systems, one or more")
        for name, system in self.systems.items():
            if missing := {"accuracy", "parse_rate"} - system.metrics.keys():
                raise ValueError(f"{show(name)} has no {min(missing)}")
        compared = [name for row in self.comparisons for name in (row.a, row.b)]
        for name in (*compared, *([self.parity.system] if self.parity else ())):
            if name not in self.systems:
                raise ValueError(f"{show(name)} is compared, and is none of its systems")
        return self


class Fusion(Contract):
    """What the system ``fused`` is: log p = Σ weight · log p of its parts + constant.

    Probabilities below ``floor`` count as that; a label that a part does not rank has the mean log p of those it ranks.
    ``weights`` were fitted on ``fitted_on``, whose cases are of ``groups`` independent groups. There, and only there,
    each case was answered with weights fitted on the cases of other groups. ``left_out``: systems that would be parts,
    had they given probabilities.
    """

    weights: dict[str, Annotated[float, Field(ge=0)]]
    floor: Annotated[float, Field(gt=0, lt=1)]
    fitted_on: FittedOn
    groups: Count
    left_out: tuple[str, ...]


class Results(FileContract):
    """``results.json``. ``weights_sha256``: system to fingerprint of its weights, configuration and tokenizer; null
    where none are known. ``fused``: null where nothing was fused. ``first``: only so many cases of each split were
    answered (``--limit``); null for all."""

    first: Annotated[int, Field(ge=1)] | None = None
    resamples: Annotated[int, Field(ge=1, le=MAX_RESAMPLES)]
    seed: Count
    weights_sha256: dict[str, str] | None
    fused: Fusion | None
    records: tuple[Record, ...]

    @model_validator(mode="after")
    def _fuses_its_systems(self) -> Results:
        parts = (FUSED, *self.fused.weights) if self.fused else ()
        for record in self.records:
            if missing := [name for name in parts if name not in record.systems]:
                raise ValueError(f"fused is of {show(missing[0])}, and {show(record.split)} has no such system")
        return self

    def calibration(self, task: str, system: str) -> Calibration | None:
        """The one that was fitted for a system, or where none was, that of its first split; None of a task without
        records. What it was fitted on, the split ``validation``, has no fitted one itself."""
        found = [record.systems[system].calibration for record in self.records if record.task == task]
        return next((one for one in found if one.temperature is not None), found[0] if found else None)


class Change(Contract):
    """Accuracy on perturbed cases minus that on the same cases as they are."""

    difference: float
    low: float | None
    high: float | None
    method: str


class PerturbedRecord(Contract):
    """One perturbation: ``n`` cases were changed, ``unchanged`` were not and count nowhere. Null where n is 0."""

    perturbation: str
    strength: float
    seed: Count
    n: Count
    unchanged: Count
    original_accuracy: Estimate | None
    accuracy: Estimate | None
    change: Change | None
    top_1_flip_rate: Estimate | None

    @model_validator(mode="after")
    def _is_measured_where_it_was_changed(self) -> PerturbedRecord:
        measured = (self.original_accuracy, self.accuracy, self.change, self.top_1_flip_rate)
        if any((value is None) is not (self.n == 0) for value in measured):
            raise ValueError(f"n is {self.n}: the measured values are null where it is 0, and nowhere else")
        return self


class Robustness(FileContract):
    """``robustness.json``: system to what perturbing the cases of a split does to its answers."""

    task: str
    split: str
    records: dict[str, tuple[PerturbedRecord, ...]]
    predictions_sha256: dict[str, dict[str, str]]

    @model_validator(mode="after")
    def _is_of_its_systems(self) -> Robustness:
        if self.records.keys() != self.predictions_sha256.keys():
            raise ValueError("records and predictions_sha256 are not of the same systems")
        if any("original" not in hashes for hashes in self.predictions_sha256.values()):
            raise ValueError("predictions_sha256 has no original of a system")
        return self
