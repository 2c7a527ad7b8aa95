#!/usr/bin/env python3
"""Delete answers of a store: when their time is up, or because a patient asks for it.

python scripts/forget.py answers.db --before 2026-06-01               # answers with their verdicts
python scripts/forget.py answers.db --before 2026-11-01 --texts-only  # only texts and comments; the numbers stay
python scripts/forget.py answers.db --patient ID --text note.txt      # of these patients, and to these very texts

Of a SQLite file the bytes are gone, too. A ledger.jsonl here gets an entry with how many. Backups, exported rows, and
tasks and models that learnt from them (scripts/update.py) are yours to delete.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import exit_status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", metavar="STORE", help="a file, or postgresql://USER@HOST/DATABASE")
    parser.add_argument("--before", metavar="DATE", help="given before then, such as 2026-06-01")
    parser.add_argument("--patient", nargs="+", default=[], metavar="ID", help="about these patients, by the ids sent")
    parser.add_argument("--text", nargs="+", default=[], type=Path, metavar="FILE", help="to the text in each file")
    parser.add_argument("--texts-only", action="store_true", help="keep answers and verdicts, without texts")
    arguments = parser.parse_args()
    from osler.feedback import forgetting, store  # heavy: --help need not wait for it
    from osler.governance import project_ledger

    texts = [path.read_text(encoding="utf-8") for path in arguments.text]
    before, opened = store.moment("--before", arguments.before), store.open_store(arguments.store)
    gone = forgetting.forget(opened, before, arguments.patient, texts, arguments.texts_only)
    if arguments.texts_only:
        print(f"{opened.place}: {gone.answers:,} texts and {gone.verdicts:,} comments are gone")
    else:
        print(f"{opened.place}: {gone.answers:,} answers and {gone.verdicts:,} verdicts are gone")
    if (ledger := project_ledger(Path())) is not None:
        what = {"before": arguments.before or "", "patients": len(arguments.patient), "texts": len(texts)}
        what |= {"texts_only": arguments.texts_only, "answers": gone.answers, "verdicts": gone.verdicts}
        ledger.append("data", f"deleted from store {opened.id}", what)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
