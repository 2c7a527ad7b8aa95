"""All diseases by a mixture of all rankers, learnt from published patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from osler.baselines.baseline import Ranking
from osler.baselines.ranker import RankerBaseline
from osler.errors import InputError
from osler.ranking import candidates, examples, fit
from osler.tasks import Case


class RankerMixture(RankerBaseline):
    """The candidates of the rankers, by the probabilities that :class:`osler.ranking.Fusion` gives them.

    They are divided by their sum: given that the disease is among the candidates.
    """

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Fit on the training patients of the task. Raises :class:`InputError` where there are none here."""
        patients = self.source.training_patients()
        if not patients:
            raise InputError(
                f"evaluation.baselines: {self.name}: learns from Phenopacket Store, which is not here; get it with"
                " scripts/fetch_phenopackets.py, and set OSLER_DATA_DIR to the folder that the script names"
            )
        units = {patient.case_id: self.source.unit(patient) or patient.case_id for patient in patients}
        self._fusion = fit(examples(self.rankers("train"), patients, units))

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """The candidates, with probabilities."""
        rankers, patients = self.rankers(split), self.source.patients(split)
        answers = []
        for case in cases:
            found = candidates(rankers, patients[case.case_id])
            p = self._fusion.probabilities(found.features)[:-1]
            labels = [rankers.index.diseases[row] for row in found.rows]
            answers.append(Ranking.by_log_probability(labels, np.log(p) - np.log(p.sum())))
        return answers
