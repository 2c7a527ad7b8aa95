"""The outermost layer of the server: bodies of a bounded size in, and whatever fails inside is one line of JSON.

Frameworks print an exception's message and the values around it, and both may hold a patient's text. Only the type of
the exception and where it was raised are logged here.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException

from osler.serving.problems import problem

MAX_BODY = 4_000_000  # bytes: a batch of the longest texts, nearly
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),  # an answer is about a patient
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
CLOSING = {"connection": "close"}

log = logging.getLogger(__name__)


class Shield:
    """ASGI middleware around ``app``.

    Args:
        observe: told the path, the status and the seconds of every request.
    """

    def __init__(self, app: Any, observe: Callable[[str, int, float], None]) -> None:
        self._app, self._observe = app, observe

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, size = time.monotonic(), 0, 0

        async def bounded() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, f"the body has more than {MAX_BODY:,} bytes")
            return message

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        try:
            await self._app(scope, bounded, noted)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("%s at %s:%s", type(error).__name__, place.filename, place.lineno)
            if not status:
                said = problem(scope["path"], 500, "something failed in the server; its log says where", CLOSING)
                await said(scope, receive, noted)
        finally:
            # The route and not the path: whatever else somebody may have typed there.
            route = getattr(scope.get("route"), "path", "other")
            self._observe(route, status, time.monotonic() - started)
