"""What must hold before a run is published: one function a check, each naming the place, the value and the way out.

The checks of the run need no publication, and are made before one is built; those of the files are of the folder as it
would be uploaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from osler.errors import InputError
from osler.publishing.file_checks import identifiers, secrets, weights
from osler.publishing.run_checks import (
    contamination,
    decision,
    evaluation,
    git,
    licences,
    manifest,
    parity,
    pins,
    same_recipe,
    splits,
)
from osler.recipe import Recipe
from osler.runs import Run


@dataclass(frozen=True)
class FailedCheck:
    """Why a run may not be published: the check that says so, and one line."""

    check: str
    text: str


def check(run: Run, folder: Path) -> list[FailedCheck]:
    """All checks, of the run and of the ``folder`` that was built of it."""
    return [*check_run(run), *check_files(run, folder)]


def check_run(run: Run) -> list[FailedCheck]:
    """The checks that need no publication. Raises :class:`InputError` where the folder is no finished run."""
    recipe = run.recipe()
    if not run.finished:
        raise InputError(f"{run.manifest_path}: is missing: training is not finished; run scripts/train.py again")
    return [problem for name, of_run in OF_RUN.items() for problem in _problems(name, of_run(run, recipe))]


def check_files(run: Run, folder: Path) -> list[FailedCheck]:
    """The checks of what would be uploaded."""
    recipe = run.recipe()
    return [problem for name, of_files in OF_FILES.items() for problem in _problems(name, of_files(folder, recipe))]


def read_allowed(pairs: Sequence[str]) -> dict[str, str]:
    """``CHECK=REASON`` … as a mapping.

    Raises:
        InputError: no such check, no reason, one twice, or one of those that nothing allows.
    """
    allowed: dict[str, str] = {}
    for pair in pairs:
        name, equals, reason = (part.strip() for part in pair.partition("="))
        if name not in CHECKS:
            close = difflib.get_close_matches(name, CHECKS, n=1, cutoff=0.3)
            hint = f"did you mean {close[0]}?" if close else f"checks: {', '.join(CHECKS)}"
            raise InputError(f"--allow {pair!r}: no check is called {name!r}; {hint}")
        if name in NEVER:
            raise InputError(f"--allow {name}: nothing allows that: {NEVER[name]}")
        if not equals or not reason:
            raise InputError(f"--allow {name}: says no reason, which readers of the card will ask for: {name}=REASON")
        if name in allowed:
            raise InputError(f"--allow {name}: there twice; give one reason")
        allowed[name] = reason
    return allowed


def table(problems: Sequence[FailedCheck], allowed: Mapping[str, str], built: bool) -> str:
    """Each check as passed, allowed or a problem, with its faults; those of files are only made once they are built."""
    lines = []
    for name in CHECKS:
        faults = [problem.text for problem in problems if problem.check == name]
        state = "not checked" if name in OF_FILES and not built else "passed"
        if faults:
            state = f"allowed: {allowed[name]}" if name in allowed else "PROBLEM"
        lines += [f"{name:<14} {state}", *(f"    {fault}" for fault in faults)]
    return "\n".join(lines) + "\n"


def _problems(name: str, texts: Sequence[str]) -> list[FailedCheck]:
    return [FailedCheck(name, text) for text in texts]


OF_RUN: Mapping[str, Callable[[Run, Recipe], list[str]]] = {
    "manifest": manifest,
    "evaluation": evaluation,
    "splits": splits,
    "git": git,
    "recipe": same_recipe,
    "pins": pins,
    "parity": parity,
    "contamination": contamination,
    "licence": licences,
    "decision": decision,
}
OF_FILES: Mapping[str, Callable[[Path, Recipe], list[str]]] = {
    "weights": weights,
    "secrets": secrets,
    "identifiers": identifiers,
}
CHECKS = (*OF_RUN, *OF_FILES)
NEVER = {
    "manifest": "a number without one cannot be published",
    "evaluation": "the numbers in the card would be those of another model",
    "decision": "a successor is published when a person has signed for it, and a refusal stays one",
    "secrets": "whoever reads the files can use them",
    "weights": "a pickle runs code where it is loaded",
}
UNBUILT = ("manifest", "evaluation")  # where one of these fails, there is nothing to build a publication of
