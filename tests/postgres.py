"""A real PostgreSQL server for the tests: Debian's package, started in a folder of its own, on a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a server, without a database's name: ``postgresql://osler@/{}?host=…``; skipped where there is no
    server to start."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # The server refuses to be root's; Debian's package makes a user for it.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = tempfile.mkdtemp(prefix="osler-postgres-")  # not pytest's folder, which is its owner's alone
    shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(BINARIES[-1] / program), *arguments]
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run("initdb", "-D", f"{folder}/data", "-U", "osler", "--auth=trust", "--no-sync")
        # Without fsync it is quick, and what a killed client was told is there all the same.
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run("pg_ctl", "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", "start")
        try:
            yield f"postgresql://osler@/{{}}?host={folder}"
        finally:
            run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
