"""Situations from public bug reports and real files, rebuilt small, that once gave wrong numbers without a word.

They lie in ``../shared/cases`` and are not part of the project. For each file: how it is read, and words of what
``scripts/prepare_data.py`` has to print about it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from project import ROOT

from osler.errors import exit_status

CASES = ROOT.parent / "shared" / "cases"

_LABEL = ("--text-column", "text", "--label-column", "label")
_DX = ("--text-column", "text", "--label-column", "dx")
_ID = (*_DX, "--id-column", "id")
_ENC = (*_DX, "--id-column", "enc")
_THIRDS = ("--shares", "34,33,33")  # or six rows may leave none for a split
_PATIENT = (*_DX, "--group-column", "patient")

# File → options, rows that are kept (0: the file is refused), words.
EXPECTED: dict[str, tuple[tuple[str, ...], int, str]] = {
    "01-minus-one-labels/in.jsonl": (_LABEL, 60, "3 labels"),
    "01-minus-one-labels/binary.jsonl": (_LABEL, 40, "2 labels"),
    "02-signed-labels/in.jsonl": (_LABEL, 72, "6 labels"),
    "04-excel-sep-line/in.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-comma-sep.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-nosep.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-cr.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-bom.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-formula.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-x000d.csv": (_ID, 30, "30 rows in"),
    "04-excel-sep-line/in-excel-tail.csv": (_ID, 30, "20 dropped: no text"),
    "04-excel-sep-line/in-title.csv": (_ID, 0, "delete the lines above that one"),
    "04-excel-sep-line/in-cp1252.csv": (_ID, 0, "iconv -f WINDOWS-1252"),
    "04-excel-sep-line/in-utf16.csv": (_ID, 0, "UTF-16"),
    "04-excel-sep-line/in-tab-utf16.txt": (_ID, 0, "may be called .csv"),
    "05-scientific-ids/in.csv": (_PATIENT, 0, "a number that a spreadsheet rounded"),
    "05-scientific-ids/in-two.csv": (_PATIENT, 0, "a number that a spreadsheet rounded"),
    "05-scientific-ids/in-ids.csv": (_ENC, 0, "a number that a spreadsheet rounded"),
    "06-multi-label-cells/in.csv": (_DX, 120, "62 rows name several diagnoses"),
    "09-suspected-diagnoses/confirmed.ndjson": ((), 12, "3 labels"),
    "09-suspected-diagnoses/differential.ndjson": (_THIRDS, 6, "6 dropped: not confirmed"),
    "09-suspected-diagnoses/provisional.ndjson": (_THIRDS, 6, "6 dropped: not confirmed"),
    "09-suspected-diagnoses/unconfirmed.ndjson": (_THIRDS, 6, "6 dropped: not confirmed"),
    "09-suspected-diagnoses/refuted.ndjson": (_THIRDS, 6, "6 dropped: no diagnosis"),
    "09-suspected-diagnoses/no-known-problems.ndjson": ((), 8, "4 dropped: no diagnosis"),
    "10-ndjson-urn-uuid/in.ndjson": ((), 12, "3 labels"),
    "10-ndjson-urn-uuid/ids-too.ndjson": ((), 12, "3 labels"),
    "10-ndjson-urn-uuid/conditional.ndjson": ((), 12, "3 labels"),
    "10-ndjson-urn-uuid/logical.ndjson": ((), 0, "is missing"),
    "10-ndjson-urn-uuid/contained.ndjson": ((), 0, "contained"),
    "11-codings-and-displays/displays.ndjson": ((), 18, "2 labels"),
    "11-codings-and-displays/order.ndjson": ((), 16, "2 labels"),
    "11-codings-and-displays/code-only.ndjson": ((), 16, "8 diagnoses are labelled by their codes in http://fhir.de"),
    "11-codings-and-displays/text-only.ndjson": ((), 16, "labelled by their words"),
    "12-quantity-without-value/in.ndjson": ((), 12, "12 Observations without a result"),
    "12-quantity-without-value/ratio.ndjson": ((), 12, "12 Observations without a result"),
    "12-quantity-without-value/underscore.ndjson": ((), 12, "12 Observations without a result"),
    "12-quantity-without-value/birth.ndjson": ((), 12, "told without an age"),
    "13-onset-only/in.ndjson": ((), 12, "36 Observations later than every diagnosis"),
    "14-observations-of-nobody/in.ndjson": ((), 12, "3 labels"),
    "15-phenopacket-snake-case/in.jsonl": ((), 12, "3 labels"),
    "15-phenopacket-snake-case/mixed.jsonl": ((), 12, "3 labels"),
    "15-phenopacket-snake-case/one.json": ((), 0, "only one label is left"),
    "15-phenopacket-snake-case/family.json": ((), 0, "only one label is left"),
    "15-phenopacket-snake-case/cohort.json": ((), 6, "2 labels"),
    "16-phenopacket-interpretations/comorbidity.jsonl": ((), 12, "3 labels"),
    "16-phenopacket-interpretations/two-vocabularies.jsonl": ((), 12, "3 labels"),
    "16-phenopacket-interpretations/unsolved.jsonl": ((), 0, "no diagnosis 12"),
    "17-phenopacket-schema-1-unsaid/in.jsonl": ((), 0, "schema 1"),
    "17-phenopacket-schema-1-unsaid/times.jsonl": ((), 12, "times of onset"),
    "17-phenopacket-schema-1-unsaid/times2.jsonl": ((), 12, "times of onset"),
    "18-classlabel-ints/in.parquet": (_LABEL, 36, "(asthma, cystitis, diabetes)"),
    "18-classlabel-ints/float.parquet": (_LABEL, 32, "4 dropped: unlabelled"),
    "18-classlabel-ints/hidden.parquet": (_LABEL, 36, "-1 often marks"),
    "19-labels-masked/ints.jsonl": (_LABEL, 60, "number for a label"),
    "19-labels-masked/noise-names.jsonl": (_LABEL, 240, "is chance"),
}


@dataclass(frozen=True)
class Outcome:
    """What ``scripts/prepare_data.py`` made of a file: the rows it kept (0: refused), and its words, in one line."""

    rows: int
    said: str


def outcome(file: str, folder: Path) -> Outcome:
    """Prepare ``file``, one of :data:`EXPECTED`, into a new folder below ``folder``."""
    output = folder / file.replace("/", "-")
    options, _, _ = EXPECTED[file]
    arguments = ["prepare_data.py", str(CASES / file), *options, "--name", "case", "--output", str(output)]
    status, stdout, stderr = _called(arguments)
    if status:
        assert status == 2, stderr
        return Outcome(0, " ".join(stderr[stderr.index("error: ") :].split()))
    report = json.loads((output / "data_report.json").read_text())
    return Outcome(report["rows_out"], " ".join(stdout.split()))


def _called(arguments: list[str]) -> tuple[int, str, str]:
    """Status and words of the script, run in this process: in one of its own each file would take a second more."""
    stdout, stderr = StringIO(), StringIO()
    with patch.object(sys, "argv", arguments), redirect_stdout(stdout), redirect_stderr(stderr):
        status = exit_status(_script().main)
    return status, stdout.getvalue(), stderr.getvalue()


@cache
def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_data", ROOT / "scripts" / "prepare_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
