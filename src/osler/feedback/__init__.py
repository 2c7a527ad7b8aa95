"""What a model answered in use and what experts say of it: predictions and verdicts, kept in a database."""

from osler.feedback.records import CODES, RankedName, StoredPrediction, Verdict

__all__ = ["CODES", "RankedName", "StoredPrediction", "Verdict"]
