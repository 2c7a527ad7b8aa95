#!/usr/bin/env python3
"""Prepare data: clean, de-identify, find duplicates and leakage, split; with a report, a card, a task and a recipe.

scripts/prepare_data.py FILE --text-column C --label-column C --output DIR   an export of your own: JSONL, CSV, TSV or
                              Parquet, a folder of them, FHIR, phenopackets, or OWNER/NAME on the Hub with --revision
scripts/prepare_data.py TASK --output DIR                                    the published rows of a task of tasks/

DIR gets train.jsonl, validation.jsonl, test.jsonl, rejected.jsonl, data_report.json and .html, README.md (the dataset
card); of an export also tasks/NAME/ and recipes/NAME/qlora-v1.yaml. Run again on more rows, no row moves that is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.recipe import licences
from osler.storage import write_atomically


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="FILE|TASK", help="what to prepare")
    parser.add_argument("--output", type=Path, required=True, help="a folder; one prepared before keeps its splits")
    parser.add_argument("--text-column", help="what a model reads")
    parser.add_argument("--label-column", help="what it answers")
    parser.add_argument("--id-column", help="names a row; without one, rows are called after their text")
    parser.add_argument("--group-column", help="patient, family or publication: no split tears it apart")
    parser.add_argument("--date-column", help="of the row, YYYY-MM-DD; for --validation-from and --test-from")
    parser.add_argument("--subgroup-column", action="append", default=[], help="such as sex (may be repeated)")
    parser.add_argument("--validation-from", metavar="DATE", help="split by date: from this day on, validation")
    parser.add_argument("--test-from", metavar="DATE", help="split by date: from this day on, test")
    parser.add_argument("--revision", help="the commit of a dataset on the Hub")
    parser.add_argument("--deidentify", type=Path, metavar="KEY_FILE", help="replace identifiers; the file is secret")
    parser.add_argument("--max-rejected", type=int, default=0, metavar="N", help="rows that may be unreadable")
    parser.add_argument("--name", help="of the task; default: that of the output folder")
    parser.add_argument("--license", help="of the data, as the Hub writes it, such as cc-by-4.0")
    arguments = parser.parse_args()
    # Here, because it takes seconds, and --help needs none of it.
    from osler.preparation import (
        MADE,
        Preparation,
        check_apart,
        data_report,
        dataset_card,
        inputs,
        prepare,
        read,
        scaffold,
    )

    if arguments.max_rejected < 0:
        raise InputError(f"--max-rejected {arguments.max_rejected}: at least 0")
    if arguments.license:
        licences.check(arguments.license, "--license")
    name = (arguments.name or arguments.output.resolve().name).replace("-", "_")
    scaffold.check_name(name)
    key = inputs.read_key(arguments.deidentify) if arguments.deidentify else None
    source, task = arguments.source, inputs.find_task(arguments.source)
    if task is not None:
        # What the file of a task says of its rows, and nobody says of those of a file.
        of_files = (*inputs.COLUMNS, "validation_from", "test_from", "revision", "license")
        given = [option for option in of_files if vars(arguments)[option]]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')}: {source} is a task, whose file says that; leave it out")
        rows, prepared = inputs.of_task(task, key, arguments.max_rejected)
    else:
        check_apart(source, arguments.output, MADE)
        columns = inputs.columns_of(vars(arguments))
        cuts = inputs.cuts_of(vars(arguments))
        listed, steps = inputs.cleaning_of(arguments.output / "tasks" / name / "task.yaml")
        rows = ((None, row) for row in read(source, columns, arguments.revision))
        prepared = Preparation(steps, None, arguments.max_rejected, key, cuts, arguments.license)
        if key is not None and arguments.revision is None:
            source = "an export"  # what a file is called may name a person
    report = prepare(rows, arguments.output, prepared, source)
    write_atomically(arguments.output / "data_report.html", data_report.page(name, report))
    write_atomically(arguments.output / "README.md", dataset_card.render(name, report))
    print(data_report.summary(report))
    if task is None:
        recipe = scaffold.write(arguments.output, name, report, listed)
        print(scaffold.next_commands(recipe, arguments.output))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
