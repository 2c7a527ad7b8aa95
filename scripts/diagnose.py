#!/usr/bin/env python3
"""What a patient may have, with probabilities: among the labels of a run, or among all Mendelian diseases of OMIM.

python scripts/diagnose.py runs/<name>/<version> --text "A tall boy with a dislocated lens."
python scripts/diagnose.py USER/NAME@v1.0.0 patients.csv --text-column note --output answers.csv
python scripts/diagnose.py --text "A boy with ectopia lentis and arachnodactyly. No scoliosis."
python scripts/diagnose.py --hpo HP:0001083,HP:0001166 --absent HP:0002650

Without a run: rankers of HPO's annotations, mixed with weights fitted on published patients; a run of `head: reranker`
compares the first of them. A file is a note, or with --output a table of notes. This is no clinical evidence.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from osler.errors import InputError, exit_status

if TYPE_CHECKING:
    from osler.runs import Run

RANKED = 50
TASK = Path(__file__).resolve().parents[1] / "tasks" / "differential"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="RUN FILE", help="a run, or USER/NAME@vX; a note or a table")
    parser.add_argument("--text", help="a note")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many diseases (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead, with all that is known of the answer")
    table = parser.add_argument_group("a table of notes, with a run")
    table.add_argument("--text-column", default="text", metavar="NAME", help="where they are (default: %(default)s)")
    table.add_argument("--output", type=Path, metavar="FILE", help="where the answers go: a .jsonl or .csv")
    ranked = parser.add_argument_group("all diseases: without a run, or with one of `head: reranker`")
    ranked.add_argument("--hpo", metavar="IDS", help="present findings: HPO ids, between commas")
    ranked.add_argument("--absent", metavar="IDS", help="with --hpo, absent findings")
    ranked.add_argument("--diseases", nargs="+", metavar="NAME", help="whose ids are ranked: OMIM, ORPHA, DECIPHER")
    ranked.add_argument("--same", type=Path, metavar="FILE", help="lines of ids of one disease, a tab between them")
    ranked.add_argument("--html", type=Path, metavar="PAGE", help="write a page with the same, too")
    arguments = parser.parse_args()
    files = [Path(name) for name in arguments.what if Path(name).is_file()]
    runs = [name for name in arguments.what if not Path(name).is_file()]
    odd = [name for name in runs if not Path(name).is_dir()]
    if max(len(files), len(runs)) > 1 or (arguments.output and not files):
        raise InputError(f"one RUN and one FILE at most, --output for a FILE{f'; {odd[-1]} is none' if odd else ''}")
    if (bool(files), arguments.text is not None, arguments.hpo is not None).count(True) != 1:
        raise InputError(f"name one of FILE{f' ({odd[0]} is none)' if odd else ''}, --text and --hpo")
    if not 1 <= arguments.top <= RANKED:
        raise InputError(f"--top {arguments.top}: expected 1 to {RANKED}")
    if arguments.absent and arguments.hpo is None:
        raise InputError("--absent: goes with --hpo; in a text, what is absent is said")
    from osler.preparation import read_note  # heavy, as is what follows: --help need not wait for it
    from osler.runs import find_run

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
        print(answer_file(model, file, arguments.text_column, arguments.output, arguments.top))
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
