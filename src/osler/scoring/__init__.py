"""What a language model answers: labels scored exactly, or text written and read."""

from osler.scoring.answer import Answer, Scorer
from osler.scoring.labels import LabelScorer, batches
from osler.scoring.scorers import scorer_named
from osler.scoring.trie_pass import Layout, score

__all__ = [
    "Answer",
    "LabelScorer",
    "Layout",
    "Scorer",
    "batches",
    "score",
    "scorer_named",
]
