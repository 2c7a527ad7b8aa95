"""Identifiers of persons found in clinical texts, and replaced."""
