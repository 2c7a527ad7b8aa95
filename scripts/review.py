#!/usr/bin/env python3
"""Let experts judge what a model answered: a page on this machine, and a summary of what they said.

python scripts/review.py answers.db --rater ada bo --adjudicator cy   # http://127.0.0.1:8001
python scripts/review.py answers.db --rater ada --texts notes.csv     # columns id and text, where the store has none
python scripts/review.py answers.db --summary review.html             # agreement, codes, ratings; or review.pdf
python scripts/review.py answers.db --export rows.jsonl               # all answers and verdicts, with their origin

STORE is what scripts/serve.py --store was given: a file, or postgresql://USER@HOST/DATABASE. Raters say what they think
before they see the model's answer, and do not see each other's. --adjudicator settles what they disagree on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", metavar="STORE", help="a file, or postgresql://USER@HOST/DATABASE")
    parser.add_argument("--rater", nargs="+", default=[], metavar="NAME", help="who judges, each on their own")
    parser.add_argument("--adjudicator", metavar="NAME", help="who settles what the raters disagree on")
    parser.add_argument(
        "--order", choices=("unsure", "random"), default="unsure", help="lowest confidence first, or drawn"
    )
    parser.add_argument("--texts", type=Path, metavar="FILE", help="texts to show and not to keep: columns id and text")
    parser.add_argument("--port", type=int, default=8001, help="0 for a free one (default: %(default)s)")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write what was said to FILE.html or FILE.pdf")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write all rows as JSON lines")
    parser.add_argument("--import", type=Path, metavar="FILE", dest="rows", help="keep the rows of such a file first")
    arguments = parser.parse_args()
    reviewing = bool(arguments.rater or arguments.adjudicator)
    if not (reviewing or arguments.summary or arguments.export or arguments.rows):
        raise InputError("name who judges (--rater NAME …), or --summary, --export or --import FILE")
    from osler.feedback import rows, store  # heavy: --help need not wait for it

    opened = store.open_store(arguments.store, create=arguments.rows is not None)
    if arguments.rows:
        predictions, verdicts = rows.read_rows(opened, arguments.rows)
        print(f"{arguments.store}: {predictions:,} predictions and {verdicts:,} verdicts that were not there yet")
    if arguments.export:
        predictions, verdicts = rows.write_rows(opened, arguments.export)
        print(f"{arguments.export}: {predictions:,} predictions, {verdicts:,} verdicts")
    if arguments.summary:
        from osler.review import write_summary

        write_summary(opened, arguments.summary)
        print(arguments.summary)
    if not reviewing:
        return 0
    from osler.review import open_review, read_texts

    texts = read_texts(arguments.texts) if arguments.texts else {}
    return open_review(opened, arguments.rater, arguments.adjudicator, arguments.order, texts, arguments.port)


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
