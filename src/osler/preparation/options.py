"""Check the options of ``scripts/prepare_data.py`` and turn them into columns and cutoff dates."""

from __future__ import annotations

from argparse import Namespace

from osler.errors import InputError
from osler.preparation.readers.record import Columns

COLUMN_OPTIONS = ("text_column", "label_column", "id_column", "group_column", "date_column", "subgroup_column")
# Those that say what the file of a task says, too.
EXPORT_OPTIONS = (*COLUMN_OPTIONS, "validation_from", "test_from", "revision", "license", "include_suspected")


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


def read_cutoffs(options: Namespace) -> tuple[str, str] | None:
    """The first days of validation and of test; None if the split is not by date.

    Raises:
        InputError: one of the two dates is missing, or the date column.
    """
    if (options.validation_from is None) != (options.test_from is None):
        raise InputError("a split by date needs both --validation-from and --test-from")
    if options.validation_from is None:
        return None
    if options.date_column is None and options.text_column is not None:
        raise InputError("a split by date needs --date-column, too")
    return options.validation_from, options.test_from
