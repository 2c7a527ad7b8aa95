"""What rankers of all diseases have in common as baselines of ``differential``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from osler.baselines.baseline import Baseline, Ranking
from osler.errors import InputError
from osler.ranking import DiseaseIndex, Rankers
from osler.tasks import AllDiseases, Case

RANKED = 100  # diseases that an answer names, of thousands


class RankerBaseline(Baseline):
    """The diseases of the annotations by one ranker; ``ranker`` is its name. It learns nothing and says no
    probabilities."""

    ranker: ClassVar[str]

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Nothing is learnt."""

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """The first :data:`RANKED` diseases."""
        rankers, patients = self.rankers(split), self.source.patients(split)
        answers = []
        for case in cases:
            scores = rankers.score(patients[case.case_id]).of(self.ranker)
            order = np.argsort(-scores, kind="stable")[:RANKED]
            answers.append(Ranking(tuple(rankers.index.diseases[row] for row in order)))
        return answers

    @property
    def source(self) -> AllDiseases:
        """The task's. Raises :class:`InputError` where it is another one than that of ``differential``."""
        if not isinstance(self.task.source, AllDiseases):
            raise InputError(f"evaluation.baselines: {self.name}: not for {self.task.name}, which has labels")
        return self.task.source

    def rankers(self, split: str) -> Rankers:
        """Of what may be known when ``split`` is answered."""
        ontology, _ = self.source.knowledge(self.data)
        return Rankers(DiseaseIndex.build(ontology, self.source.known_at(split)))
