"""A run on the Hub: checks, model card, upload, verification."""

from osler.publishing.checks import FailedCheck

__all__ = [
    "FailedCheck",
    "card",
    "checks",
    "folder",
    "release",
    "space",
]
