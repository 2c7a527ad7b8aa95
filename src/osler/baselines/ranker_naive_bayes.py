"""All diseases by naive Bayes with back-off along the ontology."""

from __future__ import annotations

from osler.baselines.ranker import RankerBaseline


class RankerNaiveBayes(RankerBaseline):
    """See :class:`osler.ranking.Rankers`."""

    ranker = "naive_bayes"
