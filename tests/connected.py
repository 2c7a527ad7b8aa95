"""docs/how-to/connect-an-ehr.md against a server: each curl command on the page, and the answer below it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from canned import canned
from pages import blocks
from project import ROOT
from served import listening

from osler.serving.server import Server

PAGE = ROOT / "docs" / "how-to" / "connect-an-ehr.md"
NAME = "smollm2-135m-rare-disease-qlora"
SERVED = "http://127.0.0.1:8000"
# What is another one with every answer, or every release.
CHANGING = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"), "TIME"),
    (re.compile(r"Osler \d+\.\d+\.\d+"), "Osler VERSION"),
)


def same(answer: Any) -> str:
    """An answer with what changes taken out."""
    text = json.dumps(answer, indent=2)
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return text


def answers() -> Iterator[tuple[str, Any, str]]:
    """Command, what the server answers, and what the page says that it does."""
    server = Server({NAME: canned(NAME, version="2.0.0")})
    command = ""
    with TemporaryDirectory() as folder, listening(server) as address:
        for language, title, content in blocks(PAGE):
            if language == "bash" and "curl" in content:
                command = content
            elif title:
                Path(folder, title).write_text(content, encoding="utf-8")
            elif language == "json":
                line = command.replace(SERVED, address)
                done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, done.stderr
                yield command, json.loads(done.stdout.replace(address, SERVED)), content


def write() -> None:
    """Put the answers on the page: ``PYTHONPATH=src:tests python tests/connected.py``."""
    text = PAGE.read_text(encoding="utf-8")
    for _, answer, shown in answers():
        text = text.replace(f"```json\n{shown}```", f"```json\n{json.dumps(answer, indent=2)}\n```", 1)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write())
