#!/usr/bin/env python3
"""Publish a run on the Hub: adapter, merged model, evidence and model card, checked, as one version.

scripts/publish.py RUN --repo-id USER/NAME           builds RUN/publication, checks it, and sends nothing anywhere
scripts/publish.py RUN --repo-id USER/NAME --push    stages it, tries what can be downloaded, then publishes and tags it
… --space                                            also makes RUN/space: a page and an endpoint that ask it

about.yaml says what only the author knows: intended users, contact, funding … The rest of the card is from the run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.governance import project_ledger
from osler.recipe import find_tasks
from osler.runs import Run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory, evaluated with scripts/evaluate.py RUN --merged")
    parser.add_argument("--repo-id", required=True, metavar="USER/NAME", help="of the model on the Hub")
    parser.add_argument("--about", type=Path, metavar="about.yaml", help="what only the author knows, for the card")
    allow = "let a check pass; the reason lands in the card (repeatable)"
    parser.add_argument("--allow", action="append", default=[], metavar="CHECK=REASON", help=allow)
    parser.add_argument("--space", action="store_true", help="also make a Gradio Space of the same name, for a try")
    parser.add_argument("--push", action="store_true", help="publish; without it, only show what would be")
    arguments = parser.parse_args()
    # Here, because they take seconds, and --help needs none of them.
    from osler.publishing import card, checks, folder, release, space
    from osler.reproduction import rescoring
    from osler.storage import hub
    from osler.succession import deciding

    run, repo_id = Run(arguments.run), arguments.repo_id
    recipe = run.recipe()
    allowed, about = checks.read_allowed(arguments.allow), card.read_about(arguments.about)
    if arguments.space:
        space.check(run)
    if arguments.push:
        hub.check_access(repo_id)  # before anything else takes time
    else:
        hub.check_id(repo_id)

    no_space = ", nor its Space" if arguments.space else ""
    publication = run.folder / "publication"
    problems = checks.check_run(run)
    built = not {problem.check for problem in problems} & set(checks.UNBUILT)
    if built:
        needed = {problem.check for problem in problems}.union(checks.OF_FILES)
        reasons = {check: reason for check, reason in allowed.items() if check in needed}
        files = folder.build(run, publication, repo_id, about, reasons)
        problems += checks.check_files(run, publication)
        print(folder.listing(publication, files))
    print(checks.table(problems, allowed, built))
    failed = {problem.check for problem in problems} - set(allowed)
    if built:
        for check in set(allowed) - {problem.check for problem in problems}:
            raise InputError(f"--allow {check}: the check passes, so there is nothing to allow; leave it out")
    if failed:
        print(f"not published{no_space}: {', '.join(check for check in checks.CHECKS if check in failed)} failed")
        return 1
    tag, private = f"v{recipe.version}", recipe.publish.private
    if arguments.space:
        print(f"space: {space.build(run.folder / 'space', repo_id, tag)}")
    if not arguments.push:
        print("nothing was sent; --push publishes it")
        return 0
    task = find_tasks(recipe.path) / recipe.task.name
    try:
        url = release.publish(publication, repo_id, tag, private, lambda copy: rescoring.verify(copy, task))
    except rescoring.Differs as difference:
        print(f"not published{no_space}: {difference}")
        return 1
    print(url)
    successor = deciding.is_successor(run)
    if (ledger := deciding.signed(run)[1] if successor else project_ledger(task.parents[1])) is not None:
        of = {"url": url, "weights_sha256": run.read_manifest().adapter_sha256}
        ledger.append("published", f"{recipe.name}@{recipe.version}", of)
    if arguments.space:
        print(space.publish(run.folder / "space", repo_id, tag, private))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
