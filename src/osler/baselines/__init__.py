"""What a language model has to beat."""

from osler.baselines.naive_bayes import NaiveBayes
from osler.baselines.similarity import Similarity

__all__ = [
    "NaiveBayes",
    "Similarity",
    "encoder",
    "systems",
]
