"""What a model answered in use and what experts say of it: predictions and verdicts, kept in a database."""

from osler.feedback.records import (
    CODES,
    Quest,
    RankedName,
    StoredModel,
    StoredPrediction,
    Verdict,
    by_prediction,
    right_label,
    settle,
)

__all__ = [
    "CODES",
    "Quest",
    "RankedName",
    "StoredModel",
    "StoredPrediction",
    "Verdict",
    "by_prediction",
    "forgetting",
    "queues",
    "right_label",
    "rows",
    "settle",
    "store",
]
