#!/usr/bin/env python3
"""The ledger of a project's models, data and decisions: kept so that nobody can change an entry without its showing.

python scripts/audit.py start                    # begin ledger.jsonl here, beside tasks/; train, publish, update add
python scripts/audit.py verify [--head SHA256]   # is it as it was written? --head: the hash in a decision.json
python scripts/audit.py show                     # a line an entry
python scripts/audit.py sheets                   # Markdown: every model with its data, figures and decisions
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.governance import LEDGER, Ledger, render_entries, render_sheets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["start", "verify", "show", "sheets"])
    parser.add_argument("--ledger", type=Path, default=Path(LEDGER), help="the file (default: %(default)s)")
    parser.add_argument("--head", metavar="SHA256", help="of verify: the hash of an entry that must be in it")
    arguments = parser.parse_args()
    ledger = Ledger(arguments.ledger)
    if arguments.command == "start":
        if arguments.ledger.exists():
            raise InputError(f"{arguments.ledger}: is there already")
        ledger.append("started", arguments.ledger.resolve().parent.name, {})
        print(f"{arguments.ledger}: started")
        return 0
    if not arguments.ledger.is_file():
        raise InputError(
            f"{arguments.ledger}: is not there; scripts/audit.py start begins one, or name it with --ledger"
        )
    if arguments.command == "verify":
        n, head = ledger.verify(arguments.head)
        entries = "1 entry, as it was" if n == 1 else f"{n:,} entries, as they were"
        print(f"{arguments.ledger}: {entries} written. Note the last one's hash elsewhere: {head}")
    else:
        print((render_entries if arguments.command == "show" else render_sheets)(ledger.entries()))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
