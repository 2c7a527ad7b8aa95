"""The HTTP interface to models: ``scripts/serve.py`` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import osler
from osler.errors import one_line
from osler.feedback import Verdict
from osler.serving.audit import now
from osler.serving.clinical import cds_hooks, fhir
from osler.serving.diagnosis import Diagnosis
from osler.serving.model import ServedModel
from osler.serving.page import HEADERS, PAGE
from osler.serving.problems import problem
from osler.serving.requests import BatchRequest, DiagnosisRequest, Feedback
from osler.serving.server import Asking, Chosen, Refusal, Server, bearer, server_of, while_connected
from osler.serving.shield import Shield

_WORDS = {  # in place of pydantic's
    "string_pattern_mismatch": "empty, or of odd characters",
    "model_attributes_type": "no JSON object; send one, with Content-Type: application/json",
    "json_invalid": "no JSON: it cannot be read from this character on",
    "extra_forbidden": "no such key",
}
_PLAIN = re.compile(r"[A-Za-z_]{1,20}")


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    error: str


class BatchAnswer(BaseModel):
    """The answers to a batch, in its order."""

    answers: list[Diagnosis]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "No JSON.",
        401: "No key, or one that is not known.",
        404: "No such model, or no such answer.",
        409: "The request_id was another text's, or its answer is judged already.",
        413: "The body is too large.",
        422: "A field is missing or wrong, or the text is longer than the model reads.",
        429: "Too many texts wait; Retry-After says when to come again.",
        503: "Not answered in time.",
    }.items()
}


router = APIRouter(responses=PROBLEMS)


@router.post("/diagnose", summary="Diagnoses for one text", dependencies=bearer)
async def diagnose(request: Request, body: DiagnosisRequest, who: Asking, model: Chosen) -> Diagnosis:
    """Ranked diagnoses with calibrated probabilities, or the reason to abstain."""
    return (await while_connected(request, server_of(request).answer(who, [body], model)))[0]


@router.post("/diagnose/batch", summary="Diagnoses for several texts", dependencies=bearer)
async def diagnose_batch(request: Request, body: BatchRequest, who: Asking, model: Chosen) -> BatchAnswer:
    """As /diagnose, for several texts; the answers come in their order."""
    answers = await while_connected(request, server_of(request).answer(who, body.cases, model))
    return BatchAnswer(answers=answers)


@router.post("/feedback", status_code=204, summary="What a clinician thinks of an answer", dependencies=bearer)
async def feedback(request: Request, body: Feedback, who: Asking) -> Response:
    """Kept as a verdict in the store that the server was started with."""
    await server_of(request).judge(
        Verdict(prediction=body.request_id, rater=who, at=now(), right=body.right, label=body.label)
    )
    return Response(status_code=204)


@router.get("/health", summary="Whether the process lives")
async def health() -> dict[str, str]:
    """Always ok."""
    return {"status": "ok"}


@router.get("/ready", summary="Whether it takes requests")
async def ready(request: Request) -> dict[str, str]:
    """503 from SIGTERM on."""
    if server_of(request).ending:
        raise Refusal(503, "ending")
    return {"status": "ready"}


@router.get("/version", summary="Which models answer", dependencies=bearer)
async def version(request: Request, who: Asking) -> dict[str, Any]:
    """The models by name, with the hashes of their recipes and weights, and whether feedback is taken
    and texts are kept."""
    server = server_of(request)
    return {
        "osler": osler.__version__,
        "models": [_described(model) for model in server.models.values()],
        "feedback": server.keeper is not None,
        "keeps_texts": any(one and one.readable for one in (server.audit, server.keeper)),
    }


@router.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse, dependencies=bearer)
async def metrics(request: Request, who: Asking) -> Response:
    """Counts and times, without any text."""
    return Response(server_of(request).metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> HTMLResponse:
    """A page to try it with."""
    return HTMLResponse(PAGE, headers=HEADERS)


def create_app(server: Server) -> FastAPI:
    """The application of ``server``."""

    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        answering = asyncio.create_task(server.batcher.run())
        yield
        answering.cancel()
        if server.keeper is not None:
            await asyncio.to_thread(server.keeper.close)

    app = FastAPI(
        title="Osler",
        version=osler.__version__,
        description="Diagnoses for a patient's text, with calibrated probabilities. No clinical evidence, no medical"
        " device: for research, under a clinician's eyes.",
        lifespan=running,
        docs_url=None,  # these pages load scripts from other servers
        redoc_url=None,
    )
    app.state.server = server
    for interface in (router, fhir.router, cds_hooks.router):
        app.include_router(interface)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(HTTPException, _refused)
    if server.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(server.origins),
            allow_methods=["POST", "GET"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    app.add_middleware(Shield, observe=server.metrics.requested)
    return app


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    no_json = any(fault["type"] == "json_invalid" for fault in error.errors())
    return problem(request.url.path, 400 if no_json else 422, _said(error))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(request.url.path, error.status_code, one_line(str(error.detail)), error.headers)


def _described(model: ServedModel) -> dict[str, Any]:
    return {
        **model.name.model_dump(),
        "task": model.task,
        "labels": len(model.labels),
        "calibrated": model.calibrated,
        "threshold": model.threshold,
        "context": model.context,
        "unusual_texts": "told" if model.texts else "not told: what the training texts were like is not known",
    }


def _said(error: RequestValidationError) -> str:
    """What is wrong, without what was sent."""
    faults = [
        f"{'.'.join(map(_key, fault['loc']))}: {_WORDS.get(fault['type'], fault['msg'])}"
        for fault in error.errors()[:3]
    ]
    return one_line("; ".join(faults))[:500]


def _key(name: str | int) -> str:
    """A key as it was sent, where it may be a misspelt one; anything else may be about the patient."""
    return str(name) if isinstance(name, int) or _PLAIN.fullmatch(name) else "a key"
