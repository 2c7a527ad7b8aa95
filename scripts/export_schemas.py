#!/usr/bin/env python3
"""Write docs/schemas/*.json and the tables of docs/formats.md and docs/settings.md from the types behind them.

Run it after a change to one of these types; a test fails until you do.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from osler.errors import exit_status
from osler.recipe import TaskFile
from osler.rendering import schema_table, settings_table
from osler.storage import write_atomically

ROOT = Path(__file__).resolve().parents[1]


def formats() -> dict[str, Any]:
    """The name of a file → its type."""
    from osler.feedback import rows
    from osler.monitoring import Monitoring
    from osler.ranking import Differential
    from osler.reproduction import Expected, LearningCurve, ReproductionFile
    from osler.runs import DataReport, Exports, Faithfulness, Manifest, Panel, Prediction, Results, Robustness
    from osler.search import StudyFile
    from osler.succession import Decision, Plan

    return {
        "task": TaskFile,
        "manifest": Manifest,
        "data_report": DataReport,
        "panel": Panel,
        "prediction": Prediction,
        "results": Results,
        "robustness": Robustness,
        "exports": Exports,
        "plan": Plan,
        "decision": Decision,
        "expected": Expected,
        "learning_curve": LearningCurve,
        "reproduction": ReproductionFile,
        "explanation": Faithfulness,
        "study": StudyFile,
        "differential": Differential,
        "feedback": rows.Row,
        "monitoring": Monitoring,
    }


def pages() -> dict[Path, str]:
    """Every generated file, and its text as it should be now."""
    schemas = {name: TypeAdapter(kind).json_schema(by_alias=True) for name, kind in formats().items()}
    whole = {name: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for name, schema in schemas.items()}
    texts = {ROOT / f"docs/schemas/{name}.json": text for name, text in whole.items()}
    formatted = {name: schema_table(schema) for name, schema in schemas.items()}
    settings = {section: settings_table(section) for section in ("train", "lora")}
    for path, tables in ((ROOT / "docs/formats.md", formatted), (ROOT / "docs/settings.md", settings)):
        page = path.read_text(encoding="utf-8")
        for name, rows in tables.items():
            before, after = page.split(f"<!-- {name}: begin -->")  # it is there once
            page = f"{before}<!-- {name}: begin -->\n{rows}\n<!-- end -->{after.partition('<!-- end -->')[2]}"
        texts[path] = page
    return texts


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for path, text in pages().items():
        write_atomically(path, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
