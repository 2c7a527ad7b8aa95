"""From the options of ``scripts/review.py`` to a page on this machine."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from osler.errors import InputError, show

if TYPE_CHECKING:
    from osler.feedback import queues
    from osler.feedback import store as stores

HOST = "127.0.0.1"
NEEDED = ("fastapi", "uvicorn")


def open_review(
    store: stores.Store,
    raters: Sequence[str],
    adjudicator: str | None,
    order: queues.Order,
    texts: Mapping[str, str],
    port: int,
) -> int:
    """Show the page to this machine alone until Ctrl-C or SIGTERM; returns 0.

    Args:
        raters: who judges, each on their own.
        adjudicator: who settles what they disagree on; None for nobody.
        texts: of predictions, by id, where the store holds none.

    Raises:
        InputError: a name is there twice or empty, the port is taken, or what the page needs is not installed.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise InputError(f"{', '.join(missing)}: not installed; pip install 'osler[serve,feedback]'")
    names = [*raters, *([adjudicator] if adjudicator is not None else [])]
    for name in names:
        if not name.strip() or len(name) > 300 or names.count(name) > 1:
            raise InputError(f"--rater, --adjudicator: {show(name)} is empty, too long, or there twice")
    import uvicorn

    from osler.review.app import Review, create_app
    from osler.serving import listen

    review = Review(store, tuple(raters), adjudicator, order, texts)
    listening = listen(HOST, port, f"--port {port}")
    if not review.takes_comments:
        print("comments are not taken: they are de-identified first; pip install 'osler[deid]'", flush=True)
    print(f"review   http://{HOST}:{listening.getsockname()[1]} (stop it with Ctrl-C)", flush=True)
    config = uvicorn.Config(create_app(review), log_level="warning", access_log=False, server_header=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises it again at the end: an orderly end is status 0
    uvicorn.Server(config).run(sockets=[listening])
    store.close()
    return 0
