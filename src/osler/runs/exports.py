"""``exports.json``: what was made of a run for other software, and how near each answers to the evaluated model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from osler.errors import show
from osler.runs.results import Comparison, Estimate
from osler.storage import Contract, FileContract

Format = Literal["merged", "gguf", "onnx", "openvino"]
Positive = Annotated[float, Field(gt=0)]


class LabelLogP(Contract):
    """|Δ log p| over all cases and labels, between an artefact and the evaluated model, in nats. Probabilities are over
    the panel."""

    mean: Annotated[float, Field(ge=0)]
    max: Annotated[float, Field(ge=0)]


class ExportedSplit(Contract):
    """An artefact's answers to a split. ``compared``: its accuracy minus that of the evaluated model, on the same
    cases; ``same_first``: the share of cases with the same first answer."""

    split: str
    n: Annotated[int, Field(ge=1)]
    accuracy: Estimate
    compared: Comparison
    same_first: Estimate
    log_p: LabelLogP
    predictions_sha256: str


class BaseDistance(Contract):
    """Mean |Δ log p| on ``n`` cases: of the artefact to the untuned base and to the evaluated model, and between these
    two, which is what training changed."""

    n: Annotated[int, Field(ge=1)]
    to_base: float
    to_tuned: float
    tuned_to_base: float


class Artefact(Contract):
    """One export. ``tokens_per_second``: of prompts and label trie, each counted once a case, while it answered;
    ``peak_memory_bytes``: of the process that answered, Python and torch included. ``prompts_compared``: held-out
    prompts whose token ids are those of training. ``from_base``: null for a classifier, whose base has no answers."""

    format: Format
    quantization: str | None
    system: str
    size_bytes: Annotated[int, Field(gt=0)]
    sha256: str
    runtime: str
    threads: Annotated[int, Field(ge=1)]
    tokens_per_second: Positive
    peak_memory_bytes: Annotated[int, Field(gt=0)]
    prompts_compared: Annotated[int, Field(ge=1)]
    from_base: BaseDistance | None
    splits: Annotated[tuple[ExportedSplit, ...], Field(min_length=1)]


class Exports(FileContract):
    """``exports.json``. ``tuned``: the evaluated model that artefacts are compared with, ``weights_sha256`` its
    fingerprint. ``first``: only so many cases of each split were answered (``--limit``)."""

    first: Annotated[int, Field(ge=1)] | None = None
    tuned: str
    weights_sha256: str
    artefacts: dict[str, Artefact]

    @model_validator(mode="after")
    def _compares_with_the_tuned(self) -> Exports:
        for name, artefact in self.artefacts.items():
            for row in artefact.splits:
                if (row.compared.a, row.compared.b) != (artefact.system, self.tuned):
                    raise ValueError(f"{show(name)} is not compared with {show(self.tuned)}")
        return self
