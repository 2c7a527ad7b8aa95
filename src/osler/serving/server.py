"""What the interfaces of the server share: the models and how they are asked, who asks, and which model answers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException

from osler.errors import FailedError, InputError, show
from osler.feedback import Verdict
from osler.serving.access import Access, RefusedError
from osler.serving.audit import AuditLog
from osler.serving.batching import Batcher, DeadlineError, QueueFullError
from osler.serving.diagnosis import Diagnosis
from osler.serving.keeping import Keeper, TakenError
from osler.serving.metrics import Metrics
from osler.serving.model import Asked, ServedModel
from osler.serving.requests import DiagnosisRequest

SECONDS = 30.0  # a request waits no longer for its answer
SHADOW = "\0shadow"  # no model is called so
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
        keeper: keeps answers and what is said of them; None where neither is kept.
        origins: of pages on other servers whose scripts may ask; none, as usual.
        seconds: a request waits no longer.
        thread: the one that asks the models.
        shadow: a model that is asked the same, after the answer, and whose answers are kept and shown to nobody.
    """

    models: Mapping[str, ServedModel]
    access: Access = field(default_factory=Access)
    audit: AuditLog | None = None
    keeper: Keeper | None = None
    origins: Sequence[str] = ()
    seconds: float = SECONDS
    shadow: ServedModel | None = None
    ending: bool = False  # it takes no more load; load balancers see it at /ready
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="model"))

    def __post_init__(self) -> None:
        self.batcher: Batcher[Asked, Diagnosis] = Batcher(
            lambda name, asked: self._asked(name).answer(asked), thread=self.thread
        )
        self._shadowing: set[asyncio.Task[None]] = set()
        self.metrics = Metrics(lambda: len(self.batcher), lambda: self.keeper.waiting if self.keeper else 0)
        self.batcher.observe = self.metrics.passed

    def model(self, name: str | None) -> ServedModel:
        """The model of that name, or the first."""
        if name is not None and name not in self.models:
            raise Refusal(404, f"model {show(name)}: not served; there are {', '.join(self.models)}")
        return self.models[name] if name is not None else next(iter(self.models.values()))

    def _asked(self, name: str) -> ServedModel:
        return self.shadow if name == SHADOW and self.shadow is not None else self.models[name]

    async def _ask_shadow(self, cases: Sequence[DiagnosisRequest], shadow: ServedModel, keeper: Keeper) -> None:
        """Keep what the model in the shadow answers, where it can be asked; nobody waits for it."""
        try:
            asked = await asyncio.to_thread(_encoded, cases, shadow)
            answers = await self.batcher.submit(SHADOW, asked, self.seconds)
        except (Refusal, QueueFullError, DeadlineError):
            return
        for case, question, answer in zip(cases, asked, answers, strict=True):
            keeper.keep(uuid.uuid4().hex, case.text, question, answer, shown=False, patient=case.patient_id)

    async def answer(self, who: str, cases: Sequence[DiagnosisRequest], model: ServedModel) -> list[Diagnosis]:
        """The answers to ``cases``, noted and kept."""
        if self.ending:
            raise Refusal(503, "this server is ending; ask another one", {"Retry-After": "1", "Connection": "close"})
        started = time.monotonic()
        ids = await asyncio.to_thread(self._ids, cases)
        try:
            self.batcher.check_room(len(cases))
            asked = await asyncio.to_thread(_encoded, cases, model)
            answers = await self.batcher.submit(model.name.name, asked, self.seconds)
        except BaseException as error:
            if self.keeper is not None:
                self.keeper.release([id for id in ids if id is not None])
            if isinstance(error, QueueFullError):
                raise Refusal(429, str(error), {"Retry-After": str(error.retry_after)}) from None
            if isinstance(error, DeadlineError):
                raise Refusal(503, str(error)) from None
            raise
        if self.keeper is not None:
            for id, case, question, answer in zip(ids, cases, asked, answers, strict=True):
                if id is not None:
                    self.keeper.keep(id, case.text, question, answer, patient=case.patient_id)
        new = [case for id, case in zip(ids, cases, strict=True) if id is not None]
        if self.shadow is not None and self.keeper is not None and new and len(self.batcher) < self.batcher.room // 2:
            task = asyncio.create_task(self._ask_shadow(new, self.shadow, self.keeper))
            self._shadowing.add(task)
            task.add_done_callback(self._shadowing.discard)
        told = []
        for id, case, answer in zip(ids, cases, answers, strict=True):
            top, name = answer.diagnoses[: case.top_k], case.request_id or id
            cut = answer.model_copy(update={"diagnoses": top, "request_id": name})
            self.metrics.answered(cut, model.labels)
            if self.audit is not None:
                # It may have to take the patient out of the text.
                await asyncio.to_thread(self.audit.write, who, case.text, cut, time.monotonic() - started)
            told.append(cut)
        return told

    def _ids(self, cases: Sequence[DiagnosisRequest]) -> list[str | None]:
        """What each answer is kept under: the asker's name for it, or one of ours; None where it is kept already."""
        if self.keeper is None:
            return [case.request_id or uuid.uuid4().hex for case in cases]
        if self.keeper.full:
            raise Refusal(503, "answers cannot be kept just now, and none is given that is not", {"Retry-After": "10"})
        ids: list[str | None] = []
        try:
            for case in cases:
                ids.append(self.keeper.name(case.request_id, case.text))
        except (TakenError, FailedError) as error:
            self.keeper.release([id for id in ids if id is not None])
            if isinstance(error, TakenError):
                raise Refusal(409, str(error)) from None
            raise Refusal(503, "answers cannot be kept just now", {"Retry-After": "10"}) from None
        return ids

    async def judge(self, verdict: Verdict) -> None:
        """Keep what somebody says of an answer.

        Raises:
            Refusal: nothing is kept here; there is no such answer, or one had it judged already; or the label is none
                of its task.
        """
        if self.keeper is None:
            raise Refusal(404, "no feedback is taken here")
        from osler.feedback import store as stores

        try:
            await asyncio.wrap_future(self.keeper.judge(verdict))
        except stores.UnknownPredictionError:
            raise Refusal(404, f"request_id: no answer {verdict.prediction} is kept here") from None
        except stores.SecondVerdictError as error:
            raise Refusal(409, str(error)) from None
        except InputError as error:
            raise Refusal(422, str(error)) from None
        except FailedError:
            raise Refusal(503, "feedback cannot be kept just now", {"Retry-After": "10"}) from None


