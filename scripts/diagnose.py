#!/usr/bin/env python3
"""Diagnoses for a patient's text, with probabilities: among a run's labels, or among all Mendelian diseases of OMIM.

python scripts/diagnose.py runs/<name>/<version> --text "A tall boy with a dislocated lens."
python scripts/diagnose.py USER/NAME@v1.0.0 patients.csv --text-column note --id-column id --output answers.csv
python scripts/diagnose.py --text "A boy with ectopia lentis and arachnodactyly. No scoliosis."
python scripts/diagnose.py --hpo HP:0001083,HP:0001166 --absent HP:0002650

Without a run, diseases are ranked by how their annotations in HPO fit the patient's findings; a run of `head: reranker`
compares the first of them again. FILE is one note; with --output, a table, a note a row. This is no clinical evidence.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.runs import Run, find_run

RANKED = 50
TASK = Path(__file__).resolve().parents[1] / "tasks" / "differential"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="RUN FILE", help="a run, or USER/NAME@vX; a note or a table")
    parser.add_argument("--text", help="the note itself, in place of FILE")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many diagnoses (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print all that is known of the answer, as JSON")
    table = parser.add_argument_group("a table of notes (needs a run)")
    table.add_argument("--text-column", default="text", metavar="NAME", help="that of the notes (default: %(default)s)")
    table.add_argument("--id-column", metavar="NAME", help="a column to copy beside the answers, as the patient's id")
    table.add_argument("--output", type=Path, metavar="FILE", help="the file to write answers to: .csv or .jsonl")
    ranked = parser.add_argument_group("all diseases (no run, or one of `head: reranker`)")
    ranked.add_argument("--hpo", metavar="IDS", help="findings the patient has: HPO ids, with commas")
    ranked.add_argument("--absent", metavar="IDS", help="with --hpo: findings the patient does not have")
    ranked.add_argument("--diseases", nargs="+", metavar="NAME", help="which to rank: OMIM (default), ORPHA, DECIPHER")
    ranked.add_argument("--same", type=Path, metavar="FILE", help="ids that mean one disease: a line each, with tabs")
    ranked.add_argument("--html", type=Path, metavar="PAGE", help="also write the answer as a web page")
    arguments = parser.parse_args()
    files = [Path(name) for name in arguments.what if Path(name).is_file()]
    runs = [name for name in arguments.what if not Path(name).is_file()]
    odd = [name for name in runs if not Path(name).is_dir()]
    if arguments.id_column and not arguments.output:
        raise InputError("--id-column goes with --output")
    if max(len(files), len(runs)) > 1 or (arguments.output and not files):
        raise InputError(f"one RUN and one FILE at most, --output for a FILE{f'; {odd[-1]} is none' if odd else ''}")
    if (bool(files), arguments.text is not None, arguments.hpo is not None).count(True) != 1:
        raise InputError(f"name one of FILE{f' ({odd[0]} is none)' if odd else ''}, --text and --hpo")
    if not 1 <= arguments.top <= RANKED:
        raise InputError(f"--top {arguments.top}: expected 1 to {RANKED}")
    if arguments.absent and arguments.hpo is None:
        raise InputError("--absent: goes with --hpo; in a text, what is absent is said")
    from osler.preparation import read_note  # heavy, as is what follows: --help need not wait for it

    run = find_run(runs[0]).run if runs else None
    of_a_panel = run is not None and run.recipe().head != "reranker"
    for option in ("hpo", "diseases", "same", "html") if of_a_panel else ("output",):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option}: {'not with' if of_a_panel else 'needs'} a run that has labels of its own")
    file = files[0] if files else None
    if file and not arguments.output:
        arguments.text = read_note(file)
    return _of_a_panel(arguments, run, file) if run and of_a_panel else _of_all_diseases(arguments, file, run)


def _of_a_panel(arguments: argparse.Namespace, run: Run, file: Path | None) -> int:
    from osler.serving import answer_file, load_models, render_lines

    (model,) = load_models([str(run.folder)]).values()
    if arguments.output and file:
        columns = arguments.text_column, arguments.output, arguments.top, arguments.id_column
        print(answer_file(model, file, *columns))
        return 0
    (answer,) = model.answer([model.encode(arguments.text)], arguments.top)
    print(answer.model_dump_json(indent=2) if arguments.json else render_lines(answer))
    return 0


def _of_all_diseases(arguments: argparse.Namespace, file: Path | None, run: Run | None) -> int:
    from osler.ranking import check_page, render_lines, render_page
    from osler.serving import all_diseases
    from osler.storage import write_atomically

    if arguments.html:
        check_page(arguments.html)
    ids = None if arguments.hpo is None else (arguments.hpo, arguments.absent or "")
    given, names = ids or arguments.text, arguments.diseases or ["OMIM"]
    found = all_diseases.diagnose(TASK, given, arguments.top, names, arguments.same, run)
    print("".join(f"{note}\n" for note in found.notes), end="", file=sys.stderr)
    if arguments.html:
        write_atomically(arguments.html, render_page(found))
    print(found.model_dump_json(by_alias=True, indent=2) if arguments.json else render_lines(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
