"""A file that says which ids are one disease: a line each, ``ORPHA:558<TAB>OMIM:154700``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from osler.errors import InputError, show
from osler.storage import read_text

ID = re.compile(r"[A-Z]{1,20}:\w{1,40}")


def read_equivalents(path: Path) -> Mapping[str, str]:
    """Id → the id it is ranked under, which may have a line of its own. Empty lines, and those that begin with ``#``,
    say nothing.

    Raises:
        InputError: a line is something else, says of an id what another line says otherwise, or closes a cycle.
    """
    under: dict[str, str] = {}
    said: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        ids = [part.strip() for part in line.split("\t")]
        if len(ids) != 2 or not all(map(ID.fullmatch, ids)):
            raise InputError(
                f"{path}:{number}: {show(line)}; expected two ids with a tab between, ORPHA:558 OMIM:154700"
            )
        one, other = ids
        if under.setdefault(one, other) != other:
            raise InputError(f"{path}:{number}: {one} is {other} here and {under[one]} in line {said[one]}; keep one")
        said.setdefault(one, number)
    for one in under:
        _check_chain(one, under, path, said)
    return under


def _check_chain(one: str, under: Mapping[str, str], path: Path, said: Mapping[str, int]) -> None:
    chain = [one]
    while (following := under.get(chain[-1])) is not None:
        if following in chain:
            cycle = [*chain[chain.index(following) :], following]
            raise InputError(f"{path}:{said[chain[-1]]}: a cycle, {' → '.join(cycle)}; take one of its lines out")
        chain.append(following)
