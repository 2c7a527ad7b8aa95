"""The labels of a task whose data are elsewhere: for asking a model, not for training or evaluating one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osler.errors import InputError
from osler.recipe import DataSection
from osler.tasks.case import Case, Cases
from osler.tasks.source import TextSource


class KnownPanel(TextSource):
    """``labels`` and no rows."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """Raises :class:`InputError`."""
        raise InputError("only the labels of this task are known here, none of its rows")

    def split(self, name: str) -> list[Case]:
        """None."""
        return []

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """None."""
        return {}
