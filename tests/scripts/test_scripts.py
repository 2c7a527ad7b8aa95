"""What is typed often comes at once: a script that only has to say how it is used imports nothing heavy."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from project import ROOT

HEAVY = {"torch", "transformers", "datasets", "scipy", "sklearn", "matplotlib", "spacy"}
# scripts/evaluate.py follows with the branch that rewrites it.
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))


def imported(code: str) -> set[str]:
    """The libraries that are imported once ``code`` has run."""
    report = "import atexit, sys\natexit.register(lambda: print('', *sys.modules, sep='\\n'))\n"
    done = subprocess.run([sys.executable, "-c", report + code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_a_library_that_is_imported_is_seen() -> None:
    assert imported("import numpy") & {"numpy", "torch"} == {"numpy"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_heavy(script: str) -> None:
    run = f"import runpy; sys.argv = ['{script}', '--help']; runpy.run_path('scripts/{script}.py', run_name='__main__')"
    assert not imported(run) & HEAVY


def test_a_run_directory_is_read_without_anything_heavy() -> None:
    assert not imported("import osler.runs") & {*HEAVY, "numpy", "pandas"}


def test_checking_every_recipe_takes_less_than_two_seconds_of_a_core() -> None:
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    subprocess.run([sys.executable, "scripts/check_recipes.py"], cwd=ROOT, capture_output=True, check=True)
    assert used() - before < 2
