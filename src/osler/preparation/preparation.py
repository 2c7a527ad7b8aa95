"""Prepare a dataset: read, clean, de-identify, remove duplicates, split, and report.

A prepared folder holds ``{train,validation,test}.jsonl``, ``rejected.jsonl`` (every other row and why it was dropped),
``deidentification_audit.jsonl`` if texts were de-identified, and ``data_report.json``. All files are made in a folder
of their own and moved into place at the end, the report last, so an interrupted run leaves the former files as they
were. Rows are in Arrow files on disk; memory holds only some numbers for each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from osler.errors import InputError
from osler.preparation import datatrove_tasks
from osler.preparation.arrow_rows import clean_rows, store_rows
from osler.preparation.cleaning import Cleaning
from osler.preparation.data_report import DataReport, build_report, describe_rule
from osler.preparation.datatrove_tasks import Datatrove
from osler.preparation.deidentification.date_order import DateOrders
from osler.preparation.label_spellings import merge_spellings
from osler.preparation.pseudonyms import Pseudonyms, pseudonym
from osler.preparation.readers.record import Notice, Record, RejectedRow
from osler.preparation.row_selection import RowSelection
from osler.preparation.settings import PreparationSettings
from osler.preparation.workspace import move_into_output, remove_tasks, workspace
from osler.splits import SPLITS
from osler.storage import read_json, sha256_file, write_json

REPORT = "data_report.json"
OUTPUT_FILES = (*(f"{split}.jsonl" for split in SPLITS), "rejected.jsonl", REPORT, "data_report.html", "README.md")
MIN_LABELS = 2


def prepare(
    rows: Iterable[tuple[str | None, Record | RejectedRow | Notice]],
    output: Path,
    settings: PreparationSettings,
    source: str,
    engine: Datatrove | None = None,
) -> DataReport:
    """Prepare ``rows``, write the folder ``output`` and return the content of its ``data_report.json``.

    Args:
        rows: each with its split if the source has splits, else with None. A row of ``train`` that is also in a
            held-out split, word for word or nearly, is dropped. Without splits, rows are split by group, and
            near-duplicates stay together.
        output: if it was prepared before, its rows keep their splits.
        source: the name of the source in the report. With a key, it must not identify anybody.
        engine: cleans in tasks; what comes out is the same.

    Raises:
        FailedError: a task of ``engine`` did not end.
        InputError: too many rows cannot be read, fewer than two labels are left, no row is left for training or for
            testing, ``output`` is unsuitable, or with a key, the order of day and month in a file is unknown.
    """
    with workspace(output, REPORT, OUTPUT_FILES) as work:
        _check_key(output, settings.key)
        pseudonyms, dates = Pseudonyms(settings.key), DateOrders()
        watched = rows if settings.key is None else dates.watch(rows)
        raw, rejected, notices = store_rows(watched, work, settings.max_rejected, pseudonyms, settings.show_text)
        day_first = {pseudonyms.mask_source(file): first for file, first in dates.decide(settings.day_first).items()}
        labels = merge_spellings(Counter(RowSelection.column(raw, "label")), settings.find_label)
        what = (raw, work, Cleaning(settings.steps, labels), settings.key, day_first)
        if engine is None:
            selection = RowSelection(raw, clean_rows(*what), rejected)
        else:
            cleaned, prints = datatrove_tasks.clean_rows(*what, engine)
            selection = RowSelection(raw, cleaned, rejected, prints)
        selection.drop_conflicts_and_duplicates()
        selection.drop_rare_labels(settings.min_rows)
        selection.assign_splits(_previous_splits(output), settings.cutoffs, settings.shares)
        _check_previous(output, selection, settings)
        _check_labels(selection, source, notices)
        _check_splits(selection, source, settings)
        files = _write_rows(selection, work, with_audit=settings.key is not None)
        fingerprint = _key_fingerprint(settings.key)
        report = build_report(selection, source, settings, files, notices, fingerprint, day_first)
        write_json(work / REPORT, report)
        move_into_output(work, [*files, REPORT])
        remove_tasks(work)
    return report


def _previous_splits(output: Path) -> dict[str, str]:
    """Case id → split in the folder as prepared before; empty if it was not."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        path = output / f"{split}.jsonl"
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                splits.update((json.loads(line)["case_id"], split) for line in lines)
    return splits


