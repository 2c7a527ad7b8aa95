"""How a command ends: one line that every terminal can show."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, environment

from osler.errors import exit_status
from osler.storage.files import write_atomically


def test_letters_that_a_terminal_does_not_know_end_no_command(tmp_path: Path) -> None:
    code = (
        "import sys; from osler.errors import InputError, exit_status\n"
        "def main():\n"
        "    print('naïve ☃')\n"
        "    raise InputError('half a letter: \\udcff ☃')\n"
        "sys.exit(exit_status(main))"
    )
    for encoding in ("ascii", "latin-1", "utf-8"):
        variables = {**environment(tmp_path), "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, timeout=60)
        assert done.returncode == 2, done.stderr
        assert done.stdout.startswith(b"na"), encoding
        assert done.stderr.count(b"\n") == 1, encoding
    assert all("exit_status(main)" in path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("*.py"))


def test_a_command_whose_output_nobody_reads_ends_without_a_word(tmp_path: Path) -> None:
    code = (
        "import sys; from osler.errors import exit_status\n"
        "def main():\n"
        "    print('line\\n' * int(sys.argv[1]))\n"
        "    return 0\n"
        "sys.exit(exit_status(main))"
    )
    for lines in ("1", "100000"):  # written at the end, and at once
        command = [sys.executable, "-c", code, lines]
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb") as unread:
            done = subprocess.run(
                command, env=environment(tmp_path), stdout=unread, stderr=subprocess.PIPE, timeout=60, check=False
            )
        assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_is_one_line_that_names_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, copy = tmp_path / "results.json", tmp_path / "copy.json"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def copied() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path), None, str(copy))

    monkeypatch.setattr(os, "fsync", full)
    assert exit_status(lambda: write_atomically(path, "{}") or 0) == 2
    assert capsys.readouterr().err == f"error: {path}: No space left on device; make room, then run this again\n"
    assert exit_status(copied) == 2
    assert f"error: {copy}: No space left" in capsys.readouterr().err, "the copy, not what was copied"
    assert exit_status(lambda: full() or 0) == 2
    assert capsys.readouterr().err.startswith("error: the disk: No space left")
