"""From an export to clean, split, de-identified data with a report, a card, a task and a recipe."""

from osler.preparation.cleaning import USUAL, steps
from osler.preparation.deidentification.identifiers import TYPES, Identifier
from osler.preparation.preparation import MADE, prepare
from osler.preparation.pseudonyms import deidentifier
from osler.preparation.readers.reading import read
from osler.preparation.readers.record import Columns
from osler.preparation.settings import Preparation
from osler.preparation.splitting import assign
from osler.preparation.workspace import check_apart

__all__ = [
    "MADE",
    "TYPES",
    "USUAL",
    "Columns",
    "Identifier",
    "Preparation",
    "assign",
    "check_apart",
    "data_report",
    "dataset_card",
    "deidentifier",
    "inputs",
    "prepare",
    "read",
    "scaffold",
    "steps",
]
