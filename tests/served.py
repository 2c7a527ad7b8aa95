"""A project whose tiny model is trained and evaluated with a split to calibrate on, as it is served."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml
from project import make, script

from osler.feedback.store import open_store
from osler.recipe.sections import BaseSection
from osler.serving.app import create_app
from osler.serving.keeping import Keeper
from osler.serving.model import ServedModel
from osler.serving.server import Server

TEXT = "Patient 7 has a heart murmur and widely spaced eyes."


def evaluated(folder: Path, tiny: BaseSection, **sections: Any) -> Path:
    """A trained, evaluated run directory below ``folder``; ``sections`` as in :func:`project.make`."""
    evaluation = {"splits": ["test", "validation"], "baselines": ["majority"]} | sections.pop("evaluation", {})
    recipe = make(folder, tiny, rows=40, evaluation=evaluation, **sections)
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"]["validation_share"] = 0.4
    content["splits"]["validation"] = "rows held out of the training file"
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    for name, argument in (("train", recipe), ("evaluate", folder / "runs/tiny-made-up/1.0.0")):
        done = script(folder, name, argument)
        assert done.returncode == 0, done.stderr
    return folder / "runs/tiny-made-up/1.0.0"


def keeping(models: Mapping[str, ServedModel], folder: Path) -> Keeper:
    """What keeps the answers of ``models`` in ``folder/answers.db``."""
    return Keeper(open_store(str(folder / "answers.db"), create=True), models)


def listening(server: Server) -> AbstractContextManager[str]:
    """The address of ``server``, which answers on this machine in a thread of its own."""
    return app_listening(create_app(server))


@contextmanager
def app_listening(app: Any) -> Iterator[str]:
    """The address of an application, which answers on this machine in a thread of its own."""
    import uvicorn

    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(10)
