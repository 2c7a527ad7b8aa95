"""All diseases by Resnik's similarity of terms."""

from __future__ import annotations

from osler.baselines.ranker import RankerBaseline


class RankerResnik(RankerBaseline):
    """See :class:`osler.ranking.Rankers`."""

    ranker = "resnik"
