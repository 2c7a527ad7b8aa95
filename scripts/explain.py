#!/usr/bin/env python3
"""Why a run answers a text as it does; or how faithful such explanations are, on a held-out split.

python scripts/explain.py runs/<name>/<version> --text "A tall boy with a dislocated lens."
python scripts/explain.py runs/<name>/<version> --text "…" --gradients --output answer.html
python scripts/explain.py runs/<name>/<version> --faithfulness --split validation [--limit N]

It explains the model, not the patient. --faithfulness writes explanation.json into the run; report.html and the model
card show it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run directory, or USER/NAME@vX on the Hub")
    parser.add_argument("--text", help="what is asked")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many diagnoses (default: %(default)s)")
    parser.add_argument("--units", type=int, metavar="N", help="leave out N stretches at most (default: 24)")
    parser.add_argument("--gradients", action="store_true", help="also integrated gradients of every token")
    parser.add_argument("--training", action="store_true", help="also the nearest training rows, where they are texts")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.add_argument("--output", type=Path, metavar="PAGE", help="write a page with the same, too")
    parser.add_argument("--faithfulness", action="store_true", help="measure it on a held-out split instead")
    parser.add_argument("--split", default="validation", help="with --faithfulness (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="with --faithfulness: only the first N cases")
    parser.add_argument("--no-gradients", action="store_true", help="with --faithfulness: ablation alone")
    arguments = parser.parse_args()
    if (arguments.text is None) == (not arguments.faithfulness):
        raise InputError("name either --text or --faithfulness")
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit}: at least 1")
    if arguments.units is not None and arguments.units < 2:
        raise InputError(f"--units {arguments.units}: at least 2")
    from osler.ranking import check_page  # heavy, as is what follows: --help need not wait for it
    from osler.serving import explained, load_models
    from osler.storage import write_atomically

    if arguments.faithfulness:
        print(explained.measure(arguments.run, arguments.split, arguments.limit, not arguments.no_gradients))
        return 0
    if arguments.output:
        check_page(arguments.output, "--output")
    (model,) = load_models([arguments.run]).values()
    answer = explained.explained_answer(
        model, arguments.text, arguments.top, arguments.units, arguments.gradients, arguments.training
    )
    if arguments.output:
        write_atomically(arguments.output, explained.render_explained_page(arguments.text, answer))
    print(answer.model_dump_json(indent=2) if arguments.json else explained.render_explained(arguments.text, answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
