"""A server looks at what its models are asked, beside their evaluation."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from pathlib import Path

import pytest
import streams
from prometheus_client import CollectorRegistry, generate_latest

from osler.feedback.store import open_store
from osler.monitoring import Gauges
from osler.runs.run import Run
from osler.serving.audit import now
from osler.serving.watcher import EVERY, Watcher


@pytest.fixture
def url(evaluated_run: Path, tmp_path: Path) -> str:
    """Of a store with a window of longer answers, all of today."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(url, create=True)
    made = streams.stored(streams.cases(EVERY), Run(evaluated_run).read_manifest().adapter_sha256)
    day = timedelta(minutes=1)
    store.add_predictions([one.model_copy(update={"at": now() - day}) for one in made])
    store.close()
    return url


def test_alarms_are_in_the_log_and_the_gauges_and_a_run_that_cannot_be_watched_is_told_once(
    evaluated_run: Path, tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    with caplog.at_level(logging.WARNING):
        watcher = Watcher({"gone": tmp_path, "tiny-made-up": evaluated_run}, url, Gauges(registry))
        deadline = time.monotonic() + 60
        while b"osler_monitored_cases{" not in generate_latest(registry) and time.monotonic() < deadline:
            time.sleep(0.1)
        watcher.answered("gone", EVERY)
        while not watcher.idle and time.monotonic() < deadline:
            time.sleep(0.1)
    assert b'osler_monitored_cases{model="tiny-made-up"} 250.0' in generate_latest(registry)
    assert "tiny-made-up: ALARM first diagnoses" in caplog.text  # of another task
    assert caplog.text.count("gone is not watched") == 1
