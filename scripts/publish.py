#!/usr/bin/env python3
"""Publish a run on the Hub: adapter, merged model, evidence and model card, checked, as one version.

scripts/publish.py RUN --repo-id USER/NAME           builds RUN/publication, checks it, and sends nothing anywhere
scripts/publish.py RUN --repo-id USER/NAME --push    stages it, tries what can be downloaded, then publishes and tags it

about.yaml says what only the author knows: intended users, contact, funding … The rest of the card is from the run.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.publishing import FailedCheck, card, checks, release
from osler.publishing import folder as publication
from osler.recipe import find_tasks
from osler.reproduction import rescoring
from osler.runs import Run
from osler.storage import hub


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory, evaluated with scripts/evaluate.py RUN --merged")
    parser.add_argument("--repo-id", required=True, metavar="USER/NAME", help="of the model on the Hub")
    parser.add_argument("--about", type=Path, metavar="about.yaml", help="what only the author knows, for the card")
    allow = "let a check pass; the reason lands in the card"
    parser.add_argument("--allow", action="append", default=[], metavar="CHECK=REASON", help=allow)
    parser.add_argument("--push", action="store_true", help="publish; without it, only show what would be")
    arguments = parser.parse_args()

    run, repo_id = Run(arguments.run), arguments.repo_id
    recipe = run.recipe()
    allowed, about = checks.read_allowed(arguments.allow), card.read_about(arguments.about)
    if arguments.push:
        hub.check_access(repo_id)  # before anything else takes time
    else:
        hub.check_id(repo_id)

    folder = run.folder / "publication"
    problems = checks.check_run(run)
    built = not {problem.check for problem in problems} & set(checks.UNBUILT)
    if built:
        needed = {problem.check for problem in problems}.union(checks.OF_FILES)
        reasons = {check: reason for check, reason in allowed.items() if check in needed}
        files = publication.build(run, folder, repo_id, about, reasons)
        problems += checks.check_files(run, folder)
        print_files(folder, files)
    print_checks(problems, allowed, built)
    failed = {problem.check for problem in problems} - set(allowed)
    if built:
        for check in set(allowed) - {problem.check for problem in problems}:
            raise InputError(f"--allow {check}: the check passes, so there is nothing to allow; leave it out")
    if failed:
        print(f"not published: {', '.join(check for check in checks.CHECKS if check in failed)} failed")
        return 1
    if not arguments.push:
        print("nothing was sent; --push publishes it")
        return 0
    task = find_tasks(recipe.path) / recipe.task.name
    try:
        url = release.publish(
            folder, repo_id, f"v{recipe.version}", recipe.publish.private, lambda copy: rescoring.verify(copy, task)
        )
    except rescoring.Differs as difference:
        print(f"not published: {difference}")
        return 1
    print(url)
    return 0


def print_files(folder: Path, files: Sequence[publication.File]) -> None:
    """Every file with its size, and where to look at the card."""
    for file in files:
        print(f"{file.size:>13,}  {file.path}")
    print(f"{sum(file.size for file in files):>13,}  bytes in {len(files)} files\n\ncard: {folder / 'README.md'}\n")


def print_checks(problems: Sequence[FailedCheck], allowed: Mapping[str, str], built: bool) -> None:
    """Each check as passed, allowed or a problem, with what was found."""
    for check in checks.CHECKS:
        found = [problem.text for problem in problems if problem.check == check]
        skipped = check in checks.OF_FILES and not built
        state = ("allowed" if check in allowed else "PROBLEM") if found else "not checked" if skipped else "passed"
        print(f"{check:<14} {state}{f': {allowed[check]}' if state == 'allowed' else ''}")
        for text in found:
            print(f"    {text}")
    print()


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
