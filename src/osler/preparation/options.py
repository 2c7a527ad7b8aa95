"""Check the options of ``scripts/prepare_data.py`` and turn them into columns and settings."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from collections.abc import Mapping

from osler.errors import InputError
from osler.governance import licences
from osler.preparation.cleaning_steps import Step
from osler.preparation.datatrove_tasks import Datatrove
from osler.preparation.readers.record import Columns
from osler.preparation.settings import PreparationSettings
from osler.splits import SHARES, SPLITS

COLUMN_OPTIONS = ("text_column", "label_column", "id_column", "group_column", "date_column", "subgroup_column")
# Those that say what the file of a task says, too.
EXPORT_OPTIONS = (
    *COLUMN_OPTIONS,
    "validation_from",
    "test_from",
    "shares",
    "revision",
    "license",
    "include_suspected",
)


def read_columns(options: Namespace) -> Columns | None:
    """The columns that the options name; None if they name none, as for formats with fixed columns.

    Raises:
        InputError: only one of text and label is named.
    """
    if not any(getattr(options, name) for name in COLUMN_OPTIONS):
        return None
    if options.text_column is None or options.label_column is None:
        raise InputError("name both --text-column and --label-column")
    return Columns(
        options.text_column,
        options.label_column,
        options.id_column,
        options.group_column,
        options.date_column,
        tuple(options.subgroup_column),
    )


def read_settings(options: Namespace, steps: Mapping[str, Step], key: str | None) -> PreparationSettings:
    """How an export is prepared, with the cleaning ``steps`` and the ``key`` of de-identification.

    Raises:
        InputError: the options for the splits cannot be meant.
    """
    return PreparationSettings(
        steps,
        max_rejected=options.max_rejected,
        key=key,
        day_first=options.day_first,
        cutoffs=_cutoffs(options),
        license=options.license,
        shares=_shares(options),
        min_rows=options.min_rows,
        show_text=options.show_text,
    )


def check(options: Namespace) -> None:
    """Raise :class:`InputError` where a number is below the least that makes sense, or where an option has no meaning
    without another."""
    for name, least in (("max_rejected", 0), ("min_rows", 1)):
        if (number := getattr(options, name)) < least:
            raise InputError(f"--{name.replace('_', '-')} {number}: must be at least {least}")
    if options.license:
        licences.check(options.license, "--license")
    if options.deidentify is None and options.day_first is not None:
        raise InputError("--day-first and --month-first tell --deidentify how to read dates; add it, or leave them out")


def check_task(options: Namespace) -> None:
    """Raise :class:`InputError` where an option says of a task's rows what the file of the task says."""
    for name in EXPORT_OPTIONS:
        if vars(options)[name]:
            raise InputError(
                f"--{name.replace('_', '-')}: {options.source} is a task, whose file says this; leave it out"
            )


def read_engine(options: Namespace) -> Datatrove | None:
    """What cleans the rows in tasks; None for this process and those it starts.

    Raises:
        InputError: it cannot be run here, or is not asked for and its options are.
    """
    if options.engine is None:
        for name in ("tasks", "slurm"):
            if vars(options)[name] is not None:
                raise InputError(f"--{name} {vars(options)[name]}: belongs to --engine datatrove; add it")
        return None
    engine = Datatrove(
        (os.cpu_count() or 1) if options.tasks is None else options.tasks, options.slurm, options.deidentify
    )
    engine.check()
    return engine


def _cutoffs(options: Namespace) -> tuple[str, str] | None:
    """The first days of validation and of test; None if the split is not by date.

    Raises:
        InputError: one of the two dates is missing, or the date column.
    """
    if (options.validation_from is None) != (options.test_from is None):
        raise InputError("a split by date needs both --validation-from and --test-from")
    if options.validation_from is None:
        if options.date_column is not None:
            raise InputError(
                "--date-column: without --validation-from and --test-from nothing is split by it; add them, or leave it"
                " out"
            )
        return None
    if options.date_column is None and options.text_column is not None:
        raise InputError("a split by date needs --date-column, too")
    return options.validation_from, options.test_from


def _shares(options: Namespace) -> Mapping[str, float]:
    """Split → its share, as ``--shares`` gives it: ``0.8,0.1,0.1`` or ``80,10,10``.

    Raises:
        InputError: these are no three numbers, one is negative, train or test gets nothing, or the split is by date.
    """
    if options.shares is None:
        return SHARES
    if options.test_from is not None:
        raise InputError("--shares: a split by date takes what the dates give; leave one of the two out")
    try:
        numbers = [float(number) for number in options.shares.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(SPLITS) or not all(0 <= n < math.inf for n in numbers) or not numbers[0] * numbers[2]:
        raise InputError(
            f"--shares {options.shares}: expected three numbers, for train, validation and test, such as 70,10,20;"
            " only validation may be 0"
        )
    if sum(numbers) not in (1, 100) and not math.isclose(sum(numbers), 1):
        raise InputError(f"--shares {options.shares}: add up to {sum(numbers):g}; give shares that add up to 100")
    return {split: number / sum(numbers) for split, number in zip(SPLITS, numbers, strict=True)}
