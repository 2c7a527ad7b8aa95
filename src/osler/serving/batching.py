"""Requests that come within a few milliseconds of one another are answered in one pass of the model.

One thread asks the models, one batch after the other: a machine has one accelerator, and passes side by side would only
wait for each other. While it is busy, requests gather, so batches grow with the load by themselves.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

BATCH = 16  # texts a pass, as in evaluation
WAIT = 0.004  # seconds that a batch waits for company
QUEUE = 256  # texts that wait at most


class QueueFullError(Exception):
    """More texts wait than are taken. ``retry_after`` is in how many seconds there should be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class DeadlineError(Exception):
    """A request was not answered in time."""


@dataclass
class Waiting(Generic[Q, A]):
    """A text in the queue; ``deadline`` is of ``time.monotonic()``."""

    model: str
    question: Q
    deadline: float
    answer: asyncio.Future[A]


@dataclass
class Batcher(Generic[Q, A]):
    """The queue before the models.

    Args:
        ask: the name of a model and a batch of questions to their answers, in order, by one call at a time.
        thread: the one that asks.
        observe: told the size of every batch and the seconds it took.
    """

    ask: Callable[[str, Sequence[Q]], Sequence[A]]
    observe: Callable[[int, float], None] = lambda size, seconds: None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="model"))
    batch: int = BATCH
    wait: float = WAIT
    room: int = QUEUE
    _queue: deque[Waiting[Q, A]] = field(default_factory=deque)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _seconds_each: float = 0.1  # that a text takes, as of late

    def __len__(self) -> int:
        """How many texts wait, and somebody for them."""
        return sum(not one.answer.done() for one in self._queue)

    def check_room(self, questions: int) -> None:
        """Raise :class:`QueueFullError` where there is no room for so many."""
        if len(self) + questions > self.room:
            raise QueueFullError(max(1, math.ceil(len(self) * self._seconds_each)))

    async def submit(self, model: str, questions: Sequence[Q], seconds: float) -> list[A]:
        """The answers of ``model``, within so many ``seconds``. Cancelled, questions that still wait are not asked.

        Raises:
            QueueFullError: there is no room for all of them.
            DeadlineError: time ran out.
        """
        self.check_room(len(questions))
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + seconds
        waiting = [Waiting(model, question, deadline, loop.create_future()) for question in questions]
        self._queue.extend(waiting)
        self._came.set()
        try:
            _, late = await asyncio.wait([one.answer for one in waiting], timeout=seconds)
            if late:
                raise DeadlineError(f"not answered within {seconds:g} s")
            return [one.answer.result() for one in waiting]
        finally:
            for one in waiting:
                one.answer.cancel()

    async def run(self) -> None:
        """Answer what comes, until cancelled."""
        while True:
            await self._came.wait()
            if len(self._queue) < self.batch:
                await asyncio.sleep(self.wait)
            batch = self._next()
            if not self._queue:
                self._came.clear()
            if batch:
                await self._answer(batch)

    def _next(self) -> list[Waiting[Q, A]]:
        """The longest waiting text, and the next ones for the same model; those that nobody waits for are dropped."""
        now = time.monotonic()
        alive = [one for one in self._queue if not one.answer.done() and one.deadline > now]
        taken = [one for one in alive if one.model == alive[0].model][: self.batch]
        chosen = {id(one) for one in taken}
        self._queue = deque(one for one in alive if id(one) not in chosen)
        return taken

    async def _answer(self, batch: list[Waiting[Q, A]]) -> None:
        started = time.monotonic()
        questions = [one.question for one in batch]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self.thread, self.ask, batch[0].model, questions)
        except Exception as error:
            if len(batch) > 1:  # one of them may be at fault: the others are answered
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        seconds = time.monotonic() - started
        self._seconds_each = 0.8 * self._seconds_each + 0.2 * seconds / len(batch)
        self.observe(len(batch), seconds)
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)
