"""What the models are asked and answer, looked at every so many answers, by a process of its own: no answer waits."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from osler.errors import FailedError, InputError
from osler.serving.audit import now
from osler.storage import end_with_parent

if TYPE_CHECKING:
    from osler.monitoring import Gauges, Monitoring, Watch

EVERY = 250  # answers of a model; a window of monitoring
PERIOD = timedelta(days=30)  # that is looked at

log = logging.getLogger(__name__)


class Watcher:
    """Watches models by what their store has.

    Args:
        folders: model → its run directory.
        url: of the store.
        gauges: where what is seen is shown.
    """

    def __init__(self, folders: Mapping[str, Path], url: str, gauges: Gauges) -> None:
        self._folders, self._gauges = folders, gauges
        self._new: Counter[str] = Counter()
        self._told: set[tuple[object, ...]] = set()
        self._asked: queue.Queue[str] = queue.Queue()
        context = get_context("spawn")  # a fork would have the models, and their threads' locks
        self._pipe, theirs = context.Pipe()
        context.Process(target=_look_when_asked, args=(theirs, url), daemon=True).start()
        theirs.close()
        threading.Thread(target=self._work, name="watcher", daemon=True).start()
        for model in folders:
            self._asked.put(model)

    def answered(self, model: str, n: int) -> None:
        """``n`` more answers of ``model`` are kept."""
        self._new[model] += n
        if self._new[model] >= EVERY:
            self._new[model] = 0
            self._asked.put(model)

    @property
    def idle(self) -> bool:
        """Whether all that was asked for has been looked at."""
        return not self._asked.unfinished_tasks

    def _work(self) -> None:
        while True:
            model = self._asked.get()
            try:
                self._pipe.send(self._folders[model])
                seen = self._pipe.recv()
            except (EOFError, OSError):
                log.error("models are watched no longer: the process that did has ended")
                return
            if isinstance(seen, str):
                self._tell(f"{model} is not watched: {seen}", model, seen)
            elif seen is not None:
                self._gauges.set(seen)
                for alarm in seen.alarms:
                    self._tell(f"{model}: ALARM {alarm.text}", model, alarm.kind, alarm.about, alarm.at)
            self._asked.task_done()

    def _tell(self, line: str, *about: object) -> None:
        """Once."""
        if about not in self._told:
            log.warning("%s", line)
            self._told.add(about)


def _look_when_asked(pipe: Connection, url: str) -> None:
    """The other process: for each folder a report, None, or what is wrong."""
    end_with_parent()
    while True:
        try:
            folder = pipe.recv()
        except EOFError:
            return
        try:
            seen = look(folder, url)
        except (InputError, FailedError) as error:
            pipe.send(str(error))
        except Exception as error:
            pipe.send(type(error).__name__)  # its message may quote a text
        else:
            pipe.send(seen)


def look(folder: Path, url: str) -> Monitoring | None:
    """The report of a model over the last ``PERIOD``; None where it has answered nothing. In the other process."""
    from osler.feedback import store as stores

    watch, since = _watch(folder), now() - PERIOD
    store = stores.open_store(url)
    try:
        name = watch.manifest.recipe.name
        predictions = list(store.predictions(name, since, shown=True))
        if all(one.weights_sha256 != watch.manifest.adapter_sha256 for one in predictions):
            return None
        return watch.report(predictions, [verdict for _, of in store.judged(name, since) for verdict in of])
    finally:
        store.close()


@cache
def _watch(folder: Path) -> Watch:
    from osler.monitoring import Watch
    from osler.runs import Run

    return Watch(Run(folder))
