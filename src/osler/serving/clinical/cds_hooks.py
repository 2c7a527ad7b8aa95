"""CDS Hooks 2.0: each model is a service at ``patient-view`` and ``order-select``, and answers with a card or none.

Only what the EHR prefetched is read. No FHIR server is called, whatever ``fhirServer`` and ``fhirAuthorization`` say.
A model is offered only where a threshold is known that an answer has to reach, and below it there is no card: a guess
must not look like advice, and a card about nothing is one that clinicians learn to close unread.

Source: CDS Hooks 2.0 (https://cds-hooks.hl7.org/2.0/), hooks patient-view and order-select 1.0.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

import osler
from osler.feedback import Verdict
from osler.preparation import FhirPatient
from osler.rendering import bold, escaped, markdown_table, shorten
from osler.serving.audit import now
from osler.serving.clinical.fhir import request_of, told_patient
from osler.serving.clinical.resources import RESEARCH, is_recorded, percent
from osler.serving.diagnosis import Diagnosis
from osler.serving.model import ServedModel
from osler.serving.requests import TOP, RequestId
from osler.serving.server import Asking, KeyRoute, Refusal, Server, bearer, server_of, while_connected

HOOKS = ("patient-view", "order-select")
PREFETCH = {
    "patient": "Patient/{{context.patientId}}",
    "conditions": "Condition?patient={{context.patientId}}",
    "observations": "Observation?patient={{context.patientId}}",
}
NAME = 90  # characters of a name in a summary, which has fewer than 140
REASONS_SYSTEM = "urn:osler:override-reasons"
REASONS = {
    "known": "Already known or considered",
    "unlikely": "Does not fit the patient",
    "not-now": "Not what this visit is about",
    "data": "The data behind it are wrong or incomplete",
}
# What says whether the diagnosis is right. A card that comes at a bad time may well be.
RIGHT = {"accepted": True, "known": True, "unlikely": False}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description}
    for status, description in {
        400: "No JSON.",
        401: "No token of a known EHR, and no key.",
        404: "No such service, or no such card.",
        409: "The card is judged already.",
        412: "Prefetched data are missing, and no FHIR server is called.",
        413: "The body is too large.",
        422: "A field is missing or wrong, or the patient's text is longer than the model reads.",
        429: "Too many texts wait; Retry-After says when to come again.",
        503: "Not answered in time.",
    }.items()
}

router = APIRouter(prefix="/cds-services", route_class=KeyRoute, responses=PROBLEMS, tags=["CDS Hooks 2.0"])


class Sent(BaseModel):
    """Something that an EHR sends. What this service does not use is left unread: EHRs add fields of their own."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class Context(Sent):
    """Who looks at whom."""

    user_id: Annotated[str, Field(alias="userId", min_length=1, max_length=200)]
    patient_id: Annotated[str, Field(alias="patientId", min_length=1, max_length=200)]


class HookRequest(Sent):
    """A call of a service."""

    hook: Literal["patient-view", "order-select"]
    hook_instance: Annotated[str, Field(alias="hookInstance", min_length=1, max_length=100)]
    context: Context
    prefetch: dict[str, dict[str, Any] | None] = {}


class Coding(Sent):
    """A code and its system."""

    code: Annotated[str, Field(max_length=200)]
    system: Annotated[str, Field(max_length=200)]


class OverrideReason(Sent):
    """Why a card was dismissed. The user's comment is not read: it may say who the patient is."""

    reason: Coding | None = None


class CardFeedback(Sent):
    """What became of a card."""

    card: RequestId
    outcome: Literal["accepted", "overridden"]
    override_reason: Annotated[OverrideReason | None, Field(alias="overrideReason")] = None
    outcome_timestamp: Annotated[str, Field(alias="outcomeTimestamp", max_length=40)]


class FeedbackRequest(Sent):
    """What became of cards."""

    feedback: Annotated[list[CardFeedback], Field(min_length=1, max_length=64)]


@router.get("", summary="The services that there are", dependencies=bearer)
async def discovery(request: Request, who: Asking) -> JSONResponse:
    """One for each model that has a threshold, at each hook."""
    return JSONResponse({"services": [_service(m, hook) for m in _offered(server_of(request)) for hook in HOOKS]})


@router.post("/{service}", summary="A card for a patient, or none", dependencies=bearer)
async def call(request: Request, service: str, body: HookRequest, who: Asking) -> JSONResponse:
    """A card where the model is sure enough of a diagnosis that is not recorded yet."""
    server = server_of(request)
    model = _model(server, service)
    patient = await told_patient(_bundle(body), now())
    if not patient.text:
        return JSONResponse({"cards": []})
    card = str(uuid.uuid4())
    case = request_of(patient.text, TOP, card, patient)
    answer = (await while_connected(request, server.answer(who, [case], model)))[0]
    if answer.abstained or is_recorded(answer.diagnoses[0], patient):
        return JSONResponse({"cards": []})
    base = server.access.ehrs.url if server.access.ehrs else str(request.base_url).rstrip("/")
    return JSONResponse({"cards": [_card(card, answer, patient, _is_paged(body), base)]})


