"""Made-up predictions and verdicts, as a store keeps them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from osler.feedback import RankedName, StoredModel, StoredPrediction, Verdict

LABELS = {"OMIM:154700": "Marfan syndrome", "OMIM:163950": "Noonan syndrome 1", "OMIM:130000": "Ehlers-Danlos syndrome"}
MODEL = StoredModel(
    model="canned",
    version="1.0.0",
    recipe_sha256="a" * 64,
    weights_sha256="b" * 64,
    task="made_up",
    labels=LABELS,
)
START = datetime(2026, 3, 1, 8, tzinfo=timezone.utc)


def prediction(number: int = 0, **changes: Any) -> StoredPrediction:
    """The ``number``-th one, a minute after the one before."""
    content: dict[str, Any] = {
        "id": f"case-{number}",
        "at": START + timedelta(minutes=number),
        "model": "canned",
        "version": "1.0.0",
        "recipe_sha256": "a" * 64,
        "weights_sha256": "b" * 64,
        "task": "made_up",
        "text_hmac": f"{number:064x}",
        "tokens": 40,
        "language": "en",
        "findings": ("HP:0001083", "HP:0001166"),
        "subgroups": {"sex": "female"},
        "diagnoses": (
            RankedName(label="OMIM:154700", probability=0.5 + number % 50 / 100),
            RankedName(label="OMIM:163950", probability=0.1),
        ),
        "abstained": False,
        "calibrated": True,
    }
    return StoredPrediction(**content | changes)


def verdict(number: int = 0, rater: str = "ada", right: bool = True, **changes: Any) -> Verdict:
    """What ``rater`` says of the ``number``-th prediction, an hour after the answer."""
    at = START + timedelta(minutes=number + 60)
    return Verdict(**{"prediction": f"case-{number}", "rater": rater, "at": at, "right": right, **changes})
