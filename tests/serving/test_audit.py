"""The audit log: who asked when and what came out, for as long as it is kept, and never the text."""

from __future__ import annotations

import json
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from osler.errors import InputError
from osler.serving import audit
from osler.serving.audit import AuditLog
from osler.serving.diagnosis import Diagnosis, ModelName, RankedLabel

MODEL = ModelName(name="m", version="1.0.0", recipe_sha256="a" * 64, weights_sha256="b" * 64)
FIRST = RankedLabel(label="OMIM:1", name="one", probability=0.5, link=None)
ANSWER = Diagnosis(diagnoses=(FIRST,), abstained=False, reason=None, calibrated=True, warnings=(), model=MODEL)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_a_line_says_who_when_which_model_and_what_and_not_the_text(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit")
    log.write("ward-7", "Ada Lovelace has a fever", ANSWER, 0.25)
    log.write("ward-7", "Ada Lovelace has a fever", ANSWER, 0.25)
    log.write("ward-7", "somebody else", ANSWER, 0.25)
    first, again, other = lines(tmp_path / "audit")
    told = {"who": "ward-7", "model": "m@1.0.0", "weights_sha256": "b" * 64, "label": "OMIM:1", "abstained": False}
    assert told.items() <= first.items()
    assert datetime.fromisoformat(str(first["time"])).tzinfo is not None
    assert first["text_hmac"] == again["text_hmac"] != other["text_hmac"]
    assert "Lovelace" not in json.dumps([first, again, other])
    elsewhere = AuditLog(tmp_path / "elsewhere")
    elsewhere.write("ward-7", "Ada Lovelace has a fever", ANSWER, 0.25)
    assert lines(tmp_path / "elsewhere")[0]["text_hmac"] != first["text_hmac"], "each log has a key of its own"


def test_nobody_else_of_the_machine_reads_it(tmp_path: Path) -> None:
    AuditLog(tmp_path / "audit")
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "audit" / audit.SECRET).stat().st_mode) == 0o600


def test_files_are_deleted_when_their_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    monkeypatch.setattr(audit, "now", lambda: at)
    log = AuditLog(tmp_path, days=30)
    kept = {}
    for day in (0, 1, 30, 31, 32):
        at = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=day)
        log.append({})
        kept[day] = [path.name for path in sorted(tmp_path.glob("*.jsonl"))]
    assert kept[30] == ["audit-2026-01-01.jsonl", "audit-2026-01-02.jsonl", "audit-2026-01-31.jsonl"]
    assert kept[31] == ["audit-2026-01-02.jsonl", "audit-2026-01-31.jsonl", "audit-2026-02-01.jsonl"]
    assert kept[32] == ["audit-2026-01-31.jsonl", "audit-2026-02-01.jsonl", "audit-2026-02-02.jsonl"]


def test_a_spoilt_hash_key_is_named(tmp_path: Path) -> None:
    (tmp_path / audit.SECRET).write_bytes(b"short")
    with pytest.raises(InputError, match="not the 32 bytes that were written there"):
        AuditLog(tmp_path)