def _key_fingerprint(key: str | None) -> str | None:
    """Identifies the key without revealing it."""
    return None if key is None else pseudonym("fingerprint", key)


def _check_key(output: Path, key: str | None) -> None:
    """Refuse another key than before: rows would have other ids, and the splits in the folder would be lost."""
    if not (output / REPORT).exists():
        return
    report = read_json(output / REPORT)
    if "key_fingerprint" not in report:
        raise InputError(f"{output / REPORT}: was not made by this prepare_data.py; choose another --output")
    if report["key_fingerprint"] != _key_fingerprint(key):
        raise InputError(
            f"{output}: was prepared without --deidentify or with another key, so its rows cannot be recognised and"
            " would change splits; choose another --output"
        )


def _check_previous(output: Path, selection: RowSelection, settings: PreparationSettings) -> None:
    """Refuse to report a rule, or groups that stay together, where rows keep splits that came about otherwise."""
    if not selection.kept_splits:
        return
    n = selection.kept_splits
    kept = "1 row keeps the split it has" if n == 1 else f"{n:,} rows keep the splits they have"
    if read_json(output / REPORT)["split_by"] != describe_rule(selection, settings):
        raise InputError(
            f"{output}: {kept}, so other --shares, or dates, would not apply to them; prepare with those of before, or"
            " choose another --output"
        )
    if selection.divided:
        raise InputError(
            f"{output}: {kept}, by which {selection.divided:,} groups would be in several splits: they were other"
            " groups before; choose another --output"
        )


def _check_labels(selection: RowSelection, source: str, notices: Mapping[str, int]) -> None:
    if not len(selection.kept):
        dropped = Counter([*selection.dropped, *(row.kind for row in selection.rejected)])
        what = [f"{reason.replace('_', ' ')} {number:,}" for reason, number in dropped.items()]
        noticed = "".join(f"; {number:,} {text}" for text, number in notices.items())
        raise InputError(f"{source}: no rows are left; dropped: {', '.join(what)}{noticed}")
    labels = selection.labels[np.unique(selection.label_code[selection.kept])]
    if len(labels) < MIN_LABELS:
        raise InputError(f"{source}: only one label is left ({labels[0]}); a dataset needs at least {MIN_LABELS}")


def _check_splits(selection: RowSelection, source: str, settings: PreparationSettings) -> None:
    """Refuse what no recipe could learn from or be tested on."""
    for split in ("train", "test"):
        if (selection.split[selection.kept] == split).any():
            continue
        rows, units = f"{len(selection.kept):,} rows", selection.units
        if kinds := Counter(row.kind.replace("_", " ") for row in selection.rejected):
            rows += f" ({', '.join(f'{n:,} others: {kind}' for kind, n in kinds.items())})"
        if selection.source_split.any():
            why = "the source's own splits have no other"
        elif settings.cutoffs:
            why = f"their dates are on the other side of {settings.cutoffs[split == 'test']}; choose other dates"
        elif units == 1:
            why = (
                "all belong together, because they share a group or are nearly the same, and stay in one split: name"
                " another --group-column, or none, or add rows of other patients"
            )
        else:
            why = f"they make {units:,} units that stay together: add rows, or give {split} a larger share by --shares"
        raise InputError(f"{source}: of {rows}, none is left for {split}: {why}")


def _write_rows(selection: RowSelection, work: Path, with_audit: bool) -> dict[str, str]:
    """Write the files of rows into ``work``. Returns name → sha256."""
    rejected = ({"case_id": None, "source": r.source, "reason": f"{r.kind}: {r.reason}"} for r in selection.rejected)
    files: dict[str, Iterable[Mapping[str, object]]] = {
        f"{split}.jsonl": selection.split_rows(split) for split in SPLITS
    }
    files["rejected.jsonl"] = chain(rejected, selection.dropped_rows())
    if with_audit:
        files["deidentification_audit.jsonl"] = selection.audit_lines()
    for name, rows in files.items():
        with (work / name).open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return {name: sha256_file(work / name) for name in files}
