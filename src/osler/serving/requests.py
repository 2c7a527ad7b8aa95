"""What may be sent to the server."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_TEXT = 50_000  # characters; no note of a patient is longer
MAX_BATCH = 64  # texts in one request
TOP = 5

EXAMPLE = "A tall 12-year-old boy with a dislocated lens of the eye and long, slender fingers. No scoliosis."
EXAMPLE_IS = "an invented patient with signs of Marfan syndrome, which may be none of a model's diagnoses"


def whole_characters(text: str) -> str:
    """``text``. Raises :class:`ValueError` where it is no Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a character (a lone surrogate) stands in it") from None
    return text


def _whole(number: object) -> object:
    """To JSON, 5.0 is an integer."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Text = Annotated[str, Field(pattern=r"\w", max_length=MAX_TEXT, examples=[EXAMPLE]), AfterValidator(whole_characters)]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$", examples=["visit-17"])]
PatientId = Annotated[str, Field(min_length=1, max_length=200, examples=["MRN-0042"]), AfterValidator(whole_characters)]
Top = Annotated[int, Field(ge=1, le=1000, examples=[TOP]), BeforeValidator(_whole)]


class Request(BaseModel):
    """Something sent: unknown keys are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class DiagnosisRequest(Request):
    """A patient's text, how many diagnoses to answer with, an id of the sender's own, which comes back, the
    ``patient_id`` that the sender's system has for the patient, of which only a keyed hash is kept, and whether to
    ``explain`` the answer, which takes up to three times as long."""

    text: Text
    top_k: Top = TOP
    request_id: RequestId | None = None
    patient_id: PatientId | None = None
    explain: bool = False


class BatchRequest(Request):
    """Several texts at once; the answers come in the same order."""

    cases: Annotated[list[DiagnosisRequest], Field(min_length=1, max_length=MAX_BATCH)]


class Feedback(Request):
    """What a clinician thinks of an answer, by its ``request_id``: whether the first diagnosis is ``right``; if it
    is not, the id of the label that is, where that is known. No text of the patient."""

    model_config = ConfigDict(
        json_schema_extra={  # what is checked below, for whoever reads the schema
            "not": {"required": ["label"], "properties": {"right": {"const": True}, "label": {"type": "string"}}}
        }
    )

    request_id: RequestId
    right: bool
    label: Annotated[str, Field(max_length=200), AfterValidator(whole_characters)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Feedback:
        if self.right and self.label is not None:
            raise ValueError(
                "right says that the first diagnosis is right, and label names another; send one of the two"
            )
        return self
