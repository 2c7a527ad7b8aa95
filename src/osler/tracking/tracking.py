"""Opens the runs of a recipe's trackers, has them survive what goes wrong there, and hands them files.

``tracking.json`` in the run directory has the key of each, so that a resumed training and the evaluation find them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from osler.errors import InputError, one_line
from osler.recipe import Recipe, trackers_of
from osler.runs import Run
from osler.storage import FileContract, plain, read_model, validated, write_model
from osler.tracking.trackers import KEEPERS, Tracker


class Tracked(FileContract):
    """``tracking.json``: tracker → the key of the run in it."""

    runs: dict[str, str]


class Tracking:
    """The trackers that are open. One that fails is said on stderr and left alone: no run ends by it."""

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self._recipe = recipe
        self._path = run.folder / "tracking.json"
        self._known = {name: KEEPERS[name](recipe, run) for name in trackers_of(recipe) if name in KEEPERS}
        self._open: dict[str, Tracker] = {}

    def begin(self) -> None:
        """Open a new run in each tracker. Raises :class:`InputError` where one cannot be: nothing is lost yet."""
        keys = {}
        for name, tracker in self._known.items():
            try:
                keys[name] = tracker.open(None)
            except Exception as error:  # whatever libraries of others raise
                raise InputError(
                    f"{self._recipe.path}: train.report_to: {name}: {one_line(str(error)).rstrip('.')};"
                    f" {tracker.way_out}, or take {name} out"
                ) from error
            self._open[name] = tracker
        if keys:
            write_model(self._path, validated(Tracked, {"schema": 1, "runs": keys}, str(self._path)))

    def take_up(self) -> None:
        """Open the run that each tracker has; without those that have none, or cannot be opened."""
        keys = plain(read_model(self._path, Tracked))["runs"] if self._path.is_file() else {}
        for name, tracker in self._known.items():
            if name not in keys:
                self._say(name, f"{self._path} names no run there")
            elif self._tried(name, partial(tracker.open, keys[name])):
                self._open[name] = tracker

    def attach(self, trainer: Any) -> None:
        """Connect a transformers ``Trainer``, in every process: figures go into the runs that are open, and no
        tracker's error gets out of its callback."""
        from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

        for name in trackers_of(self._recipe):
            kind = INTEGRATION_TO_CALLBACK[name]
            callback = next(one for one in trainer.callback_handler.callbacks if isinstance(one, kind))
            if name in self._known and name not in self._open:
                trainer.remove_callback(callback)
                continue
            if name in self._open:
                self._open[name].attach(callback, trainer.args)
            self._guard(name, callback)

    def _guard(self, name: str, callback: Any) -> None:
        broken: list[str] = []

        def guarded(event: Callable[..., Any]) -> Callable[..., None]:
            def call(*arguments: Any, **named: Any) -> None:
                if not broken and not self._tried(name, partial(event, *arguments, **named)):
                    broken.append(name)

            return call

        for event in (attribute for attribute in dir(callback) if attribute.startswith("on_")):
            setattr(callback, event, guarded(getattr(callback, event)))

    def log(self, kind: str, texts: Mapping[str, str], figures: Mapping[str, float] = {}) -> None:
        """Log ``texts``, by the names of their files, and ``figures`` in each open run."""
        for name, tracker in self._open.items():
            self._tried(name, partial(tracker.log, kind, texts, figures))

    def close(self, failed: bool = False) -> None:
        """End the open runs."""
        for name, tracker in self._open.items():
            self._tried(name, partial(tracker.close, failed))

    def _tried(self, name: str, action: Callable[[], Any]) -> bool:
        try:
            action()
        except Exception as error:  # whatever libraries of others raise
            self._say(name, one_line(str(error)))
            return False
        return True

    @staticmethod
    def _say(name: str, what: str) -> None:
        print(f"train.report_to: {name}: {what}; going on without it", file=sys.stderr, flush=True)


@contextmanager
def tracked(recipe: Recipe, run: Run, anew: bool) -> Iterator[Tracking]:
    """The recipe's trackers with a run open in each: a new one (``anew``), or the one that it had.

    Raises :class:`InputError` as :meth:`Tracking.begin`.
    """
    tracking = Tracking(recipe, run)
    failed = True
    try:
        tracking.begin() if anew else tracking.take_up()
        yield tracking
        failed = False
    finally:
        tracking.close(failed)


def without_ids(value: Any) -> Any:
    """JSON of results without the ids of cases: in a tracker they are nobody's business."""
    if isinstance(value, dict):
        return {key: [] if key == "worst" and isinstance(of, list) else without_ids(of) for key, of in value.items()}
    return [without_ids(item) for item in value] if isinstance(value, list) else value
