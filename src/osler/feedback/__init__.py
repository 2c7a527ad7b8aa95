"""What a model answered in use and what experts say of it: predictions and verdicts, kept in a database."""

from osler.feedback.records import CODES, Quest, RankedName, StoredModel, StoredPrediction, Verdict, settle

__all__ = [
    "CODES",
    "Quest",
    "RankedName",
    "StoredModel",
    "StoredPrediction",
    "Verdict",
    "forgetting",
    "queues",
    "rows",
    "settle",
    "store",
]
