"""The page and the endpoint made from a run: they answer as the run does, and never quote a text in what is wrong."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from local_hub import LocalHub
from packaging.requirements import Requirement
from served import TEXT

from osler.errors import InputError
from osler.publishing import folder as publication
from osler.publishing import space
from osler.runs.run import Run
from osler.serving.model import load_models


def loaded(path: Path) -> ModuleType:
    """The module in a file, as the Hub's servers load it."""
    spec = importlib.util.spec_from_file_location(f"hosted_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_folder_holds_the_code_the_version_and_what_they_need(tmp_path: Path) -> None:
    folder = space.build(tmp_path / "space", "jane/tiny_1", "v1.0.0")
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "LICENSE", "model.txt", "app.py", "handler.py", "requirements.txt", "osler"),
    }
    assert (folder / "model.txt").read_text() == "jane/tiny_1@v1.0.0\n"
    _, metadata, text = (folder / "README.md").read_text().split("---\n", 2)
    content = yaml.safe_load(metadata)
    assert (content["sdk"], content["app_file"], content["models"]) == ("gradio", "app.py", ["jane/tiny_1"])
    assert "[jane/tiny_1@v1.0.0](https://huggingface.co/jane/tiny_1/tree/v1.0.0)" in text
    needed = {one.name: one for one in map(Requirement, (folder / "requirements.txt").read_text().splitlines())}
    assert {"torch", "transformers", "peft"} <= needed.keys()
    assert str(needed["torch"].specifier).startswith("==")
    assert needed["pillow"].specifier.contains("12.0"), "Gradio takes none that is newer"
    # Osler comes along: nothing of it has to be on PyPI.
    code = "import osler, osler.errors; print(osler.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(folder / "osler" / "__init__.py")
    assert not list(folder.rglob("__pycache__")) or all("osler" in str(path) for path in folder.rglob("__pycache__"))


def test_again_it_is_the_same(tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = content(space.build(tmp_path / "space", "jane/tiny", "v1.0.0"))
    assert content(space.build(tmp_path / "space", "jane/tiny", "v1.0.0")) == first
    assert [path.name for path in tmp_path.iterdir()] == ["space"]


def test_it_becomes_a_space_and_replaces_none_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = space.build(tmp_path / "space", "jane/tiny", "v1.0.0")
    shutil.rmtree(folder / "osler")  # its files are many
    with LocalHub.serve(tmp_path / "hub") as hub:
        hub.connect(monkeypatch, hub.token("jane"))
        for _ in range(2):
            url = space.publish(folder, "jane/tiny", "v1.0.0", private=True)
        assert url == f"{hub.endpoint}/spaces/jane/tiny"
        assert hub.content("jane/tiny", kind="spaces").keys() == {path.name for path in folder.iterdir()}
        assert hub.repository("jane/tiny", "spaces").private
        hub.push("jane/other", {"index.html": b"my page"}, kind="spaces")
        with pytest.raises(InputError, match=r"holds index\.html and no model\.txt, so it was not made here"):
            space.publish(folder, "jane/other", "v1.0.0", private=False)
        hub.push("jane/open", {"model.txt": b"jane/open@v1"}, kind="spaces")
        with pytest.raises(InputError, match="the Space is public"):
            space.publish(folder, "jane/open", "v1.0.0", private=True)


def test_a_model_that_a_text_alone_cannot_ask_has_none(evaluated_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space.check(Run(evaluated_run))
    recipe = replace(Run(evaluated_run).recipe(), head="reranker")
    monkeypatch.setattr(Run, "recipe", lambda _: recipe)
    with pytest.raises(InputError, match=r"^--space: .*: a reranker compares .*; publish it without --space$"):
        space.check(Run(evaluated_run))


# ── what the Hub's servers run ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def published(evaluated_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A Hub with the tiny run as jane/tiny, v1.0.0."""
    place = tmp_path_factory.mktemp("published")
    built = place / "publication"
    publication.build(Run(evaluated_run), built, "jane/tiny", {}, {})
    files = {path.relative_to(built).as_posix(): path.read_bytes() for path in built.rglob("*") if path.is_file()}
    with LocalHub.serve(place / "hub") as hub:
        hub.push("jane/tiny", files, tag="v1.0.0")
        yield hub


@pytest.fixture
def folder(published: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    published.connect(monkeypatch, published.token("jane"))
    return space.build(tmp_path / "space", "jane/tiny", "v1.0.0")


@pytest.mark.slow
def test_an_endpoint_answers_as_the_run_and_refuses_what_is_no_request(folder: Path, evaluated_run: Path) -> None:
    (model,) = load_models([str(evaluated_run)]).values()
    expected = model.answer([model.encode(TEXT)], 3)[0].model_dump(mode="json")
    endpoint = loaded(folder / "handler.py").EndpointHandler(str(folder))
    answer = endpoint({"inputs": TEXT, "parameters": {"top_k": 3}})
    assert answer == expected
    assert json.loads(json.dumps(answer))["model"]["name"] == "tiny-made-up"
    assert [len(one["diagnoses"]) for one in endpoint({"inputs": [TEXT, "fever"]})] == [4, 4]
    planted = "Ada Lovelace"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "inputs: a text, or a list of 1 to 64 texts"),
        ({"inputs": []}, "inputs: a text, or a list"),
        ({"inputs": [planted, 7]}, "inputs: a text, or a list"),
        ({"inputs": [planted] * 65}, "inputs: a text, or a list"),
        ({"inputs": " "}, "the text is empty"),
        ({"inputs": f"{planted} \ud800"}, "half of a character"),
        ({"inputs": f"{planted} " * 2000}, "more; the model reads 1,024: shorten the text"),
        ({"inputs": planted, "parameters": {"top_k": 0}}, "top_k alone"),
        ({"inputs": planted, "parameters": [planted]}, "top_k alone"),
    ]
    for request, said in wrong:
        with pytest.raises(InputError, match=said) as refused:
            endpoint(request)
        assert "Lovelace" not in str(refused.value)


@pytest.mark.slow
def test_the_page_answers_as_the_run(folder: Path, evaluated_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Exception):
        pass

    monkeypatch.setitem(sys.modules, "gradio", MagicMock(Error=Wrong))
    app = loaded(folder / "app.py")
    shares, lines = app.diagnose(TEXT)
    (model,) = load_models([str(evaluated_run)]).values()
    (answer,) = model.answer([model.encode(TEXT)], 5)
    assert shares == {one.name: one.probability for one in answer.diagnoses}
    assert lines.endswith("tiny-made-up@1.0.0. This is no clinical evidence.")
    with pytest.raises(Wrong, match="the text is empty"):
        app.diagnose(" ")
    app.page.launch.assert_not_called()
