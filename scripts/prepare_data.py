#!/usr/bin/env python3
"""Prepare data: clean, de-identify, remove duplicates and leakage, split; write a report, a card, a task and a recipe.

scripts/prepare_data.py FILE --text-column C --label-column C --output DIR   your own export: JSONL, CSV, TSV, Parquet,
                              a folder of them, FHIR, phenopackets, or OWNER/NAME on the Hub with --revision
scripts/prepare_data.py TASK --output DIR                                    the published rows of a task in tasks/

Writes train.jsonl, validation.jsonl, test.jsonl, rejected.jsonl, data_report.json, data_report.html and README.md (the
dataset card) to DIR; for an export also tasks/NAME/ and recipes/NAME/qlora-v1.yaml. You can run it again on an export
with more rows: rows that are already in DIR keep their splits.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from osler.errors import exit_status
from osler.storage import write_atomically


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="FILE|TASK", help="the export, or the name of a task")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write; rows already in it stay put")
    parser.add_argument("--text-column", help="the column that a model reads")
    parser.add_argument("--label-column", help="the column with the diagnosis")
    parser.add_argument("--id-column", help="the column with a row's id (default: a hash of its text)")
    parser.add_argument("--group-column", help="the patient, family or publication, which stays in one split")
    parser.add_argument("--date-column", help="the date, YYYY-MM-DD, for --validation-from and --test-from")
    parser.add_argument("--subgroup-column", action="append", default=[], help="a subgroup such as sex (repeatable)")
    parser.add_argument("--validation-from", metavar="DATE", help="split by date: the first day of validation")
    parser.add_argument("--test-from", metavar="DATE", help="split by date: the first day of test")
    parser.add_argument("--shares", metavar="80,10,10", help="of the patients: train, validation and test")
    parser.add_argument("--min-rows", type=int, default=1, metavar="N", help="drop labels with fewer rows (default 1)")
    parser.add_argument("--include-suspected", action="store_true", help="FHIR, phenopackets: unconfirmed ones, too")
    parser.add_argument("--revision", help="the commit of the dataset on the Hub")
    parser.add_argument("--deidentify", type=Path, metavar="KEY_FILE", help="replace identifiers; keep the file secret")
    order = parser.add_mutually_exclusive_group()
    order.add_argument(
        "--day-first", action="store_const", const=True, help="3/4/2021 is in April, in files whose dates do not tell"
    )
    order.add_argument("--month-first", dest="day_first", action="store_const", const=False, help="… is in March")
    parser.add_argument("--max-rejected", type=int, default=0, metavar="N", help="unreadable rows to allow (default 0)")
    parser.add_argument("--show-text", action="store_true", help="quote texts in messages and in the report")
    parser.add_argument("--engine", choices=("datatrove",), help="clean in tasks, which a later run does not repeat")
    parser.add_argument("--tasks", type=int, metavar="N", help="parts of the rows (default: one a core)")
    parser.add_argument("--slurm", metavar="PARTITION", help="tasks are a job array of Slurm, which is waited for")
    parser.add_argument("--name", help="the name of the task (default: that of the output folder)")
    parser.add_argument("--license", help="the licence of the data, as the Hub writes it, such as cc-by-4.0")
    arguments = parser.parse_args()
    # Here, because it takes seconds, and --help needs none of it.
    from osler.preparation import (
        OUTPUT_FILES,
        check_apart,
        dataset_card,
        options,
        prepare,
        read,
        read_key,
        report_page,
        scaffold,
        task_rows,
    )

    options.check(arguments)
    engine = options.read_engine(arguments)
    name = scaffold.find_task_name(arguments.name, arguments.output)
    key = read_key(arguments.deidentify) if arguments.deidentify else None
    source, task = arguments.source, task_rows.find_task_path(arguments.source)
    if task is not None:
        options.check_task(arguments)
        rows, settings = task_rows.read_task_rows(task, key, arguments.max_rejected, arguments.day_first)
        settings = replace(settings, min_rows=arguments.min_rows, show_text=arguments.show_text)
    else:
        check_apart(source, arguments.output, OUTPUT_FILES)
        columns = options.read_columns(arguments)
        cleaning, steps = task_rows.read_cleaning_steps(arguments.output / "tasks" / name / "task.yaml")
        rows = ((None, row) for row in read(source, columns, arguments.revision, arguments.include_suspected))
        settings = options.read_settings(arguments, steps, key)
        if key is not None and arguments.revision is None:
            source = "an export"  # the name of a file may identify a person
    report = prepare(rows, arguments.output, settings, source, engine)
    write_atomically(arguments.output / "data_report.html", report_page.render_page(name, report))
    write_atomically(arguments.output / "README.md", dataset_card.render_card(name, report))
    print(report_page.render_summary(report))
    if task is None:
        recipe = scaffold.write_task_and_recipe(arguments.output, name, report, cleaning)
        print(scaffold.next_commands(recipe, arguments.output))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
