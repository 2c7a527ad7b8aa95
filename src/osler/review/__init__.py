"""Experts judge what a model answered: first without its answer, then with it, and what they say is summed up."""

from osler.review.reviewing import open_review
from osler.review.summary import write_summary
from osler.review.texts import read_texts

__all__ = ["open_review", "read_texts", "write_summary"]
