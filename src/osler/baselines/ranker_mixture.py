"""All diseases by the mixture of all rankers that ``scripts/diagnose.py`` uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from osler.baselines.baseline import Ranking
from osler.baselines.ranker import RankerBaseline
from osler.ranking import candidates, load_fusion
from osler.tasks import Case


class RankerMixture(RankerBaseline):
    """The candidates of the rankers, by the probabilities that the shipped :class:`osler.ranking.Fusion` gives them.

    They are divided by their sum: given that the disease is among the candidates.
    """

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """The candidates, with probabilities."""
        rankers, patients, fusion = self.rankers(split), self.source.patients(split), load_fusion()
        answers = []
        for case in cases:
            found = candidates(rankers, patients[case.case_id])
            p = fusion.probabilities(found.features)[:-1]
            labels = [rankers.index.diseases[row] for row in found.rows]
            answers.append(Ranking.by_log_probability(labels, np.log(p) - np.log(p.sum())))
        return answers
