"""What is kept: a prediction is one answer of a model in use, a verdict what one rater says of one prediction."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from osler.storage import Contract

Code = Literal["plausible", "dangerous_miss", "wrong_reasoning"]
CODES: tuple[Code, ...] = ("plausible", "dangerous_miss", "wrong_reasoning")
Share = Annotated[float, Field(ge=0, le=1)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]


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
        own_label: that diagnosis.
        adjudicated: whether it settles what raters disagree on; one a prediction.
    """

    prediction: Id
    rater: Annotated[str, Field(min_length=1, max_length=200)]
    at: AwareDatetime
    right: bool
    label: str | None = None
    codes: tuple[Code, ...] = ()
    comment: str | None = None
    blinded: bool = False
    own_label: str | None = None
    adjudicated: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Verdict:
        if self.right and self.label is not None:
            raise ValueError("label is for the right diagnosis where the first one is wrong")
        if self.blinded != (self.own_label is not None):
            raise ValueError("own_label is what a blinded rater thought, and has to be there then")
        return self
