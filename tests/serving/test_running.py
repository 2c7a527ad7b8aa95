"""From the command line to a listening server, and to an end that loses nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import pytest
from forked import fork, run_script
from project import ROOT, environment, script
from served import TEXT

from osler.feedback.store import open_store

pytestmark = pytest.mark.slow


@contextmanager
def serving(folder: Path, *arguments: str | Path) -> Iterator[tuple[str, BaseProcess]]:
    """``scripts/serve.py`` at work: its address and its process."""
    command = [str(ROOT / "scripts" / "serve.py"), *map(str, arguments), "--port", "0"]
    process = fork(run_script, command, folder, environment(folder), folder)
    try:
        deadline, printed = time.monotonic() + 60, folder / "stdout"
        while not (found := re.search(r"http://\S+", printed.read_text() if printed.exists() else "")):
            assert process.is_alive(), (folder / "stderr").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield found[0], process
    finally:
        process.kill()
        process.join()


def test_sigterm_under_load_answers_what_was_accepted(tmp_path: Path, evaluated_run: Path) -> None:
    statuses: list[int] = []
    ended = time.monotonic() + 60

    def ask(address: str) -> None:
        while time.monotonic() < ended:
            try:
                answer = httpx.post(f"{address}/diagnose", json={"text": TEXT}, timeout=30)
            except (httpx.ConnectError, httpx.ReadError):
                return  # it no longer listens, or the port closed before it took the connection
            statuses.append(answer.status_code)
            assert answer.json().keys() & {"diagnoses", "error"}

    keep = ("--audit", tmp_path / "audit", "--store", tmp_path / "answers.db")
    with serving(tmp_path, evaluated_run, *keep) as (address, process):
        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask, address) for _ in range(8)]
            while statuses.count(200) < 20:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGTERM)  # type: ignore[arg-type]
            for one in asking:
                one.result()
        process.join(30)
        assert process.exitcode == 0
    assert set(statuses) <= {200, 503}
    (log,) = (tmp_path / "audit").glob("*.jsonl")
    assert len(log.read_text().splitlines()) == statuses.count(200)
    assert len(list(open_store(str(tmp_path / "answers.db")).predictions())) == statuses.count(200)
    assert (tmp_path / "stderr").read_text().count("Traceback") == 0


def test_an_open_server_listens_to_this_machine_alone(tmp_path: Path, evaluated_run: Path) -> None:
    done = script(tmp_path, "serve", evaluated_run, "--host", "0.0.0.0")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: --host 0.0.0.0: other machines could ask, and nobody needs a key; give --keys"
    )


def test_a_port_in_use_is_named(tmp_path: Path, evaluated_run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = script(tmp_path, "serve", evaluated_run, "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == f"error: --host 127.0.0.1 --port {port}: Address already in use; --port 0 takes a free one\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a run directory, or USER/NAME@vX"),
        (("runs/x", "--oidc-issuer", "https://id.example"), "--oidc-issuer and --oidc-audience go together"),
        (("runs/x", "--keep-text"), "--keep-text goes with --audit FOLDER or --store URL"),
        (("runs/x", "--store", "mysql://host/answers"), "mysql://host/answers: expected a file's path"),
        (("runs/x", "--store", "nowhere/answers.db"), "there is no folder nowhere"),
        (
            ("runs/x", "--oidc-issuer", "http://id.example", "--oidc-audience", "osler"),
            "--oidc-issuer http://id.example: expected https://",
        ),
        (("runs/x", "--seconds", "0"), "--seconds and --audit-days: numbers above 0"),
        (("runs/x", "--seconds", "nan"), "--seconds and --audit-days: numbers above 0"),
        (("runs/x", "--keys", "nowhere"), "--keys nowhere: cannot be read"),
        (("--new-key", "a:b"), "--new-key a:b: letters, digits"),
    ],
)
def test_wrong_options_end_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = script(tmp_path, "serve", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_a_key_that_somebody_wrote_into_the_file_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("my-secret-key-itself\n")
    done = script(tmp_path, "serve", "runs/x", "--keys", "keys.txt")
    assert "keys.txt:1: not NAME:SHA256" in done.stderr
    assert "my-secret" not in done.stderr


def test_texts_are_kept_only_without_the_patient(tmp_path: Path, evaluated_run: Path) -> None:
    note = f"Mr. John Smith, MRN 00481516, was seen on 3 March 2021. {TEXT}"
    keep = ("--audit", tmp_path / "audit", "--store", f"sqlite:///{tmp_path}/answers.db", "--keep-text")
    with serving(tmp_path, evaluated_run, *keep) as (address, process):
        assert httpx.get(f"{address}/version").json()["keeps_texts"]
        assert httpx.post(f"{address}/diagnose", json={"text": note}).status_code == 200
        os.kill(process.pid, signal.SIGTERM)  # type: ignore[arg-type]
        process.join(30)
    (log,) = (tmp_path / "audit").glob("*.jsonl")
    (answered,) = open_store(str(tmp_path / "answers.db")).predictions()
    for text in (log.read_text(), answered.text or ""):
        assert "heart murmur" in text
        assert "Smith" not in text
        assert "00481516" not in text
