"""The web page at ``/``, and what a browser may do with it: run its own style and script, and ask this server."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path

from osler.serving.requests import EXAMPLE

STYLE, SCRIPT = (Path(__file__).with_name(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))


def _hash(page: str, tag: str) -> str:
    """What stands in ``page`` between the only ``tag`` and its end, by its hash, as a policy names it."""
    content = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def assembled(path: Path) -> str:
    """The page in a file, with what all pages share where it says ``{{ style }}`` and ``{{ script }}``."""
    return path.read_text(encoding="utf-8").replace("{{ style }}", STYLE).replace("{{ script }}", SCRIPT)


def headers(page: str) -> dict[str, str]:
    """What to send ``page`` with."""
    policy = (
        "default-src 'none'",
        "connect-src 'self'",
        "img-src data:",  # its icon is an empty one, so that no browser asks for /favicon.ico
        f"style-src {_hash(page, 'style')}",
        f"script-src {_hash(page, 'script')}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # a string never becomes HTML
        "trusted-types 'none'",
    )
    return {"Content-Security-Policy": "; ".join(policy)}


PAGE = assembled(Path(__file__).with_name("page.html")).replace("{{ example }}", html.escape(EXAMPLE))
HEADERS = headers(PAGE)
