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

from osler.errors import FailedError, InputError, exit_status


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

    texts = [reading for path in arguments.text for reading in readings(path)]
    before, opened = store.moment("--before", arguments.before), store.open_store(arguments.store)
    gone = forgetting.forget(opened, before, arguments.patient, texts, arguments.texts_only)
    if arguments.texts_only:
        print(f"{opened.place}: {gone.answers:,} texts and {gone.verdicts:,} comments are gone")
    else:
        print(f"{opened.place}: {gone.answers:,} answers and {gone.verdicts:,} verdicts are gone")
    if (ledger := project_ledger(Path())) is not None:
        what = {"before": arguments.before or "", "patients": len(arguments.patient), "texts": len(arguments.text)}
        what |= {"texts_only": arguments.texts_only, "answers": gone.answers, "verdicts": gone.verdicts}
        ledger.append("data", f"deleted from store {opened.id}", what)
    if not gone.answers and (arguments.patient or arguments.text):
        raise FailedError(
            f"{opened.place}: nothing was found to delete; is the id, or the text, the very one that was sent,"
            " and to this store? Rows that were brought in from another one have its hashes"
        )
    return 0


def readings(path: Path) -> set[str]:
    """What a file may be the copy of: an editor adds a last line's end, and has line ends of its own."""
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InputError(f"--text {path}: not UTF-8; save it so") from None
    return {one.replace("\n", end) for one in (text, text.removesuffix("\n")) for end in ("\n", "\r\n")}


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
