"""Osler: versioned recipes that fine-tune open LLMs for medical diagnosis, and score them honestly."""

__version__ = "0.1.0"
