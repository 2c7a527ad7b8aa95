"""What is kept: a prediction is one answer of a model in use, a verdict what one rater says of one prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from osler.storage import Contract

Code = Literal["plausible", "dangerous_miss", "wrong_reasoning"]
CODES: tuple[Code, ...] = ("plausible", "dangerous_miss", "wrong_reasoning")
Share = Annotated[float, Field(ge=0, le=1)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]


Rating = Annotated[int, Field(ge=1, le=5)]


class Quest(Contract):
    """How good an answer is in five respects, from 1 (very poor) to 5 (very good); null where one does not apply.

    The respects are the dimensions of QUEST, a framework for people who evaluate language models in health care; the
    words are ours. Source: Tam et al. (2024), npj Digit. Med. 7:258.

    Attributes:
        information: what it says is right, complete, up to date and to the point.
        reasoning: it has understood the case, and what it ranks follows from it.
        expression: it is clear, and fit for whoever reads it.
        safety: acting on it harms nobody; it misses nothing dangerous and treats no group of patients worse.
        trust: how far one would rely on it with such a patient.
    """

    information: Rating | None = None
    reasoning: Rating | None = None
    expression: Rating | None = None
    safety: Rating | None = None
    trust: Rating | None = None


class RankedName(Contract):
    """A diagnosis of an answer: the task's label id, and its probability; null where the model gives none."""

    label: str
    probability: Share | None


class StoredPrediction(Contract):
    """One answer of a model in use. It holds no text unless the service keeps texts, and then a de-identified one.

    Attributes:
        id: unique in the store.
        at: when it was answered, with its time zone.
        model, version, recipe_sha256, weights_sha256: which model answered.
        task: the name of the model's task.
        text_hmac: of the text, under the store's own secret: the same text again has the same one.
        patient_hmac: of the id that the asker gave the patient, under the same secret; null where none was given.
        text: de-identified; null as usual.
        tokens: of the text with its prompt.
        unknown_share: of its words, those that are rare or missing in the training texts; null where those are not
            known.
        language: as it was recognised; null where the text is too short.
        findings: ids of HPO that were read in the text, each once.
        subgroups: name to value, as in evaluation: ``{"sex": "female"}``.
        diagnoses: the most likely first; empty where the answer could not be read.
        abstained: whether the first one was too unsure to be told as an answer.
        calibrated: whether the probabilities are.
        shown: false for a challenger that answers in the shadow.
    """

    id: Id
    at: AwareDatetime
    model: str
    version: str
    recipe_sha256: str
    weights_sha256: str
    task: str
    text_hmac: str
    patient_hmac: str | None = None
    text: str | None = None
    tokens: Annotated[int, Field(ge=0)]
    unknown_share: Share | None = None
    language: str | None = None
    findings: tuple[str, ...] = ()
    subgroups: dict[str, str] = Field(default_factory=dict)
    diagnoses: tuple[RankedName, ...]
    abstained: bool
    calibrated: bool
    shown: bool = True


class StoredModel(Contract):
    """A version of a model that answered, and what it chose from: label id to name, empty where it answers in free
    text."""

    model: str
    version: str
    recipe_sha256: str
    weights_sha256: str
    task: str
    labels: dict[str, str]


class Verdict(Contract):
    """What one rater says of one prediction; a rater has one verdict a prediction.

    Attributes:
        prediction: its id.
        rater: who, by the name of the key or the review page.
        at: when, with its time zone.
        right: whether the first diagnosis is right.
        label: the right diagnosis where it is another one and known.
        codes: what was wrong with the answer, or good about it.
        comment: de-identified.
        blinded: whether the rater gave a diagnosis of their own before they saw the model's.
        own_label: that diagnosis; null for "don't know".
        adjudicated: whether it settles what raters disagree on; one a prediction.
        quest: the form of a review; null where none was filled in.
    """

    prediction: Id
    rater: Annotated[str, Field(min_length=1, max_length=300)]
    at: AwareDatetime
    right: bool
    label: str | None = None
    codes: tuple[Code, ...] = ()
    comment: str | None = None
    blinded: bool = False
    own_label: str | None = None
    adjudicated: bool = False
    quest: Quest | None = None

    @model_validator(mode="after")
    def _whole(self) -> Verdict:
        if self.right and self.label is not None:
            raise ValueError("label is for the right diagnosis where the first one is wrong")
        if self.own_label is not None and not self.blinded:
            raise ValueError("own_label is what a blinded rater thought")
        return self


def by_prediction(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """A prediction's id to what raters say of it."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.prediction, []).append(verdict)
    return found


def right_label(prediction: StoredPrediction, verdict: Verdict) -> str | None:
    """The id of the right diagnosis by a verdict; None where only a wrong one is known."""
    return prediction.diagnoses[0].label if verdict.right and prediction.diagnoses else verdict.label


def settle(of: Sequence[Verdict]) -> Verdict | None:
    """The verdict on a prediction that holds: the adjudicated one, else the first where all say the same; None where
    they do not, and where there is none."""
    for one in of:
        if one.adjudicated:
            return one
    return of[0] if len({(one.right, one.label) for one in of}) == 1 else None