@router.post("/{service}/feedback", status_code=204, summary="What became of cards", dependencies=bearer)
async def feedback(request: Request, service: str, body: FeedbackRequest, who: Asking) -> Response:
    """A verdict where it says whether the diagnosis is right; a user's comment is not kept."""
    server = server_of(request)
    _model(server, service)
    refused = None if server.keeper else Refusal(404, "no feedback is taken here")
    for one in body.feedback if server.keeper else ():
        said: str = one.outcome
        if said == "overridden":
            reason = one.override_reason.reason if one.override_reason else None
            # A code that is not ours could say anything.
            said = reason.code if reason and reason.system == REASONS_SYSTEM else "other"
        if said not in RIGHT:
            continue
        comment = f"CDS Hooks: {one.outcome}, {said}" if said in REASONS else f"CDS Hooks: {said}"
        try:
            await server.judge(Verdict(prediction=one.card, rater=who, at=now(), right=RIGHT[said], comment=comment))
        except Refusal as error:  # the others are kept
            refused = error
    if refused is not None:
        raise refused
    return Response(status_code=204)


def _offered(server: Server) -> list[ServedModel]:
    return [model for model in server.models.values() if model.threshold is not None]


def _model(server: Server, service: str) -> ServedModel:
    for model in _offered(server):
        if model.name.name == service:
            return model
    raise Refusal(404, "no such service; GET /cds-services lists them")


def _service(model: ServedModel, hook: str) -> dict[str, Any]:
    return {
        "hook": hook,
        "title": f"Osler: {model.name.name}",
        "description": f"Diagnoses that a language model proposes from the patient's Observations. {RESEARCH}",
        "id": model.name.name,
        "prefetch": PREFETCH,
        "usageRequirements": "All prefetched data have to be sent: no FHIR server is called.",
    }


def _bundle(body: HookRequest) -> dict[str, Any]:
    """What was prefetched, as one Bundle. Raises :class:`Refusal` where it is not all there, or of somebody else."""
    missing = [name for name in PREFETCH if name not in body.prefetch or _failed(body.prefetch[name])]
    patient = body.prefetch.get("patient")
    if patient is None and "patient" not in missing:
        missing = ["patient", *missing]
    if missing or patient is None:
        raise Refusal(412, f"prefetch: {', '.join(missing)} missing; send what GET /cds-services asks for")
    if patient.get("resourceType") != "Patient" or patient.get("id") != body.context.patient_id:
        raise Refusal(422, "prefetch.patient: not the Patient of context.patientId")
    entries: list[Any] = [{"resource": patient}]
    for name in ("conditions", "observations"):
        found = body.prefetch[name]
        if found is None:  # the EHR has none
            continue
        bundled = (
            found.get("entry", []) if found.get("resourceType") == "Bundle" else [{"resource": found}] * bool(found)
        )
        if not isinstance(bundled, list):
            raise Refusal(422, f"prefetch.{name}: no Bundle of FHIR R4")
        entries += bundled
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _failed(resource: Mapping[str, Any] | None) -> bool:
    """Whether the EHR could not fetch it, and says so."""
    return resource is not None and resource.get("resourceType") == "OperationOutcome"


def _is_paged(body: HookRequest) -> bool:
    """Whether there is more than was sent."""
    links = [link for found in body.prefetch.values() for link in _list((found or {}).get("link"))]
    return any(isinstance(link, dict) and link.get("relation") == "next" for link in links)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _card(card: str, answer: Diagnosis, patient: FhirPatient, paged: bool, base: str) -> dict[str, Any]:
    first, name = answer.diagnoses[0], f"{answer.model.name}@{answer.model.version}"
    links = [
        {"label": f"{label.name} ({label.label})", "url": label.link, "type": "absolute"}
        for label in answer.diagnoses
        if label.link
    ]
    content = {
        "uuid": card,
        "summary": f"{percent(first)} probability of {shorten(first.name, NAME)}, says a language model",
        "detail": _detail(answer, patient, paged),
        "indicator": "info",
        "source": {"label": f"Osler {osler.__version__}, {name}", "url": f"{base}/"},
        "links": links,
        "overrideReasons": [
            {"code": code, "system": REASONS_SYSTEM, "display": display} for code, display in REASONS.items()
        ],
    }
    return {name: value for name, value in content.items() if value != []}


def _detail(answer: Diagnosis, patient: FhirPatient, paged: bool) -> str:
    """GitHub's Markdown; whatever a label holds, it is shown and not obeyed."""
    rows = []
    for label in answer.diagnoses:
        known = " (recorded as confirmed)" if is_recorded(label, patient) else ""
        rows.append([f"{label.name}{known}", percent(label), label.label if label.label != label.name else ""])
    lines: list[str] = [f"{bold('Take care:')} {escaped(warning)}." for warning in answer.warnings]
    lines.append(markdown_table(["diagnosis", "probability", "id"], rows))
    if paged:
        lines.append("The EHR sent one page of its data, and has more.")
    if patient.left_out:
        lines.append(f"Not told to the model: {escaped('; '.join(patient.left_out))}.")
    number = len(patient.basis)
    return "\n\n".join([*lines, f"Told from {number} Observation{'s' * (number != 1)}. {RESEARCH}"])
