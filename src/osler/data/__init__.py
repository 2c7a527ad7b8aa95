"""Training data: the rows a recipe learns from, their tokens, and what they share with held-out cases."""

from osler.data import contamination, duplicates
from osler.data.duplicates import clusters, jaccard, normalise, shingles
from osler.data.mixture import load_components
from osler.data.training_data import IGNORED, TrainingData, build_training_data
from osler.data.training_rows import load_training_rows
from osler.data.training_texts import describe_panel, unknown_share

__all__ = [
    "IGNORED",
    "TrainingData",
    "build_training_data",
    "clusters",
    "contamination",
    "describe_panel",
    "duplicates",
    "jaccard",
    "load_components",
    "load_training_rows",
    "normalise",
    "shingles",
    "unknown_share",
]
