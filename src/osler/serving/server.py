"""What the interfaces of the server share: the models and how they are asked, who asks, and which model answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Query, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException

from osler.errors import InputError, show
from osler.serving.access import Access, RefusedError
from osler.serving.audit import AuditLog, append_timed, now
from osler.serving.batching import Batcher, DeadlineError, QueueFullError
from osler.serving.diagnosis import Diagnosis
from osler.serving.metrics import Metrics
from osler.serving.model import Asked, ServedModel
from osler.serving.requests import DiagnosisRequest

SECONDS = 30.0  # a request waits no longer for its answer
CLIENT_GONE = 499  # what nginx logs then; nobody sees it

T = TypeVar("T")


class Refusal(HTTPException):
    """An answer that is an error."""


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
        started = time.monotonic()
        try:
            self.batcher.check_room(len(cases))
            asked = await asyncio.to_thread(_encoded, cases, model)
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

    def keep_feedback(self, who: str, model: ServedModel, content: Mapping[str, object]) -> None:
        """Add what somebody thinks of an answer to the file. Raises :class:`Refusal` where none is taken."""
        if self.feedback is None:
            raise Refusal(404, "no feedback is taken here")
        append_timed(self.feedback, now(), {"who": who, "model": model.name.model_dump(), **content})


def _encoded(cases: Sequence[DiagnosisRequest], model: ServedModel) -> list[Asked]:
    asked = []
    for number, case in enumerate(cases):
        try:
            asked.append(model.encode(case.text, case.explain))
        except InputError as error:
            where = f"cases.{number}.text" if len(cases) > 1 else "text"
            raise Refusal(422, f"{where}: {error}") from None
    return asked


async def _who(
    request: Request,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> str:
    """Who asks. Raises :class:`Refusal` where they may not."""
    access = server_of(request).access
    try:
        if access.knows(authorization, x_api_key) or not access.fetches:
            return access.who(authorization, x_api_key)
        return await asyncio.to_thread(access.who, authorization, x_api_key, request.url.path)
    except RefusedError as error:
        raise Refusal(401, str(error), {"WWW-Authenticate": "Bearer"}) from None


def server_of(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _model(
    request: Request,
    model: Annotated[str | None, Query(max_length=200, description="Which answers; the first by default.")] = None,
) -> ServedModel:
    return server_of(request).model(model)


Asking = Annotated[str, Depends(_who)]
Chosen = Annotated[ServedModel, Depends(_model)]
bearer = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]


async def while_connected(request: Request, work: Awaitable[T]) -> T:
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
