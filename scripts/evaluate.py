#!/usr/bin/env python3
"""Score a run on its held-out splits, or prediction files without a model: results.json, and report.html beside it.

scripts/evaluate.py RUN [--benchmark TASK] [--split S]… [--limit N]
scripts/evaluate.py RUN --merged [--split S]…
scripts/evaluate.py RUN --robustness [--split S] [--limit N]
scripts/evaluate.py --predictions FILE… --output results.json [--headline SYSTEM]

`accelerate launch scripts/evaluate.py RUN` shares the cases out over several GPUs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a run directory, such as runs/<name>/<version>")
    parser.add_argument("--benchmark", metavar="TASK", help="a benchmark of tasks/ to answer instead")
    parser.add_argument("--merged", action="store_true", help="also merge the adapter into its base, and score that")
    parser.add_argument("--robustness", action="store_true", help="instead, perturb the cases of its first split")
    parser.add_argument("--split", action="append", help="only this split (repeatable; default: the recipe's)")
    parser.add_argument("--limit", type=int, help="only the first N cases of each split; no results.json of the run")
    parser.add_argument("--predictions", nargs="+", type=Path, metavar="FILE", help="score files instead of a run")
    parser.add_argument("--output", type=Path, help="where --predictions writes its results")
    parser.add_argument("--headline", metavar="SYSTEM", help="of --predictions, what all others are compared with")
    arguments = parser.parse_args()
    if (arguments.run is None) == (arguments.predictions is None):
        raise InputError("name either a run directory or --predictions FILE…")
    if arguments.run and (arguments.output or arguments.headline):
        raise InputError("--output and --headline are for --predictions; the results of a run are written into it")
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: at least 1")
    if arguments.predictions:
        if arguments.output is None:
            raise InputError("--predictions needs --output results.json")
        for option in ("benchmark", "merged", "robustness", "split", "limit"):
            if getattr(arguments, option):
                raise InputError(f"--{option} is for a run; --predictions scores all that is in its files")
        from osler.evaluation import (  # heavy, as is what follows: --help need not wait for them
            report,
            results,
            summary,
        )

        report.check_output(arguments.output, arguments.predictions)
        scored = results.score(arguments.predictions, arguments.output, compared=arguments.headline)
        report.write(arguments.output, scored, arguments.predictions)
        print(summary.render_table(scored))
        if headline := next((record.comparisons[0].a for record in scored.records if record.comparisons), None):
            way_out = "" if arguments.headline else "; choose another with --headline SYSTEM"
            print(f"the others are compared with {headline}{way_out}")
        return 0
    if arguments.robustness and (arguments.benchmark or len(arguments.split or []) > 1):
        raise InputError("--robustness is of one split of the recipe's own task")
    if arguments.merged and (arguments.benchmark or arguments.robustness or arguments.limit):
        raise InputError("--merged is of the recipe's own splits: start it by itself, or with --split")
    from osler.evaluation import evaluation
    from osler.runs import Run

    splits = list(dict.fromkeys(arguments.split)) if arguments.split else None
    run = Run(arguments.run)
    table = evaluation.evaluate(
        run, arguments.benchmark, splits, arguments.limit, arguments.robustness, arguments.merged
    )
    if table:
        print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
