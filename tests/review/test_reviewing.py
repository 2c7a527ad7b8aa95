"""``scripts/review.py`` as its users meet it."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from forked import fork, run_script
from kept import MODEL, prediction, verdict
from project import ROOT, environment, script

from osler.feedback.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a store, answers.db, and what shall not be read in it."""
    store = open_store(str(tmp_path / "answers.db"), create=True)
    store.add_model(MODEL)
    store.add_predictions([prediction(n) for n in range(3)])
    store.add_verdict(verdict(0))
    store.close()
    (tmp_path / "notes.csv").write_text("id,text\ncase-0,Tall.\n")
    (tmp_path / "broken.csv").write_text("id,note\ncase-0,Lovelace.\n")
    return tmp_path


def test_rows_go_out_and_in_and_are_summed_up(folder: Path) -> None:
    done = script(folder, "review", "answers.db", "--export", "rows.jsonl", "--summary", "review.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "rows.jsonl: 3 predictions, 1 verdicts\nreview.html\n"
    for told in ("3 predictions and 1 verdicts", "0 predictions and 0 verdicts"):
        done = script(folder, "review", "sqlite:///copy.db", "--import", "rows.jsonl")
        assert done.stdout == f"sqlite:///copy.db: {told} that were not there yet\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("answers.db",), "name who judges (--rater NAME …), or --summary"),
        (("nowhere.db", "--rater", "ada"), "nowhere.db: no store is there; scripts/serve.py RUN --store nowhere.db"),
        (("notes.csv", "--rater", "ada"), "notes.csv: file is not a database"),
        (("answers.db", "--rater", "ada", "ada"), '--rater, --adjudicator: "ada" is empty, too long, or there twice'),
        (("answers.db", "--rater", "ada", "--adjudicator", "ada"), '"ada" is empty, too long, or there twice'),
        (("answers.db", "--rater", "ada", "--texts", "broken.csv"), "text"),
        (("answers.db", "--export", "notes.csv"), "notes.csv: is there already"),
        (("answers.db", "--import", "notes.csv"), "notes.csv:1: not JSON"),
        (("answers.db", "--summary", "review.txt"), "expected a name that ends in .html or .pdf"),
    ],
)
def test_what_is_wrong_ends_in_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = script(folder, "review", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
    assert "Lovelace" not in done.stderr


def test_a_page_is_shown_to_this_machine_until_sigterm(folder: Path) -> None:
    command = [str(ROOT / "scripts" / "review.py"), "answers.db", "--rater", "ada", "--texts", "notes.csv"]
    process = fork(run_script, [*command, "--port", "0"], folder, environment(folder), folder)
    try:
        deadline, printed = time.monotonic() + 60, folder / "stdout"
        while not (found := re.search(r"http://127.0.0.1:\d+", printed.read_text() if printed.exists() else "")):
            assert process.is_alive(), (folder / "stderr").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        page = httpx.get(found[0])
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert httpx.get(f"{found[0]}/next?rater=ada").json()["case"]["id"] == "case-1", "case-0 is judged"
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = str(other.getsockname()[1])
            done = script(folder, "review", "answers.db", "--rater", "ada", "--port", port)
        assert done.stderr == f"error: --port {port}: Address already in use; --port 0 takes a free one\n"
        os.kill(process.pid, signal.SIGTERM)  # type: ignore[arg-type]
        process.join(30)
        assert process.exitcode == 0
        assert (folder / "stderr").read_text() == ""
    finally:
        process.kill()
        process.join()
