"""How a language model answers a case: by scoring every label exactly, or by writing text that is then read."""

from osler.scoring.answer import Answer, Scorer
from osler.scoring.classifier import ClassifierScorer
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.labels import LabelScorer, batches, ranking
from osler.scoring.passes import Seen, Way, choice_log_probabilities, score
from osler.scoring.prefix import padded
from osler.scoring.proof import BOUND, WAYS, prove
from osler.scoring.reranker import LABEL, Candidates, RerankerScorer, candidate_scores
from osler.scoring.scorers import scorer_named

__all__ = [
    "BOUND",
    "LABEL",
    "WAYS",
    "Answer",
    "Candidates",
    "ClassifierScorer",
    "LabelScorer",
    "LabelTrie",
    "Layout",
    "RerankerScorer",
    "Scorer",
    "Seen",
    "Way",
    "batches",
    "candidate_scores",
    "choice_log_probabilities",
    "padded",
    "prove",
    "ranking",
    "score",
    "scorer_named",
]
