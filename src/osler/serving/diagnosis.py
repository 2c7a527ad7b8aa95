"""What a model answers to a text, as users and programs get it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from osler.explanation import Explanation, WordWeight
from osler.storage import Contract

# Where an id of a disease is explained.
PAGES = {
    "OMIM": "https://omim.org/entry/{}",
    "ORPHA": "https://www.orpha.net/en/disease/detail/{}",
    "HP": "https://hpo.jax.org/browse/term/HP:{}",
    "MONDO": "https://monarchinitiative.org/MONDO:{}",
}
NO_CALIBRATION = "not calibrated: no validation cases were evaluated, so the probabilities are the model's own"
NO_THRESHOLD = "no probability is known from which on this model's answers to validation cases were right often enough"
_ID = re.compile(r"(?P<vocabulary>[A-Z]+):(?P<number>\d+)")


class RankedLabel(Contract):
    """A diagnosis.

    Attributes:
        label: its id in the task, such as ``OMIM:154700``; the name where the task has no ids.
        name: what it is called.
        probability: calibrated where the answer says so; null where the model gives none.
        link: a page about ``label``; null where its vocabulary has none.
        icd10cm: the code of ICD-10-CM that is called the same; null where none is.
    """

    label: str
    name: str
    probability: Annotated[float, Field(ge=0, le=1)] | None
    link: str | None
    icd10cm: str | None = None


class ModelName(Contract):
    """Which model answered: the recipe's name and version, the hash of that recipe and of the weights."""

    name: str
    version: str
    recipe_sha256: str
    weights_sha256: str


class Diagnosis(Contract):
    """The answer to one text. It is no clinical evidence: every user has to be told so.

    Attributes:
        diagnoses: the most likely first.
        abstained: whether the first one is too unsure to be told as an answer; ``reason`` says why.
        calibrated: whether temperature and threshold were fitted on validation cases.
        warnings: what is unusual about the text; the model may be wrong where it seems sure.
        words, explanation: what carried the answer, and more of why it is so; null where that was not asked.
        text: what a model that writes wrote; null for the others.
        model: which model answered.
        request_id: as it was given, or the server's own; feedback names the answer by it.
    """

    diagnoses: tuple[RankedLabel, ...]
    abstained: bool
    reason: str | None
    calibrated: bool
    warnings: tuple[str, ...]
    words: tuple[WordWeight, ...] | None = None
    explanation: Explanation | None = None
    text: str | None = None
    model: ModelName
    request_id: str | None = None


def link(label: str) -> str | None:
    """The page about a label's id; None where there is none."""
    found = _ID.fullmatch(label)
    page = PAGES.get(found["vocabulary"]) if found else None
    return page.format(found["number"]) if found and page else None


def render_lines(answer: Diagnosis) -> str:
    """For a terminal."""
    lines = [f"Too unsure to be told as an answer: {answer.reason}."] if answer.abstained else []
    for rank, one in enumerate(answer.diagnoses, 1):
        told = "      " if one.probability is None else f"{one.probability:6.1%}"
        lines.append(f"{rank:2}. {told}  {one.name}{f' ({one.label})' if one.label != one.name else ''}")
    lines += [f"warning: {line}" for line in answer.warnings]
    if not answer.calibrated:
        lines.append(NO_CALIBRATION)
    lines.append(f"{answer.model.name}@{answer.model.version}. This is no clinical evidence.")
    return "\n".join(lines)
