"""scripts/monitor.py, as somebody runs it beside a store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streams
from project import script

from osler.feedback.store import open_store
from osler.monitoring.reference import read_reference
from osler.runs.run import Run


@pytest.fixture(scope="module")
def stores(evaluated_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store ``quiet.db``, of cases like those of the evaluation, and ``long.db``, of longer texts."""
    folder, project = tmp_path_factory.mktemp("stores"), evaluated_run.parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSLER_DATA_DIR", str(project / "data"))
        cases = read_reference(Run(evaluated_run)).cases
    cases = cases.take(np.random.default_rng(0).integers(len(cases), size=260))
    weights = Run(evaluated_run).read_manifest().adapter_sha256
    for name, seen in (("quiet.db", cases), ("long.db", replace(cases, tokens=cases.tokens * 3))):
        store = open_store(f"sqlite:///{folder / name}", create=True)
        store.add_predictions(streams.stored(seen, weights))
        for verdict in streams.judged(seen, range(30)):
            store.add_verdict(verdict)
        store.close()
    return folder


def test_a_quiet_stream_ends_with_0_and_an_alarm_with_1_and_a_report(evaluated_run: Path, stores: Path) -> None:
    project = evaluated_run.parents[2]
    quiet = script(project, "monitor", evaluated_run, "--store", f"sqlite:///{stores / 'quiet.db'}")
    assert quiet.returncode == 0, quiet.stderr
    assert quiet.stdout.endswith("no alarm; not watched: findings\n")
    assert "30 judged of 260" in quiet.stdout
    page = stores / "report.html"
    told = script(project, "monitor", evaluated_run, "--store", f"sqlite:///{stores / 'long.db'}", "--output", page)
    assert told.returncode == 1, told.stderr
    assert "ALARM length of the texts" in told.stdout
    assert {alarm["about"] for alarm in json.loads(page.with_suffix(".json").read_text())["alarms"]} == {"length"}
    assert all(page.with_suffix(ending).is_file() for ending in (".html", ".txt", ".prom"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "2027-01-01"], "no answers"),
        (["--since", "yesterday"], "expected 2026-11-01"),
        (["--output", "report.pdf"], "ends in .html"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    evaluated_run: Path, stores: Path, options: list[str], said: str
) -> None:
    url = f"sqlite:///{stores / 'quiet.db'}"
    done = script(evaluated_run.parents[2], "monitor", evaluated_run, "--store", url, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
