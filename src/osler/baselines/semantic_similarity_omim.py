"""Semantic similarity over all of OMIM."""

from __future__ import annotations

from collections.abc import Collection

from osler.baselines.baseline import Ranking
from osler.baselines.semantic_similarity import Floats, SemanticSimilarity
from osler.terminology import Annotations

LONGEST = 100  # labels of a ranking


class SemanticSimilarityOmim(SemanticSimilarity):
    """:class:`SemanticSimilarity` over all of OMIM, as users of a phenotype-driven search see it.

    A harder question than the panel's, and the only system that answers it: its accuracy says what choosing among the
    panel is worth. A label after the first hundred is not found: the ranks after it decide nothing.
    """

    def diseases(self, annotations: Annotations) -> Collection[str]:
        """Every disease of OMIM that is annotated."""
        return [disease for disease in annotations.rows if disease.startswith("OMIM:")]

    def ranking(self, scores: Floats) -> Ranking:
        """The first hundred, without probabilities: those of a part of the diseases would not sum to one."""
        return Ranking(Ranking.by_score(self._similarity.diseases, scores).labels[:LONGEST])
