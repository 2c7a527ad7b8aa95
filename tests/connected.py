"""docs/how-to/connect-an-ehr.md against a server: each curl command on the page, and what it answers."""

from __future__ import annotations

import json
import subprocess
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


def answers() -> Iterator[Any]:
    """What the server answers to each command, in their order."""
    server = Server({NAME: canned(NAME, version="2.0.0")})
    with TemporaryDirectory() as folder, listening(server) as address:
        for language, title, content in blocks(PAGE):
            if title:
                Path(folder, title).write_text(content, encoding="utf-8")
            elif language == "bash" and "curl" in content:
                line = content.replace(SERVED, address)
                done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, done.stderr
                yield json.loads(done.stdout)
