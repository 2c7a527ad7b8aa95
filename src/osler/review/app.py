"""The page that cases are reviewed on: what it asks of the store, and what it may be told when.

A rater gets the model's answer only once they have said what they think themselves, and cannot take that back. Nobody
needs a key: the page is of this machine alone, and knows raters by the names that it was started with.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from osler.errors import FailedError, InputError, one_line
from osler.feedback import CODES, Quest, StoredModel, StoredPrediction, Verdict, queues
from osler.feedback import store as stores
from osler.preparation import unlinked
from osler.review.form import CODE_WORDS, QUESTIONS
from osler.review.page import HEADERS, PAGE
from osler.serving import shield

HOSTS = ["127.0.0.1", "localhost"]  # not a name that somebody else's server gives this machine

Rater = Annotated[str, Query(max_length=300)]


class Sent(BaseModel):
    """Something that the page sends: by whom, and about which case."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rater: Annotated[str, Field(max_length=300)]
    prediction: Annotated[str, Field(max_length=64)]


class Own(Sent):
    """What a rater thinks before they see the answer; null for "don't know"."""

    label: Annotated[str, Field(max_length=1000)] | None


class Judgement(Sent):
    """What a rater, or the adjudicator, says of the answer."""

    right: bool
    label: Annotated[str, Field(max_length=1000)] | None = None
    codes: Annotated[list[str], Field(max_length=len(CODES))] = []
    quest: dict[str, int | None] | None = None
    comment: Annotated[str, Field(max_length=10_000)] = ""


