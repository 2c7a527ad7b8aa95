"""The web page at ``/``, and what a browser may do with it: run its own style and script, and ask this server."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

from osler.serving.requests import EXAMPLE


def _policy(page: str) -> str:
    """The Content-Security-Policy of ``page``: its style and script by their hashes, and nothing of another server."""
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
            for content in re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("style", "script")
    }
    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src {hashes['style']};"
        f" script-src {hashes['script']}; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )


PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8").replace("{{ example }}", html.escape(EXAMPLE))
HEADERS = {"Content-Security-Policy": _policy(PAGE)}
