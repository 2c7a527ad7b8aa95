#!/usr/bin/env python3
"""Rank every Mendelian disease of OMIM for a patient, with probabilities and the evidence for each.

python scripts/diagnose.py --text "A boy with ectopia lentis and arachnodactyly. No scoliosis."
python scripts/diagnose.py --hpo HP:0001083,HP:0001166 --absent HP:0002650
python scripts/diagnose.py FILE                     # the text in a file

No model is needed: rankers of HPO's annotations, mixed with weights fitted on published patients. With --run, the
language model of a recipe with `head: reranker` compares the first of them, with weights fitted on validation. None of
this is clinical evidence, and nothing here is a medical device.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from osler.errors import InputError, exit_status

RANKED = 50
TASK = Path(__file__).resolve().parents[1] / "tasks" / "differential"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a note, as text")
    parser.add_argument("--text", help="a note")
    parser.add_argument("--hpo", metavar="IDS", help="present findings: HPO ids, between commas")
    parser.add_argument("--absent", metavar="IDS", help="with --hpo, absent findings")
    parser.add_argument(
        "--diseases", nargs="+", default=["OMIM"], metavar="NAME", help="whose ids are ranked: OMIM, ORPHA, DECIPHER"
    )
    parser.add_argument(
        "--same", type=Path, metavar="FILE", help="ids that are one disease, a line each: ORPHA:558, a tab, OMIM:154700"
    )
    parser.add_argument("--run", type=Path, metavar="RUN", help="ask the reranker of this evaluated run, too")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many diseases (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead, with all of the evidence")
    parser.add_argument("--html", type=Path, metavar="PAGE", help="write a page with the same, too")
    arguments = parser.parse_args()
    if sum(value is not None for value in (arguments.file, arguments.text, arguments.hpo)) != 1:
        raise InputError("name one of FILE, --text and --hpo")
    if arguments.absent and arguments.hpo is None:
        raise InputError("--absent: goes with --hpo; in a text, what is absent is said")
    if not 1 <= arguments.top <= RANKED:
        raise InputError(f"--top {arguments.top}: expected 1 to {RANKED}, as many as are ranked")

    from osler.ranking import (  # heavy: --help need not wait for it
        VOCABULARIES,
        diagnose,
        find_in_text,
        load_fusion,
        load_rankers,
        read_equivalents,
        read_findings,
        render_lines,
        render_page,
    )
    from osler.storage import check_folder, read_text, write_atomically

    if unknown := [name for name in arguments.diseases if name not in VOCABULARIES]:
        raise InputError(f"--diseases {unknown[0]}: expected some of {', '.join(VOCABULARIES)}")
    if arguments.html:
        check_folder(arguments.html.parent)
        if arguments.html.is_dir():
            raise InputError(f"--html {arguments.html}: is a folder; name a file, such as page.html")
    same = read_equivalents(arguments.same) if arguments.same else {}
    opinion = None
    if arguments.run:
        from osler.evaluation import second_opinion
        from osler.runs import Run

        opinion = second_opinion.load(Run(arguments.run))
    rankers, ontology = load_rankers(TASK, arguments.diseases, same)
    if arguments.hpo is not None:
        found = read_findings(ontology, _ids(arguments.hpo), _ids(arguments.absent or ""))
    else:
        note = read_text(arguments.file) if arguments.text is None else arguments.text
        found = find_in_text(note, ontology)
    differential = diagnose(rankers, load_fusion(), ontology, found, arguments.top, opinion)
    for said in differential.notes:
        print(said, file=sys.stderr)
    if arguments.html:
        write_atomically(arguments.html, render_page(differential))
    print(differential.model_dump_json(by_alias=True, indent=2) if arguments.json else render_lines(differential))
    return 0


def _ids(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
