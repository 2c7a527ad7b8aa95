"""The most frequent label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from osler.baselines.baseline import Baseline, Ranking
from osler.errors import InputError
from osler.tasks import Case


class Majority(Baseline):
    """Ranks labels by how often they occur in training, the same for every case; ties by label id.

    Probabilities are the frequencies.
    """

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Count the labels. Raises :class:`InputError` where there is no training case."""
        cases = training()
        if not cases:
            raise InputError(f"{self.task.name}: the baseline {self.name} needs at least one training case")
        counts = Counter(case.label for case in cases)
        labels = tuple(sorted(counts, key=lambda label: (-counts[label], label)))
        self._ranking = Ranking(labels, tuple(counts[label] / len(cases) for label in labels))

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """The same ranking for all."""
        return [self._ranking] * len(cases)
