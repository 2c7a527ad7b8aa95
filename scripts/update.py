#!/usr/bin/env python3
"""Train a run's successor on what experts settled, hold it against the run, and refuse it where it is worse.

python scripts/update.py RUN --from STORE --output FOLDER          # plan, train, evaluate, decide; resumes
python scripts/update.py RUN --output FOLDER --sign "Dr. Ada Adler"   # take the accepted successor into use
python scripts/update.py RUN --rollback "Dr. Ada Adler"               # the version before answers again

Exit status: 0 accepted, 1 refused, 2 for an error. FOLDER/plan.json says what is asked before the training starts,
FOLDER/decision.json what came out. On several GPUs: stop after --plan, run the two commands that it prints, come back.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run in use, evaluated: runs/<name>/<version>")
    parser.add_argument("--from", dest="store", metavar="STORE", help="the database of scripts/serve.py --store")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the successor: its task, run and decision")
    parser.add_argument("--margin", type=float, default=0.05, help="by which accuracy may be lower (default: 0.05)")
    parser.add_argument("--new-margin", type=float, default=0.1, help="the same on the new cases (default: 0.1)")
    parser.add_argument("--plan", action="store_true", help="write the plan and the commands, and stop")
    parser.add_argument("--sign", metavar="NAME", help="the person who answers for the successor")
    parser.add_argument("--rollback", metavar="NAME", help="the person who answers for going back a version")
    arguments = parser.parse_args()
    from osler.governance import LEDGER, Ledger
    from osler.recipe import find_tasks
    from osler.runs import IN_USE, Run, note_model
    from osler.succession import deciding, in_use, planning, shadow

    champion, folder = Run(arguments.run), arguments.run.parent
    ledger = Ledger(find_tasks(champion.folder).parent / LEDGER)
    if arguments.rollback:
        print(f"in use: {folder / in_use.roll_back(folder, arguments.rollback, ledger).run}")
        return 0
    if arguments.output is None:
        raise InputError("name the successor's folder with --output FOLDER")
    challenger = Run(arguments.output / "run")
    if arguments.sign:
        decision = deciding.sign(arguments.output, arguments.sign, ledger)
        if not (folder / IN_USE).is_file():
            in_use.put_in_use(folder, champion, arguments.sign, ledger)
        in_use.put_in_use(folder, challenger, arguments.sign, ledger)
        print(f"signed by {decision.signed_by}; in use: {challenger.folder}")
        print(deciding.next_steps(challenger, folder))
        return 0
    answers = None
    if arguments.store is not None:
        from osler.feedback import store as stores

        answers = stores.open_store(arguments.store)
    plan = planning.read_plan(arguments.output)
    if plan is None:
        if answers is None:
            raise InputError(f"{arguments.output}: holds no plan; name the database of verdicts with --from STORE")
        from osler.succession import Rules

        rules = Rules(margin=arguments.margin, new_margin=arguments.new_margin)
        plan = planning.plan_successor(champion, answers.settled(), arguments.output, rules)
        ledger.append("data", f"{plan.task} {plan.task_version}", planning.noted(plan, answers.id))
    print(planning.render(plan))
    if arguments.plan:
        print(planning.commands(arguments.output, challenger))
        return 0
    from osler.evaluation import evaluation
    from osler.recipe import load_recipe
    from osler.training import train

    recipe = load_recipe(planning.recipe_path(arguments.output))
    if not challenger.finished:
        train(recipe, challenger)
    if not challenger.results_path().is_file():
        print(evaluation.evaluate(challenger))
    for run in (champion, challenger):
        note_model(ledger, run)
    decision = deciding.decide(champion, challenger, plan, arguments.output)
    print(deciding.render(decision))
    if answers is not None:
        print(shadow.render(shadow.compare(answers, decision.champion, decision.challenger, arguments.output)))
    return 0 if decision.accepted else 1


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