def _encoded(cases: Sequence[DiagnosisRequest], model: ServedModel) -> list[Asked]:
    asked = []
    for number, case in enumerate(cases):
        try:
            asked.append(model.encode(case.text, case.explain))
        except InputError as error:
            where = f"cases.{number}.text" if len(cases) > 1 else "text"
            raise Refusal(422, f"{where}: {error}") from None
    return asked


async def _shown(request: Request) -> str:
    """Who asks. Raises :class:`Refusal` where they may not."""
    access, headers = server_of(request).access, request.headers
    authorization, api_key = headers.get("authorization"), headers.get("x-api-key")
    try:
        if access.knows(authorization, api_key) or not access.fetches:
            return access.who(authorization, api_key)
        return await asyncio.to_thread(access.who, authorization, api_key, request.url.path)
    except RefusedError as error:
        raise Refusal(401, str(error), {"WWW-Authenticate": "Bearer"}) from None


def _who(request: Request) -> str:
    """Who asks, as :class:`KeyRoute` found out."""
    who: str = request.state.who
    return who


class KeyRoute(APIRoute):
    """A route that asks for a key before anything of the body is read, where its function wants to know who asks."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if all(one.call is not _who for one in self.dependant.dependencies):
            return handler

        async def asked_by_somebody(request: Request) -> Response:
            request.state.who = await _shown(request)
            return await handler(request)

        return asked_by_somebody


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
