"""All diseases by the cosine of their findings and the patient's."""

from __future__ import annotations

from osler.baselines.ranker import RankerBaseline


class RankerCosine(RankerBaseline):
    """See :class:`osler.ranking.Rankers`."""

    ranker = "cosine"
