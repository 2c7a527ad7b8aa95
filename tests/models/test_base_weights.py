"""A base that has to be asked for is named with the page to ask on, before anything of it is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from local_hub import LocalHub
from project import make

from osler.errors import InputError
from osler.models.base_weights import base_config, base_folder
from osler.recipe import Recipe, load_recipe
from osler.recipe.sections import BaseSection


@pytest.mark.parametrize("ask", [lambda recipe: base_folder(recipe.base), base_config], ids=["weights", "config"])
def test_a_gated_base_is_named_with_its_page_and_nothing_is_downloaded(
    ask: Callable[[Recipe], object], tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in Path(tiny_base.model).iterdir()}
    recipe = load_recipe(make(tmp_path, tiny_base), [])
    with LocalHub.serve(tmp_path / "hub") as hub:
        hub.connect(monkeypatch)
        hub.push("joe/gated", files, gated=True)
        commit = hub.repository("joe/gated").commit("main").oid
        asked = replace(recipe, base=replace(recipe.base, model="joe/gated", revision=commit))
        with pytest.raises(
            InputError, match=r"joe/gated is gated: accept its terms at https://huggingface\.co/joe/gated"
        ):
            ask(asked)
        assert not [path for path in (tmp_path / "hub").rglob("*.safetensors") if "home" in path.parts]
