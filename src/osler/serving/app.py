"""The HTTP interface to models: ``scripts/serve.py`` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import osler
from osler.errors import InputError, one_line, show
from osler.serving.access import Access, RefusedError
from osler.serving.audit import AuditLog, now
from osler.serving.batching import Batcher, DeadlineError, QueueFullError
from osler.serving.diagnosis import Diagnosis
from osler.serving.metrics import Metrics
from osler.serving.model import Asked, ServedModel
from osler.serving.page import HEADERS, PAGE
from osler.serving.requests import BatchRequest, DiagnosisRequest, Feedback
from osler.serving.shield import Shield
from osler.storage import append_line

SECONDS = 30.0  # a request waits no longer for its answer
CLIENT_GONE = 499  # what nginx logs then; nobody sees it

T = TypeVar("T")


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    error: str


class BatchAnswer(BaseModel):
    """The answers to a batch, in its order."""

    answers: list[Diagnosis]


class Refusal(HTTPException):
    """An answer that is an error."""


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "No JSON.",
        401: "No key, or one that is not known.",
        404: "No such model.",
        413: "The body is too large.",
        422: "A field is missing or wrong, or the text is longer than the model reads.",
        429: "Too many texts wait; Retry-After says when to come again.",
        503: "Not answered in time.",
    }.items()
}


@dataclass
class Server:
    """What the interface needs to answer.

    Attributes:
        models: by name; the first answers where none is named.
        access: who may ask.
        audit: where requests are noted; None for nowhere.
        feedback: the file that feedback is added to; None where none is taken.
        origins: of pages on other servers whose scripts may ask; none, as usual.
        seconds: a request waits no longer.
    """

    models: Mapping[str, ServedModel]
    access: Access = field(default_factory=Access)
    audit: AuditLog | None = None
    feedback: Path | None = None
    origins: Sequence[str] = ()
    seconds: float = SECONDS
    ending: bool = False  # it takes no more load; load balancers see it at /ready

    def __post_init__(self) -> None:
        self.batcher: Batcher[Asked, Diagnosis] = Batcher(lambda name, asked: self.models[name].answer(asked))
        self.metrics = Metrics(lambda: len(self.batcher))
        self.batcher.observe = self.metrics.passed

    def model(self, name: str | None) -> ServedModel:
        """The model of that name, or the first."""
        if name is not None and name not in self.models:
            raise Refusal(404, f"model {show(name)}: not served; there are {', '.join(self.models)}")
        return self.models[name] if name is not None else next(iter(self.models.values()))

    async def answer(self, who: str, cases: Sequence[DiagnosisRequest], model: ServedModel) -> list[Diagnosis]:
        """The answers to ``cases``, noted."""
        if self.ending:
            raise Refusal(503, "this server is ending; ask another one", {"Retry-After": "1", "Connection": "close"})
        started, asked = time.monotonic(), []
        for number, case in enumerate(cases):
            try:
                asked.append(model.encode(case.text))
            except InputError as error:
                where = f"cases.{number}.text" if len(cases) > 1 else "text"
                raise Refusal(422, f"{where}: {error}") from None
        try:
            answers = await self.batcher.submit(model.name.name, asked, self.seconds)
        except QueueFullError as error:
            raise Refusal(429, str(error), {"Retry-After": str(error.retry_after)}) from None
        except DeadlineError as error:
            raise Refusal(503, str(error)) from None
        told = []
        for case, answer in zip(cases, answers, strict=True):
            cut = answer.model_copy(update={"diagnoses": answer.diagnoses[: case.top_k], "request_id": case.request_id})
            self.metrics.answered(cut, model.labels)
            if self.audit is not None:
                # It may have to take the patient out of the text.
                await asyncio.to_thread(self.audit.write, who, case.text, cut, time.monotonic() - started)
            told.append(cut)
        return told


async def _who(
    request: Request,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> str:
    """Who asks. Raises :class:`Refusal` where they may not."""
    access = _server(request).access
    try:
        if access.issuer is None:
            return access.who(authorization, x_api_key)
        return await asyncio.to_thread(access.who, authorization, x_api_key)  # it may ask the provider
    except RefusedError as error:
        raise Refusal(401, str(error), {"WWW-Authenticate": "Bearer"}) from None


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _model(
    request: Request,
    model: Annotated[str | None, Query(max_length=200, description="Which answers; the first by default.")] = None,
) -> ServedModel:
    return _server(request).model(model)


Asking = Annotated[str, Depends(_who)]
Chosen = Annotated[ServedModel, Depends(_model)]
router = APIRouter(responses=PROBLEMS)
bearer = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]


@router.post("/diagnose", summary="Diagnoses for one text", dependencies=bearer)
async def diagnose(request: Request, body: DiagnosisRequest, who: Asking, model: Chosen) -> Diagnosis:
    """Ranked diagnoses with calibrated probabilities, or the reason to abstain."""
    return (await _while_connected(request, _server(request).answer(who, [body], model)))[0]


@router.post("/diagnose/batch", summary="Diagnoses for several texts", dependencies=bearer)
async def diagnose_batch(request: Request, body: BatchRequest, who: Asking, model: Chosen) -> BatchAnswer:
    """As /diagnose, for several texts; the answers come in their order."""
    answers = await _while_connected(request, _server(request).answer(who, body.cases, model))
    return BatchAnswer(answers=answers)


@router.post("/feedback", status_code=204, summary="What a clinician thinks of an answer", dependencies=bearer)
async def feedback(request: Request, body: Feedback, who: Asking, model: Chosen) -> Response:
    """Kept in the file that the server was started with."""
    _keep_feedback(_server(request), who, body, model)
    return Response(status_code=204)


@router.get("/health", summary="Whether the process lives")
async def health() -> dict[str, str]:
    """Always ok."""
    return {"status": "ok"}


@router.get("/ready", summary="Whether it takes requests")
async def ready(request: Request) -> dict[str, str]:
    """503 from SIGTERM on."""
    if _server(request).ending:
        raise Refusal(503, "ending")
    return {"status": "ready"}


@router.get("/version", summary="Which models answer", dependencies=bearer)
async def version(request: Request, who: Asking) -> dict[str, Any]:
    """The models by name, with the hashes of their recipes and weights, and whether feedback is taken."""
    server = _server(request)
    return {
        "osler": osler.__version__,
        "models": [_described(model) for model in server.models.values()],
        "feedback": server.feedback is not None,
    }


@router.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse, dependencies=bearer)
async def metrics(request: Request, who: Asking) -> Response:
    """Counts and times, without any text."""
    return Response(_server(request).metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


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
    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(HTTPException, _refused)
    if server.origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(server.origins), allow_methods=["POST", "GET"])
    app.add_middleware(Shield, observe=server.metrics.requested)
    return app


async def _wrong(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    no_json = any(fault["type"] == "json_invalid" for fault in error.errors())
    return JSONResponse({"error": _said(error)}, 400 if no_json else 422)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": one_line(str(error.detail))}, error.status_code, headers=error.headers)


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """What ``work`` gives; cancelled where the client goes away before."""
    working = asyncio.ensure_future(work)

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refusal(CLIENT_GONE, "the client is gone")
    finally:
        working.cancel()
        leaving.cancel()


def _keep_feedback(server: Server, who: str, body: Feedback, model: ServedModel) -> None:
    if server.feedback is None:
        raise Refusal(404, "no feedback is taken here")
    if body.label is not None and model.labels and body.label not in model.labels:
        raise Refusal(422, f"label: {show(body.label)} is none of the {len(model.labels)} labels of {model.name.name}")
    at = now().isoformat(timespec="milliseconds")
    append_line(server.feedback, {"time": at, "who": who, "model": model.name.model_dump(), **body.model_dump()})


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
    faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:3]]
    return one_line("; ".join(faults))[:500]
