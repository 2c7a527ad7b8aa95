"""Every answer into the store, and what is said of it, by a thread of its own: no answer waits for the database."""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from osler.errors import FailedError, InputError, show
from osler.feedback import RankedName, StoredModel, StoredPrediction, Verdict
from osler.patients import sex_and_age
from osler.serving.audit import now
from osler.serving.diagnosis import Diagnosis
from osler.serving.model import Asked, ServedModel
from osler.storage import wheels
from osler.terminology import Recogniser, languages, present_findings, read_ontology

if TYPE_CHECKING:
    from osler.feedback import store as stores

KEPT = 10  # diagnoses of an answer
ROOM = 10_000  # answers that wait while the database is away; then no more are given
AT_ONCE = 100  # answers written in one go
AGAIN = 1.0  # seconds until the next try
TRIES = 10  # of them, once the server is ending

log = logging.getLogger(__name__)


class TakenError(InputError):
    """A request_id that an answer to something else has."""


@dataclass(frozen=True)
class Answered:
    """An answer to be kept."""

    id: str
    at: datetime
    text: str
    asked: Asked
    answer: Diagnosis
    shown: bool
    patient: str | None = None


@dataclass(frozen=True)
class Judged:
    """A verdict to be kept; ``done`` is told when it is."""

    verdict: Verdict
    done: Future[None]


