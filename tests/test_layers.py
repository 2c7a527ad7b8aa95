"""Imports run downwards, wherever they stand, and what a package uses of another is what that one exports."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from project import ROOT

SRC = ROOT / "src" / "osler"
# Top first. A package imports only packages of lower lines; those on one line never import each other.
LAYERS = """
publishing review
reproduction launching search serving export succession
preparation training evaluation
explanation monitoring
data scoring baselines
models tracking
runs tasks feedback
ranking
patients
terminology
rendering
splits statistics governance
recipe
storage
errors
"""
LEVEL = {name: -line for line, names in enumerate(LAYERS.split("\n")) for name in names.split()}
APART = {"metrics"}  # loaded by path, as data
PACKAGES = sorted(path.parent.name for path in SRC.glob("*/__init__.py"))


class Import(NamedTuple):
    """``names`` (None: the module itself) taken from the dotted ``module`` at ``place`` (file:line)."""

    module: str
    names: list[str]
    place: str


def imports(path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        place = f"{os.path.relpath(path, ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, [], place) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place}: a relative import; write the whole path"
            names = [alias.name for alias in node.names]
            if node.module == "osler":
                yield from (Import(f"osler.{name}", [], place) for name in names)
            else:
                yield Import(node.module or "", names, place)


def package_of(module: str) -> str | None:
    """The package, or module, of osler that a dotted name is in; None for another library."""
    first, _, rest = module.partition(".")
    return rest.split(".")[0] if first == "osler" and rest else None


def exported(package: str) -> set[str]:
    tree = ast.parse((SRC / package / "__init__.py").read_text(encoding="utf-8"))
    lists = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets)
    ]
    return set(ast.literal_eval(lists[0])) if lists else set()


def upwards(package: str, files: Iterator[Path]) -> list[str]:
    found = []
    for path in files:
        for used in imports(path):
            other = package_of(used.module)
            if other and other != package and LEVEL[other] >= LEVEL[package]:
                found.append(f"{used.place}: {package} imports {other}")
    return found


def test_every_package_has_a_layer() -> None:
    assert set(PACKAGES) | {"errors"} == set(LEVEL)
    assert {path.name for path in SRC.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(
        PACKAGES
    ) | APART


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_downwards(package: str) -> None:
    found = upwards(package, (SRC / package).rglob("*.py"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("from osler.training import train", "runs imports training"),
        ("def f():\n    from osler.tasks import Case", "runs imports tasks"),
        ("import osler.models.loading", "runs imports models"),
        ("if TYPE_CHECKING:\n    from osler import publishing", "runs imports publishing"),
        ("from osler.recipe import Recipe", None),
    ],
)
def test_the_test_sees_an_import_upwards_or_sideways(code: str, fault: str | None, tmp_path: Path) -> None:
    (tmp_path / "made_up.py").write_text(code)
    found = upwards("runs", iter([tmp_path / "made_up.py"]))
    assert (fault in found[0] and "made_up.py:" in found[0]) if fault else not found


@pytest.mark.parametrize("package", [*PACKAGES, "scripts", "benchmarks"])
def test_only_what_a_package_exports_is_used_by_others(package: str) -> None:
    folder = SRC / package if package in PACKAGES else ROOT / package
    found = []
    for path in folder.rglob("*.py"):
        for used in imports(path):
            other = package_of(used.module)
            if other in (None, "errors", package):
                continue
            allowed = exported(other)
            for name in used.names or [used.module]:
                if used.module != f"osler.{other}" or name not in allowed:
                    found.append(f"{used.place}: osler.{other} does not export {used.module}.{name}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_for_and_has_no_circle(package: str) -> None:
    assert ast.get_docstring(ast.parse((SRC / package / "__init__.py").read_text(encoding="utf-8")))
    modules = {
        ".".join(path.relative_to(SRC.parent).with_suffix("").parts): path for path in (SRC / package).rglob("*.py")
    }
    graph = {
        name: {
            module
            for used in imports(path)
            for module in (used.module, *(f"{used.module}.{of}" for of in used.names))
            if module in modules and module != name
        }
        for name, path in modules.items()
        if path.name != "__init__.py"
    }
    while leaves := [name for name, below in graph.items() if not below & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"these import one another: {sorted(graph)}"


@pytest.mark.parametrize("test", sorted((ROOT / "tests").rglob("*/test_*.py")), ids=lambda path: path.stem)
def test_tests_stand_where_what_they_test_stands(test: Path) -> None:
    folder, module = test.parent.relative_to(ROOT / "tests"), test.stem.removeprefix("test_")
    places = [SRC / folder / f"{module}.py", ROOT / folder / f"{module}.py", SRC / folder / module]
    assert any(place.exists() for place in places) or folder.name == module, f"{test} tests no module of its name"


def test_no_module_and_no_package_has_become_a_drawer() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SRC.rglob("*.py")}
    long = [f"{path}: {n} lines" for path, n in lines.items() if n > 400]
    long += [
        f"{path}: {n} lines"
        for path in (ROOT / "scripts").glob("*.py")
        if (n := len(path.read_text().splitlines())) > 100
    ]
    for folder in {path.parent for path in lines}:
        if (total := sum(n for path, n in lines.items() if path.parent == folder)) > 3000:
            long.append(f"{folder}: {total} lines")
    assert not long, "\n".join(long)