@dataclass
class Review:
    """What is reviewed, and by whom.

    Attributes:
        raters: who judges, each on their own; ``adjudicator`` settles what they disagree on.
        texts: of predictions, by id, where the store holds none.
    """

    store: stores.Store
    raters: tuple[str, ...]
    adjudicator: str | None
    order: queues.Order
    texts: Mapping[str, str]
    _own: dict[tuple[str, str], str | None] = field(default_factory=dict)  # (rater, prediction) → what they think
    _skipped: dict[str, set[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def _readable(self) -> Callable[[str], str]:
        """What takes the patient out of a comment; loaded once, with the first, which takes some seconds."""
        return unlinked()

    @property
    def takes_comments(self) -> bool:
        """Whether the patient can be taken out of what somebody writes."""
        return importlib.util.find_spec("presidio_analyzer") is not None

    def next(self, rater: str) -> dict[str, Any]:
        """The next case of a rater, blinded, or of the adjudicator; and how far they are."""
        skipped = self._skipped.get(self._known(rater), set())
        settling = rater == self.adjudicator
        if settling:
            case = queues.next_dispute(self.store, rater, skipped)
        else:
            case = queues.next_case(self.store, rater, self.order, skipped)
        content: dict[str, Any] = {"progress": queues.progress(self.store, rater)._asdict(), "case": None}
        if case is not None:
            content["case"] = self._blinded(case)
            if settling:
                content |= {"answer": self._answer(case), "verdicts": self._verdicts(case)}
            elif (rater, case.id) in self._own:
                content |= {"answer": self._answer(case), "own": self._own[rater, case.id]}
        return content

    def labels(self, number: int) -> dict[str, str]:
        """Id → name of what the ``number``-th model chose from."""
        models = self.store.models()
        if number >= len(models):
            raise HTTPException(404, "there is no such model")
        return models[number].labels

    def own(self, sent: Own) -> dict[str, Any]:
        """Note what a rater thinks, once; the model's answer."""
        case = self._case(sent)
        self._check_labels(case, sent.label)
        with self._lock:
            self._own.setdefault((sent.rater, case.id), sent.label)
        return {"answer": self._answer(case), "own": self._own[sent.rater, case.id]}

    def skip(self, sent: Sent) -> None:
        """Leave a case out until the page is started again."""
        self._skipped.setdefault(self._known(sent.rater), set()).add(self._case(sent).id)

    def judge(self, sent: Judgement) -> None:
        """Keep a verdict."""
        case, settling = self._case(sent), sent.rater == self.adjudicator
        key = (sent.rater, case.id)
        if not settling and key not in self._own:
            raise HTTPException(409, "say first what you think yourself")
        if sent.comment.strip() and not self.takes_comments:
            raise HTTPException(422, "comment: cannot be de-identified here; pip install 'osler[deid]'")
        try:
            verdict = Verdict(
                prediction=case.id,
                rater=sent.rater,
                at=datetime.now(timezone.utc),
                right=sent.right,
                label=sent.label,
                codes=tuple(code for code in CODES if code in sent.codes),
                comment=self._readable(sent.comment.strip()) if sent.comment.strip() else None,
                blinded=not settling,
                own_label=self._own.get(key),
                adjudicated=settling,
                quest=None if sent.quest is None else Quest(**sent.quest),
            )
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        self.store.add_verdict(verdict, self._labels_of(case))
        self._own.pop(key, None)

    # ── what a case is told as ───────────────────────────────────────────────────────────────────────────────────────

    def _known(self, rater: str) -> str:
        if rater not in (*self.raters, self.adjudicator):
            raise HTTPException(422, "rater: not one that this page was started with")
        return rater

    def _case(self, sent: Sent) -> StoredPrediction:
        self._known(sent.rater)
        return self.store.prediction(sent.prediction)

    def _model(self, case: StoredPrediction) -> tuple[int | None, StoredModel | None]:
        for number, model in enumerate(self.store.models()):
            if (model.model, model.version, model.weights_sha256) == (case.model, case.version, case.weights_sha256):
                return number, model
        return None, None

    def _labels_of(self, case: StoredPrediction) -> dict[str, str]:
        model = self._model(case)[1]
        return model.labels if model else {}

    def _check_labels(self, case: StoredPrediction, label: str | None) -> None:
        labels = self._labels_of(case)
        if label is not None and labels and label not in labels:
            raise HTTPException(422, "label: none of the task's; choose one of the list")

    def _blinded(self, case: StoredPrediction) -> dict[str, Any]:
        """Nothing of the model's answer, nor which model it was."""
        text = case.text or self.texts.get(case.id)
        return {"id": case.id, "at": case.at.isoformat(), "text": text, "labels": self._model(case)[0]}

    def _answer(self, case: StoredPrediction) -> dict[str, Any]:
        names = self._labels_of(case)
        return {
            "diagnoses": [{**one.model_dump(), "name": names.get(one.label, one.label)} for one in case.diagnoses],
            "abstained": case.abstained,
            "calibrated": case.calibrated,
            "by": f"{case.model} {case.version}",
        }

    def _verdicts(self, case: StoredPrediction) -> list[dict[str, Any]]:
        """Those of the raters, without their names, which should not settle anything."""
        names = self._labels_of(case)
        return [
            {
                "right": one.right,
                "label": one.label and names.get(one.label, one.label),
                "own": one.own_label and names.get(one.own_label, one.own_label),
                "codes": [CODE_WORDS[code] for code in one.codes],
                "comment": one.comment,
            }
            for one in self.store.verdicts_of(case.id)
        ]


router = APIRouter()


def _review(request: Request) -> Review:
    found: Review = request.app.state.review
    return found


@router.get("/", response_class=HTMLResponse)
async def index() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers=HEADERS)


@router.get("/review")
async def about(request: Request) -> dict[str, Any]:
    """Who reviews, and what they are asked."""
    review = _review(request)
    return {
        "raters": review.raters,
        "adjudicator": review.adjudicator,
        "comments": review.takes_comments,
        "questions": QUESTIONS,
        "codes": CODE_WORDS,
    }


@router.get("/next")
def following(request: Request, rater: Rater) -> dict[str, Any]:
    """The next case."""
    return _review(request).next(rater)


@router.get("/labels/{number}")
def labels(request: Request, number: int) -> dict[str, str]:
    """What may be diagnosed."""
    return _review(request).labels(number)


@router.post("/own")
def own(request: Request, body: Own) -> dict[str, Any]:
    """What a rater thinks; the model's answer."""
    return _review(request).own(body)


@router.post("/skip", status_code=204)
def skip(request: Request, body: Sent) -> Response:
    """Another case."""
    _review(request).skip(body)
    return Response(status_code=204)


@router.post("/verdict", status_code=204)
def verdict(request: Request, body: Judgement) -> Response:
    """A verdict."""
    _review(request).judge(body)
    return Response(status_code=204)


def create_app(review: Review) -> FastAPI:
    """The application of ``review``."""
    app = FastAPI(title="Osler: review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.review = review
    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _wrong)
    for kind in (HTTPException, InputError, FailedError):
        app.add_exception_handler(kind, _refused)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    app.add_middleware(shield.Shield, observe=lambda path, status, seconds: None)
    return app


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]  # without what was sent, which may be of a patient
    return JSONResponse({"error": one_line(f"{'.'.join(map(str, first['loc'][:2]))}: {first['msg']}")}, 422)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": one_line(str(error.detail))}, error.status_code)
    if isinstance(error, FailedError):
        return JSONResponse({"error": "the store does not answer; see where the page was started"}, 503)
    known = {stores.UnknownPredictionError: 404, stores.SecondVerdictError: 409}
    status = next((status for kind, status in known.items() if isinstance(error, kind)), 422)
    return JSONResponse({"error": one_line(str(error))}, status)
