"""FHIR R4: ``POST /fhir/$diagnose`` with Parameters, answered with a Bundle; errors are OperationOutcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osler.errors import InputError
from osler.preparation import FhirPatient, read_patient
from osler.serving.audit import now
from osler.serving.clinical.resources import answer_bundle, capability_statement
from osler.serving.problems import FHIR_JSON
from osler.serving.requests import TOP, DiagnosisRequest, Text, Top
from osler.serving.server import Asking, Chosen, KeyRoute, Refusal, bearer, server_of, while_connected

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": "An OperationOutcome.", "content": {FHIR_JSON: {}}}
    for status in (400, 401, 404, 413, 415, 422, 429, 503)
}
VALUES = {"resource": "resource", "text": "valueString", "topK": "valueInteger", "model": "valueString"}

router = APIRouter(prefix="/fhir", route_class=KeyRoute, responses=PROBLEMS, tags=["FHIR R4"])


class FhirJson(JSONResponse):
    """JSON of FHIR."""

    media_type = FHIR_JSON


class Parameter(BaseModel):
    """A parameter of the operation, with the one value that goes with its name."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Literal["resource", "text", "topK", "model"]
    value_string: Annotated[Text | None, Field(alias="valueString")] = None
    value_integer: Annotated[Top | None, Field(alias="valueInteger")] = None
    resource: dict[str, Any] | None = None


class Parameters(BaseModel):
    """FHIR's envelope around the parameters of an operation."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    resource_type: Annotated[Literal["Parameters"], Field(alias="resourceType")]
    id: str | None = None
    meta: dict[str, Any] | None = None
    parameter: Annotated[list[Parameter], Field(min_length=1, max_length=len(VALUES))]

    def values_by_name(self) -> dict[str, Any]:
        """Name → value. Raises :class:`Refusal` where one is given twice, or has a value of another kind."""
        values: dict[str, Any] = {}
        for one in self.parameter:
            given = one.model_dump(by_alias=True, exclude={"name"}, exclude_none=True)
            if list(given) != [VALUES[one.name]]:
                raise Refusal(422, f"parameter {one.name}: give it as {VALUES[one.name]}, and nothing else")
            if one.name in values:
                raise Refusal(422, f"parameter {one.name}: given twice")
            values[one.name] = given[VALUES[one.name]]
        return values


def _is_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (FHIR_JSON, "application/json"):
        raise Refusal(415, f"only {FHIR_JSON} is read here")


@router.post(
    "/$diagnose",
    summary="Diagnoses for a patient's Bundle, or for a text",
    response_class=FhirJson,
    dependencies=[Depends(_is_json), *bearer],
)
async def diagnose(
    request: Request,
    body: Parameters,
    who: Asking,
    model: Chosen,
    top_k: Annotated[int | None, Query(alias="topK", ge=1, le=1000)] = None,
) -> FhirJson:
    """A collection with RiskAssessment, DiagnosticReport, Conditions of the differential, and the model as Device."""
    values, server = body.values_by_name(), server_of(request)
    if ("resource" in values) == ("text" in values):
        raise Refusal(422, "give a resource or a text, and not both")
    for name in ("topK", "model"):
        if name in values and request.query_params.get(name, str(values[name])) != str(values[name]):
            raise Refusal(422, f"parameter {name}: given in the URL, too, as something else")
    if "model" in values:
        model = server.model(values["model"])
    at, patient = now(), None
    if "resource" in values:
        patient = await told_patient(values["resource"], at)
        if not patient.text:
            raise Refusal(422, "resource: no finding that is present and no text of this patient; nothing can be told")
    text = patient.text if patient else values["text"]
    case = request_of(text, values.get("topK", top_k) or TOP, patient=patient)
    answer = (await while_connected(request, server.answer(who, [case], model)))[0]
    return FhirJson(answer_bundle(answer, patient, at))


@router.get("/metadata", summary="What this interface can do", response_class=FhirJson)
async def metadata() -> FhirJson:
    """The CapabilityStatement."""
    return FhirJson(capability_statement())


async def told_patient(bundle: Mapping[str, Any], at: datetime) -> FhirPatient:
    """The patient of a Bundle as prepared for a model. Raises :class:`Refusal` where there is not exactly one."""
    try:
        return await asyncio.to_thread(read_patient, bundle, at.date())
    except InputError as error:
        raise Refusal(422, f"resource: {error}") from None


def request_of(
    text: str, top_k: int, request_id: str | None = None, patient: FhirPatient | None = None
) -> DiagnosisRequest:
    """What is asked of a model. Raises ``RequestValidationError`` where a text is too long."""
    of = patient.reference if patient else None
    # A urn:uuid: is made for one Bundle, and names the patient in no other.
    id = of.removeprefix("Patient/")[:200] if of and not of.startswith("urn:") else None
    try:
        return DiagnosisRequest(text=text, top_k=top_k, request_id=request_id, patient_id=id)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_context=False)) from None
