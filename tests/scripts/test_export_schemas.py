"""docs/formats.md, docs/settings.md and docs/schemas/ say what the types behind them say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import finished
import jsonschema
import pytest
from project import ROOT, script

FOLDER = ROOT / "docs" / "schemas"
SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}


def test_the_page_and_the_schemas_are_those_of_the_types(tmp_path: Path) -> None:
    pages = [ROOT / "docs" / "formats.md", ROOT / "docs" / "settings.md", *FOLDER.glob("*.json")]
    before = {path: path.read_bytes() for path in pages}
    done = script(tmp_path, "export_schemas")
    after = {path: path.read_bytes() for path in pages}
    for path, content in before.items():
        path.write_bytes(content)
    assert done.returncode == 0, done.stderr
    assert after == before, "run scripts/export_schemas.py, and commit what it writes"


@pytest.mark.parametrize("name", ["manifest", "data_report", "results"])
def test_the_files_of_a_run_are_as_their_schemas_say(finished_project: Path, name: str) -> None:
    run = next(finished_project.glob("runs/*/*"))
    jsonschema.validate(json.loads((run / f"{name}.json").read_text(encoding="utf-8")), SCHEMAS[name])
    assert (run / f"{name}.json").name in (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_every_prediction_line_is_as_its_schema_says(finished_project: Path) -> None:
    run = next(finished_project.glob("runs/*/*"))
    for path in (run / "predictions").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            jsonschema.validate(json.loads(line), SCHEMAS["prediction"])


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.expected.json")), ids=lambda path: path.stem)
def test_a_shipped_expected_file_is_as_its_schema_says(path: Path) -> None:
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), SCHEMAS["expected"])


def test_every_file_has_a_section_and_a_link_to_its_schema() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(schemas/(\w+)\.json\)", page)) == set(SCHEMAS)
    assert finished.OVERLAP["settings"].keys() <= set(re.findall(r"`(\w+)`", page))
