"""The web page that cases are reviewed on, and what to send it with."""

from __future__ import annotations

from pathlib import Path

from osler.serving import page

PAGE = page.assembled(Path(__file__).with_name("page.html"))
HEADERS = page.headers(PAGE)
