"""A page of docs/ followed to the letter: its files written, its commands run, in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import project
import yaml
from project import ROOT

from osler.recipe.sections import BaseSection

SCRIPT = re.compile(r"python scripts/(\w+)\.py(?: (.*))?")
EXPORT = re.compile(r"export (\w+)=(\S+)")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
COPIED = ("src", "scripts", "recipes", "tasks", "accelerate_configs", "docs", "README.md", "tests/hospital.py")


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """(language, file name or "", content) of each fenced block of a page."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found[1], found[2] or "", found[3]


def copy_checkout(folder: Path) -> Path:
    """What the commands need, in ``folder``: nothing they write lands in the real checkout."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder


def follow(
    page: Path,
    checkout: Path,
    environment: Mapping[str, str] | None = None,
    before: Callable[[str], str] = lambda commands: commands,
) -> str:
    """Write the page's files and run its commands, in order, in ``checkout``; returns all they printed.

    ``before`` may change the commands of a block, or what lies in the checkout, before they are run.
    """
    printed = ""
    for language, name, content in blocks(page):
        if language == "diff":
            patch(checkout / name, content)
        elif name:
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_text(content, encoding="utf-8")
        elif language == "bash":
            variables = dict(environment or {})
            for command in re.sub(r"\\\n\s*", "", before(content)).splitlines():
                if exported := EXPORT.fullmatch(command):
                    variables[exported[1]] = exported[2].replace("$PWD", str(checkout))
                    continue
                done = run(command, checkout, variables)
                assert done.returncode == 0, f"{page.name}:\n{command}\n{done.stdout}\n{done.stderr}"
                printed += done.stdout
    return printed


def run(command: str, checkout: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one line in ``checkout``: a script of ours from a process that has imported torch, all else by bash.

    What asks the Hub needs a process that has not imported huggingface_hub, which reads its environment once.
    """
    if (ours := SCRIPT.fullmatch(command)) and "jane/" not in command:
        arguments: list[str | Path] = []
        for argument in shlex.split(ours[2] or ""):
            arguments += sorted(checkout.glob(argument)) if "*" in argument else [argument]
        return project.script(checkout, ours[1], *arguments, source=checkout, **variables)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=checkout,
        env={**project.environment(checkout), **variables, "PYTHONPATH": str(checkout / "src"), "PATH": path},
        capture_output=True,
        text=True,
        timeout=280,
    )


def patch(path: Path, diff: str) -> None:
    """Apply a block of a unified diff, found by the lines it shows."""
    lines = diff.splitlines(keepends=True)
    was, now = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    text = path.read_text(encoding="utf-8")
    assert text.count(was) == 1, f"{path}: no such place:\n{was}"
    path.write_text(text.replace(was, now), encoding="utf-8")


def shrink(recipe: Path, tiny: BaseSection) -> None:
    """Put the tiny base into a recipe, and two steps: what is tested is the page, not the model."""
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    content["base"] = {"model": tiny.model, "revision": None, "dtype": "float32", "attn_implementation": "eager"}
    content["train"] |= {"max_steps": 2, "save_strategy": "no", "max_length": 512, "warmup_steps": 0}
    content["evaluation"] |= {"baselines": ["majority", "tfidf_svm"], "resamples": 50}
    recipe.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
