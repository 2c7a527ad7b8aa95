"""What is told of why a model answered as it did. It is about the model, and no evidence about the patient."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from osler.ranking import Matched, Term
from osler.storage import Contract

ABOUT = "This explains the model, not the patient: what moved its answer is no medical evidence."

Share = Annotated[float, Field(ge=0, le=1)]


class WordWeight(Contract):
    """How much a stretch of the text, from character ``start`` to ``end``, speaks for the first diagnosis: how much
    its log-probability (natural, calibrated) falls where the stretch is left out; below 0 it speaks against."""

    start: int
    end: int
    weight: float


class ToldFinding(Contract):
    """A finding that the text names, and what it says of it."""

    finding: Term
    status: Literal["present", "absent", "relative", "uncertain"]


class UnitWeight(WordWeight):
    """A stretch that was left out as one, and the ``findings`` that it names."""

    findings: tuple[ToldFinding, ...]


class Edit(Contract):
    """A change of the text: a stretch of it ``left_out``, a finding ``negated`` (told as absent, or as present where it
    was absent), or one ``added`` that the runner-up's patients have."""

    kind: Literal["left_out", "negated", "added"]
    start: int | None
    end: int | None
    finding: Term | None


class Counterfactual(Contract):
    """A smallest change that was found to change the first answer, to ``label`` with ``probability``."""

    edits: tuple[Edit, ...]
    label: str
    name: str
    probability: Share


class ForAndAgainst(Contract):
    """What HPO's annotations say of one answer, as in :class:`osler.ranking.Evidence`. The model did not read them."""

    label: str
    name: str
    matched: tuple[Matched, ...]
    matched_more_generally: tuple[Matched, ...]
    unexplained: tuple[Term, ...]
    expected_but_absent: tuple[Matched, ...]
    contradicted: tuple[Term, ...]


class SimilarPatient(Contract):
    """A published patient, or a row of the training data, with like findings; none of its text.

    Attributes:
        case_id: of Phenopacket Store, or of the training row.
        label, name: the diagnosis.
        publications: PMIDs; none of a training row that is a text.
        similarity: information that the findings of both share, over that of all of them (simGIC).
        shared: findings of the text that this patient has, itself or something below them.
        trained_on: whether the model learnt from this patient or another of the same publication; null if not known.
    """

    case_id: str
    label: str
    name: str
    publications: tuple[str, ...]
    similarity: Share
    shared: tuple[Term, ...]
    trained_on: bool | None


class Explanation(Contract):
    """Why a model gave its first answer.

    Attributes:
        about: what this is not.
        label: the first answer; ``log_p`` its calibrated log-probability.
        runner_up: the second; null where the panel has one label.
        units: what was left out of the text, one after the other, in its order, and what that did.
        gradients: of each token, its share in the model's own log-probability of the answer, by integrated gradients
            from padding; null where they were not asked for.
        ontology: findings for and against the first two answers; empty where ``notes`` say why.
        patients: the most similar ones first; empty where ``notes`` say why.
        counterfactuals: of as few changes as were found to be enough; none where no change that was tried is.
        notes: what was joined, tried, or not to be had.
    """

    about: str
    label: str
    log_p: float
    runner_up: str | None
    units: tuple[UnitWeight, ...]
    gradients: tuple[WordWeight, ...] | None
    ontology: tuple[ForAndAgainst, ...]
    patients: tuple[SimilarPatient, ...]
    counterfactuals: tuple[Counterfactual, ...]
    notes: tuple[str, ...]
