"""``ledger.jsonl``: an entry a line about models, data and decisions, each under the hash of all before it.

Whoever changes, takes out or moves an entry breaks the chain from there on. Two things the chain alone cannot show:
that entries are missing at its end, and that somebody wrote all of it anew. Both show against a hash of the last entry
that stands elsewhere, as in every ``decision.json``.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock
from pydantic import AwareDatetime, Field, ValidationError

from osler.errors import InputError, show
from osler.storage import Contract, append_line, sha256_text

LEDGER = "ledger.jsonl"
FIRST = "0" * 64  # what the first entry has in place of a hash before it

Kind = Literal["started", "data", "model", "decision", "published", "in use"]


class Entry(Contract):
    """One thing that happened.

    Attributes:
        number: from 1.
        at: when.
        kind: what kind of thing.
        subject: what it is about: a task and its version, a run's name and version.
        by: the person who answers for it; null for what a program noted.
        content: the hashes and figures that belong to it.
        previous: the hash of the entry before.
        sha256: of all of the above.
    """

    number: Annotated[int, Field(ge=1)]
    at: AwareDatetime
    kind: Kind
    subject: str
    by: str | None
    content: dict[str, Any]
    previous: str
    sha256: str

    @property
    def expected_sha256(self) -> str:
        """What ``sha256`` has to be."""
        return _hash(self.model_dump(mode="json", exclude={"sha256"}))


class Ledger:
    """The log in the file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, kind: Kind, subject: str, content: Mapping[str, Any], by: str | None = None) -> Entry:
        """Add an entry; several processes may do so at once.

        Raises :class:`InputError` where the chain is broken: nothing is added to it then.
        """
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            last = deque(self.entries(), maxlen=1).pop() if self.path.is_file() else None
            told = {
                "number": last.number + 1 if last else 1,
                "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                "kind": kind,
                "subject": subject,
                "by": by,
                "content": json.loads(json.dumps(content, allow_nan=False)),
                "previous": last.sha256 if last else FIRST,
            }
            entry = Entry.model_validate_json(json.dumps(told | {"sha256": FIRST}))
            entry = entry.model_copy(update={"sha256": entry.expected_sha256})
            append_line(self.path, entry.model_dump(mode="json"))
        return entry

    def entries(self) -> Iterator[Entry]:
        """All entries, the oldest first; none where there is no file.

        Raises :class:`InputError` that names the first one which is not as it was written.
        """
        if not self.path.is_file():
            return
        previous = FIRST
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{self.path}:{number}"
                try:
                    entry = Entry.model_validate_json(line)
                except ValidationError as error:
                    fault = error.errors()[0]
                    at = ".".join(map(str, fault["loc"]))
                    raise InputError(f"{where}: no entry of a ledger ({at or 'line'}: {fault['msg']})") from None
                if entry.sha256 != entry.expected_sha256:
                    raise InputError(f"{where}: entry {entry.number} was changed after it was written")
                if entry.number != number or entry.previous != previous:
                    raise InputError(
                        f"{where}: entry {entry.number} does not follow the one before it: an entry was taken out,"
                        " put in or moved"
                    )
                previous = entry.sha256
                yield entry

    def verify(self, head: str | None = None) -> tuple[int, str]:
        """How many entries there are, and the hash of the last one.

        Raises :class:`InputError` where an entry is not as it was written, or none has the hash ``head``.
        """
        number, found, last = 0, head is None, FIRST
        for entry in self.entries():
            number, last = entry.number, entry.sha256
            found = found or last == head
        if not found:
            raise InputError(
                f"{self.path}: none of its {number:,} entries has the hash {show(head)}: entries are missing at its"
                " end, or all of it was written anew"
            )
        return number, last


def project_ledger(project: Path) -> Ledger | None:
    """The ledger of a project; None where it keeps none: ``scripts/audit.py start`` begins one."""
    path = project / LEDGER
    return Ledger(path) if path.is_file() else None


def _hash(content: Mapping[str, Any]) -> str:
    return sha256_text(json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False))
