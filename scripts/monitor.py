#!/usr/bin/env python3
"""Look at what a model in use was asked and answered: drift, accuracy without labels, verdicts, subgroups; alarms.

scripts/monitor.py RUN --store answers.db
scripts/monitor.py RUN --store answers.db --swaps
scripts/monitor.py RUN --store postgresql://… --since 2026-11-01 --output report.html

Compares with the run's own evaluation. Beside report.html it writes report.json (the same, for programs), report.txt
(an e-mail; nothing is sent) and report.prom (for Prometheus' textfile collector). Exit status: 0 no alarm, 1 an alarm,
2 the input is wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the evaluated run directory of the model")
    parser.add_argument("--store", required=True, metavar="URL", help="what scripts/serve.py --store keeps")
    parser.add_argument("--swaps", action="store_true", help="also ask the kept texts with sex and age exchanged")
    parser.add_argument("--since", metavar="DATE", help="only cases from then on, such as 2026-11-01")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report to this .html, and the others")
    arguments = parser.parse_args()
    if arguments.output is not None and arguments.output.suffix != ".html":
        raise InputError(f"--output {arguments.output}: the report is a page; name a file that ends in .html")
    from osler.feedback import store as stores  # heavy, as is what follows: --help need not wait for them
    from osler.monitoring import Watch, lines, write
    from osler.runs import Run

    store, since = stores.open_store(arguments.store), stores.moment("--since", arguments.since)
    watch = Watch(Run(arguments.run))
    predictions = list(store.predictions(since=since, shown=True))
    verdicts = [verdict for _, of in store.judged(since=since) for verdict in of]
    swapped = None
    if arguments.swaps:
        from osler.evaluation import stream  # loads the model

        swapped = stream.swaps(Run(arguments.run), watch.answered(predictions), verdicts)
    report = watch.report(predictions, verdicts, swapped)
    if arguments.output is not None:
        write(arguments.output, report)
    print("\n".join(lines(report)))
    return 1 if report.alarms else 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
