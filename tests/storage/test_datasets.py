"""A dataset that is not here and cannot be had is told in one line."""

from __future__ import annotations

from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import logging

from osler.errors import InputError
from osler.storage import hub_file


def test_the_tries_are_not_told_one_by_one(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any, **__: Any) -> None:
        logging.get_logger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    level = logging.get_verbosity()
    with pytest.raises(InputError, match=r"the Hub did not give it \(OSError\); go online, or set OSLER_DATA_DIR"):
        hub_file("jane/patients", "0" * 40, "test.jsonl", "patients/test.jsonl")
    assert "Retrying" not in "".join(capfd.readouterr())
    assert logging.get_verbosity() == level