@dataclass
class Keeper:
    """Keeps what the models answer in ``store``.

    Args:
        models: by name.
        readable: what takes the patient out of a text that is to be kept; None, as usual, keeps none.
        shadow: a model that is asked, too, and whose answers nobody is shown.
        watch: told, once they are in the store, which model gave how many answers that were shown.
    """

    store: stores.Store
    models: Mapping[str, ServedModel]
    readable: Callable[[str], str] | None = None
    shadow: ServedModel | None = None
    watch: Callable[[str, int], None] | None = None
    _waiting: queue.Queue[Answered | Judged | None] = field(default_factory=queue.Queue)
    _ids: dict[str, str] = field(default_factory=dict)  # of answers under way that the asker named → hash of the text
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _recognisers: dict[str, Recogniser] = field(default_factory=dict)
    _ending: bool = False

    def __post_init__(self) -> None:
        for of in (*self.models.values(), *([self.shadow] if self.shadow else [])):
            name = of.name.model_dump()
            self.store.add_model(StoredModel(model=name.pop("name"), **name, task=of.task, labels=of.labels))
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many answers and verdicts are not in the store yet."""
        return self._waiting.qsize()

    @property
    def full(self) -> bool:
        """Whether the database has been away for so long that no more can wait for it."""
        return self.waiting >= ROOM

    def recognise(self) -> list[str]:
        """Read the ontologies of the models' tasks, so that findings are kept; a line for each that is not here."""
        said = []
        for spec in {model.ontology for model in (*self.models.values(), self.shadow) if model and model.ontology}:
            try:
                self._recognisers[spec] = Recogniser(read_ontology(wheels.fetch(spec)))
            except InputError as error:
                said.append(f"findings of texts are not kept: {error}")
        return said

    def name(self, id: str | None, text: str) -> str | None:
        """The id to keep an answer to ``text`` under; None where the same was asked and answered under it before.

        Raises:
            TakenError: it was another text.
        """
        if id is None:
            return uuid.uuid4().hex
        mine = self.store.text_hmac(text)
        with self._lock:
            other = self._ids.get(id)
            if other is None:
                self._ids[id] = mine
        if other is None:
            try:
                other = self.store.prediction(id).text_hmac
            except InputError:
                return id
            except FailedError:
                self.release([id])
                raise
            self.release([id])
        if other != mine:
            raise TakenError(f"request_id: {show(id)} was another text's; send another one, or none")
        return None

    def release(self, ids: Sequence[str]) -> None:
        """These ids are kept, or nothing is answered under them."""
        with self._lock:
            for id in ids:
                self._ids.pop(id, None)

    def keep(
        self, id: str, text: str, asked: Asked, answer: Diagnosis, shown: bool = True, patient: str | None = None
    ) -> None:
        """Keep an answer, soon; one that is not ``shown`` is of the model in the shadow."""
        self._waiting.put(Answered(id, now(), text, asked, answer, shown, patient))

    def judge(self, verdict: Verdict) -> Future[None]:
        """Keep a verdict, after all answers before it; the errors are those of ``Store.add_verdict``."""
        done: Future[None] = Future()
        self._waiting.put(Judged(verdict, done))
        return done

    def close(self) -> None:
        """Keep what waits, and end."""
        self._ending = True
        self._waiting.put(None)
        self._thread.join()
        self.store.close()

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        ended = False
        while not ended:
            taken = [self._waiting.get()]
            while len(taken) < AT_ONCE and not self._waiting.empty():
                taken.append(self._waiting.get())
            ended = None in taken
            answers: list[Answered] = []
            for one in taken:
                if isinstance(one, Answered):
                    answers.append(one)
                    continue
                self._keep(answers)
                answers = []
                if one is not None:
                    self._judge(one)
            self._keep(answers)

    def _keep(self, answers: Sequence[Answered]) -> None:
        records = [record for one in answers if (record := self._record(one)) is not None]
        if not records:
            return
        try:
            self._write(records)
        except InputError:  # another server was faster with an id: it is kept all the same, and cannot be judged
            for one in records:
                try:
                    self._write([one])
                except InputError:
                    self._write([one.model_copy(update={"id": uuid.uuid4().hex})])
        finally:
            self.release([one.id for one in answers])

    def _judge(self, one: Judged) -> None:
        heard = one.done.set_running_or_notify_cancel()  # whoever sent it may be gone; it is kept all the same
        try:
            model = self.models.get(self.store.prediction(one.verdict.prediction).model)
            self.store.add_verdict(one.verdict, model.labels if model else None)
        except Exception as error:
            if heard:
                one.done.set_exception(error)
        else:
            if heard:
                one.done.set_result(None)

    def _write(self, records: Sequence[StoredPrediction]) -> None:
        """Write them, again and again where the database is away; what is lost at the end is said."""
        left, said = TRIES, False
        while True:
            try:
                self.store.add_predictions(records)
                break
            except FailedError as error:
                if not said:
                    log.error("the store takes no answers, which wait: %s", error)
                said = True
            except InputError:
                raise
            except Exception as error:  # a fault of ours, which may not end the thread
                log.error("%d answers were not kept: %s", len(records), _place(error))
                return
            left -= self._ending
            if not left:
                log.error("the store took no answers until the end: %d were not kept", len(records))
                return
            time.sleep(AGAIN)
        if self.watch is not None:
            for model, n in Counter(one.model for one in records if one.shown).items():
                self.watch(model, n)

    def _record(self, one: Answered) -> StoredPrediction | None:
        try:
            name = one.answer.model
            model = self.models[name.name] if one.shown or self.shadow is None else self.shadow
            recogniser = self._recognisers.get(model.ontology or "")
            return StoredPrediction(
                id=one.id,
                at=one.at,
                model=name.name,
                version=name.version,
                recipe_sha256=name.recipe_sha256,
                weights_sha256=name.weights_sha256,
                task=model.task,
                text_hmac=self.store.text_hmac(one.text),
                patient_hmac=self.store.patient_hmac(one.patient) if one.patient else None,
                text=self.readable(one.text) if self.readable else None,
                tokens=len(one.asked.tokens),
                unknown_share=model.unknown_share(one.text),
                language=languages.language_of(one.text.split()),
                findings=present_findings(one.text, recogniser) if recogniser else (),
                subgroups=sex_and_age(one.text),
                # What a model wrote that is no label may quote the text.
                diagnoses=tuple(
                    RankedName(label=of.label, probability=of.probability)
                    for of in one.answer.diagnoses[:KEPT]
                    if of.label in model.labels
                ),
                abstained=one.answer.abstained,
                calibrated=one.answer.calibrated,
                shown=one.shown,
            )
        except Exception as error:
            log.error("an answer was not kept: %s", _place(error))
            return None


def _place(error: Exception) -> str:
    """What failed where, without the message, which may quote the text."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {place.filename}:{place.lineno}"
