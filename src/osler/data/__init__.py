"""Training data: the rows a recipe learns from, their tokens, and what they share with held-out cases."""

from osler.data.duplicates import clusters, jaccard, normalise, shingles
from osler.data.training_data import IGNORED, TrainingData, build_training_data

__all__ = [
    "IGNORED",
    "TrainingData",
    "build_training_data",
    "clusters",
    "contamination",
    "duplicates",
    "jaccard",
    "mixture",
    "normalise",
    "shingles",
    "training_rows",
]
