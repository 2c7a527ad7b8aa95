"""How a language model answers a case: by scoring every label exactly, or by writing text that is then read."""

from osler.scoring.answer import Answer, Scorer
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.labels import LabelScorer, batches
from osler.scoring.scorers import scorer_named
from osler.scoring.trie_pass import score

__all__ = [
    "Answer",
    "LabelScorer",
    "LabelTrie",
    "Layout",
    "Scorer",
    "batches",
    "score",
    "scorer_named",
]
