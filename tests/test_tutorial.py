"""docs/tutorial.md, from the first command to the last: a made-up export becomes a model on a (local) Hub."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from local_hub import LocalHub
from pages import blocks, copy_checkout, follow, shrink
from project import ROOT

from osler.recipe.sections import BaseSection

PAGE = ROOT / "docs" / "tutorial.md"
# A base in a folder of this machine has no pin and no licence, and the tests' own checkout may be dirty.
ALLOWED = "".join(f" --allow '{check}=a test'" for check in ("pins", "licence", "git"))


def masked(text: str) -> list[str]:
    """Lines with every number as N: the split hangs on a secret that is made anew each time."""
    return [re.sub(r"\d+", "N", line.strip()) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # ten commands, most of which import torch
def test_every_command_of_the_tutorial_works(tmp_path: Path, tiny_base: BaseSection) -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra `deid` is not installed")
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    checkout = copy_checkout(tmp_path / "checkout")
    recipe = checkout / "clinic/recipes/clinic/qlora-v1.yaml"

    def before(commands: str) -> str:
        if "--plan" in commands:
            shrink(recipe, tiny_base)
        return re.sub(r"(publish\.py .+)", lambda command: command[1] + ALLOWED, commands)

    with LocalHub.serve(tmp_path / "hub") as hub:
        printed = follow(PAGE, checkout, hub.environment(hub.token("jane")), before)
        assert set(hub.content("jane/clinic", "v1.0.0")) >= {"README.md", "adapter_model.safetensors", "results.json"}
        assert hub.repository("jane/clinic").private
        assert not [name for name in hub.content("jane/clinic") if name.endswith("train.jsonl")]

    shown = [content for language, name, content in blocks(PAGE) if language == "text"]
    export = (checkout / "export.csv").read_text()
    assert export.startswith(shown[0]), "the export as shown"
    lines = masked(printed)
    assert all(line in lines for line in masked(shown[1])), "what prepare_data.py prints, as shown"
    assert "246 rows in, 242 out" in printed
    assert printed.count("reproduced") >= 2
