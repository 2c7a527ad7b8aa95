"""Who asked what when, without what: a line a request, a file a day, deleted when their time is up."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from osler.errors import InputError
from osler.serving.diagnosis import Diagnosis
from osler.storage import append_line, check_folder

SECRET = ".hash-key"  # in the folder; without it nobody can try texts against the hashes
DAYS = 180
_OWN = re.compile(r"audit-\d{4}-\d{2}-\d{2}\.jsonl")


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(timezone.utc)


@dataclass
class AuditLog:
    """The log in ``folder``.

    Args:
        days: files of longer ago are deleted.
        readable: what takes the patient out of a text that is to be kept; None, as usual, keeps none.
    """

    folder: Path
    days: int = DAYS
    readable: Callable[[str], str] | None = None
    _secret: bytes = field(init=False, repr=False)
    _today: date | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / SECRET
        if not path.is_file():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        self._secret = path.read_bytes()
        if len(self._secret) != 32:
            raise InputError(f"{path}: not the 32 bytes that were written there; move it away for a new one")

    def write(self, who: str, text: str, answer: Diagnosis, seconds: float) -> None:
        """A line about an answered request."""
        first = answer.diagnoses[0] if answer.diagnoses else None
        self.append(
            {
                "who": who,
                "request_id": answer.request_id,
                "text_hmac": hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest(),
                "model": f"{answer.model.name}@{answer.model.version}",
                "weights_sha256": answer.model.weights_sha256,
                "label": first and first.label,
                "probability": first and first.probability,
                "abstained": answer.abstained,
                "warnings": len(answer.warnings),
                "seconds": round(seconds, 4),
                **({"text": self.readable(text)} if self.readable else {}),
            }
        )

    def append(self, content: dict[str, object]) -> None:
        """A line in today's file, with the time."""
        at = now()
        if self._today != at.date():
            self._today = at.date()
            self._delete_old()
        timed = {"time": at.isoformat(timespec="milliseconds"), **content}
        append_line(self.folder / f"audit-{self._today}.jsonl", timed)

    def _delete_old(self) -> None:
        oldest = f"audit-{now().date() - timedelta(days=self.days)}.jsonl"
        for path in self.folder.glob("audit-*.jsonl"):
            if _OWN.fullmatch(path.name) and path.name < oldest:
                path.unlink(missing_ok=True)
