"""Champion against challenger: both models asked the same cases, and a decision that somebody signs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from osler.errors import InputError
from osler.governance import Ledger
from osler.recipe import Recipe, find_tasks
from osler.runs import (
    Calibration,
    Prediction,
    Run,
    SplitOverlap,
    check_prompt,
    mismatches,
    read_predictions,
    tuned_name,
)
from osler.storage import model_fingerprint, read_model, sha256_file, write_model
from osler.succession.decision import Decision, Plan
from osler.succession.gate import NEW, TEST, Answered, Contest, judge
from osler.succession.planning import PLAN, contestant, tested_split
from osler.tasks import Case

DECISION = "decision.json"


def decide(champion: Run, challenger: Run, plan: Plan, output: Path) -> Decision:
    """Ask the champion what the challenger was asked, hold both against the plan's rules, and write ``decision.json``.

    One that a person has signed stays as it is.

    Raises :class:`InputError` where one of the two is not what its records say, or the challenger is not evaluated; or
    another challenger was signed for.
    """
    if (output / DECISION).is_file() and read_model(output / DECISION, Decision).signed_by is not None:
        return signed(challenger)[0]
    recipes = champion.recipe(), challenger.recipe()
    sides = contestant(champion, recipes[0]), contestant(challenger, recipes[1])
    if sides[0].weights_sha256 != plan.champion.weights_sha256:
        raise InputError(f"{champion.folder}: its weights are not those that {output / PLAN} was made for; plan anew")
    for run, recipe in zip((champion, challenger), recipes, strict=True):
        if not run.results_path().is_file():
            raise InputError(f"{run.results_path()}: is not there; run scripts/evaluate.py {run.folder}")
        for mismatch in mismatches(run, recipe):
            raise InputError(f"{run.folder}/{mismatch}: bring that one back, or train and evaluate again")
    from osler.tasks import load_task

    task = load_task(find_tasks(challenger.folder) / plan.task)
    cases = {split: task.source.split(split) for split in (TEST, NEW)}
    theirs = _ask(champion, recipes[0], cases, output / "champion")
    ours = {split: challenger.prediction_path(plan.task, split, tuned_name(recipes[1])) for split in cases}
    report, before = challenger.read_data_report().contamination, champion.read_data_report().contamination
    fitted = _calibration(champion, recipes[0]), _calibration(challenger, recipes[1])
    names = champion.read_panel().labels
    contests = {
        split: Contest(
            Answered([_named(row, names) for row in _read(theirs[split])], fitted[0]),
            Answered(_read(ours[split]), fitted[1]),
            plan.cases_sha256[split],
            _seen(report.splits.get(split)),
            _seen(before.splits.get(tested_split(champion, recipes[0]))) if split == TEST else 0,
        )
        for split in cases
    }
    checks = judge(contests, plan.rules)
    failed = [check for check in checks if not check.passed]
    decision = Decision(
        schema=1,
        champion=sides[0],
        challenger=sides[1],
        task=plan.task,
        task_version=plan.task_version,
        rules=plan.rules,
        plan_sha256=sha256_file(output / PLAN),
        checks=tuple(checks),
        accepted=not failed,
        reason="; ".join(f"{check.name}: {check.found}" for check in failed) or None,
        predictions_sha256={path.name: sha256_file(path) for path in (*theirs.values(), *ours.values())},
        decided_at=datetime.now(timezone.utc),
    )
    write_model(output / DECISION, decision)
    return decision


def sign(output: Path, by: str, ledger: Ledger) -> Decision:
    """Put a person's name under an accepted decision, here and in the ledger.

    Raises :class:`InputError` where there is no decision, it is a refusal, it is signed already, the plan has changed
    since, or the challenger is no longer the model that was judged.
    """
    path = output / DECISION
    if not path.is_file():
        raise InputError(f"{path}: is not there: nothing was decided yet")
    decision = read_model(path, Decision)
    if not by.strip():
        raise InputError("name the person who answers for it")
    if not decision.accepted:
        raise InputError(f"{path}: the successor was refused, and a refusal cannot be signed away: {decision.reason}")
    if decision.signed_by is not None:
        raise InputError(f"{path}: {decision.signed_by} has signed it already")
    if sha256_file(output / PLAN) != decision.plan_sha256:
        raise InputError(f"{output / PLAN}: has changed since it was decided upon; plan, train and decide anew")
    run = Run(Path(decision.challenger.run))
    if contestant(run, run.recipe()).weights_sha256 != decision.challenger.weights_sha256:
        raise InputError(f"{run.folder}: its weights are not those that were judged; decide anew")
    entry = ledger.append(
        "decision",
        f"{decision.challenger.name}@{decision.challenger.version}",
        {
            "champion": decision.champion.model_dump(),
            "challenger": decision.challenger.model_dump(),
            "plan_sha256": decision.plan_sha256,
            "decision_sha256": sha256_file(path),
        },
        by=by,
    )
    told = {"signed_by": by, "signed_at": entry.at, "ledger_head": entry.sha256}
    signed = decision.model_copy(update=told | {"ledger": os.path.relpath(ledger.path, output)})
    write_model(path, signed)
    return signed


def next_steps(challenger: Run, folder: Path) -> str:
    """The commands that serve and publish a signed successor; ``folder`` is that of the runs."""
    run = shlex.quote(str(challenger.folder))
    merge = [] if challenger.recipe().lora is None else [f"scripts/evaluate.py {run} --merged"]
    commands = [f"scripts/serve.py {shlex.quote(str(folder))}", *merge]
    commands += [f"scripts/publish.py {run} --repo-id USER/NAME --push"]
    return "\n".join(["next:", *(f"  python {command}" for command in commands)])


def is_successor(run: Run) -> bool:
    """Whether ``run`` is one that a plan was made for."""
    return (run.folder.parent / PLAN).is_file()


def signed(run: Run) -> tuple[Decision, Ledger]:
    """The decision that a person signed for the successor ``run``, and the ledger that has the signature.

    Raises :class:`InputError` where there is none, it is a refusal, nobody signed it, it is of another plan or other
    weights, or the ledger does not have it.
    """
    folder = run.folder.parent
    path = folder / DECISION
    if not path.is_file():
        raise InputError(f"{path}: is not there: it is a successor, and nothing was decided yet; run scripts/update.py")
    decision = read_model(path, Decision)
    if not decision.accepted:
        raise InputError(f"{path}: the successor was refused: {decision.reason}")
    if decision.signed_by is None or decision.ledger is None:
        raise InputError(f"{path}: nobody has signed it; scripts/update.py --output {folder} --sign NAME")
    if sha256_file(folder / PLAN) != decision.plan_sha256:
        raise InputError(f"{folder / PLAN}: has changed since it was decided upon; plan, train and decide anew")
    if model_fingerprint(run.adapter_path) != decision.challenger.weights_sha256:
        raise InputError(f"{run.adapter_path}: not the weights that {path} was signed for; decide and sign anew")
    ledger = Ledger(folder / decision.ledger)
    entry = next((entry for entry in ledger.entries() if entry.sha256 == decision.ledger_head), None)
    judged = (decision.challenger.model_dump(), decision.signed_by)
    if entry is None or entry.kind != "decision" or (entry.content.get("challenger"), entry.by) != judged:
        raise InputError(f"{path}: its signature is no entry of {ledger.path}; bring the ledger back, or decide anew")
    return decision, ledger


def render(decision: Decision) -> str:
    """For a terminal: a line a check, and what follows."""
    lines = [f"{'ok     ' if check.passed else 'REFUSED'} {check.name}: {check.found}" for check in decision.checks]
    ours, theirs = (f"{side.name}@{side.version}" for side in (decision.challenger, decision.champion))
    if decision.accepted:
        lines.append(f"{ours} may take the place of {theirs}, once somebody signs: --sign NAME")
    else:
        lines.append(f"{ours} is refused; {theirs} stays")
    return "\n".join(lines)


def _ask(champion: Run, recipe: Recipe, cases: Mapping[str, list[Case]], folder: Path) -> dict[str, Path]:
    """The champion's answers to each split, one file each; those that are there are kept."""
    paths = {split: folder / f"champion-{split}.jsonl" for split in cases}
    missing = {split: path for split, path in paths.items() if not path.is_file()}
    if missing:
        from osler.evaluation import prediction
        from osler.tasks import load_to_ask

        task = load_to_ask(
            find_tasks(champion.folder) / recipe.task.name, recipe.task.panel, champion.read_panel().labels
        )
        check_prompt(champion, champion.read_manifest(), task.name, task.prompt.sha256)
        model = prediction.language_model(tuned_name(recipe), recipe, task, prediction.run_models(champion, recipe))
        folder.mkdir(parents=True, exist_ok=True)
        for split, path in missing.items():
            model.answer(cases[split], split, path)
    return paths


def _read(path: Path) -> list[Prediction]:
    """Answers in the order of their cases' ids."""
    if not path.is_file():
        raise InputError(f"{path}: is not there; run scripts/evaluate.py on the successor")
    return sorted(read_predictions(path), key=lambda row: row.case_id)


def _named(row: Prediction, names: Mapping[str, str]) -> Prediction:
    """``row`` with the names of its labels in place of their ids."""
    return replace(row, ranked=tuple(names.get(label, label) for label in row.ranked))


def _calibration(run: Run, recipe: Recipe) -> Calibration:
    """What its evaluation fitted; nothing where none did."""
    return run.read_results().calibration(recipe.task.name, tuned_name(recipe)) or Calibration()


def _seen(overlap: SplitOverlap | None) -> int:
    """How many cases of a split stand in the training rows, beyond doubt."""
    if overlap is None:
        return 0
    publications = overlap.publications.cases if overlap.publications else 0
    return max(overlap.exact.cases, overlap.normalised.cases, publications)
