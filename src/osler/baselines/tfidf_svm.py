"""A linear classifier of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from osler.baselines.baseline import Baseline, Ranking
from osler.errors import InputError
from osler.tasks import Case


class TfidfSvm(Baseline):
    """The classifier everybody would try first: word 1- and 2-grams, sublinear TF-IDF, ``LinearSVC``.

    Rankings follow the decision function over the labels of the training cases. Its values are distances, not
    probabilities, of which there are none. Source: Joachims (1998), ECML, doi:10.1007/BFb0026683.
    """

    ngrams: ClassVar[Mapping[str, Any]] = {"ngram_range": (1, 2)}  # of TfidfVectorizer

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Fit the classifier. Raises :class:`InputError` where training cases have fewer than two labels."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        cases = training()
        labels = [case.label for case in cases]
        if len(set(labels)) < 2:
            raise InputError(f"{self.task.name}: the baseline {self.name} needs training cases of two labels or more")
        vectorizer = TfidfVectorizer(sublinear_tf=True, **self.ngrams)
        self._classifier = make_pipeline(vectorizer, LinearSVC(random_state=0))
        self._classifier.fit([case.text for case in cases], labels)

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """All labels of the training cases."""
        scores = self._classifier.decision_function([case.text for case in cases])
        if scores.ndim == 1:  # two labels: scikit-learn gives one distance, positive for the second
            scores = np.stack([-scores, scores], axis=1)
        # classes_ is sorted, so ties go to the smaller label id.
        return [Ranking.by_score(self._classifier.classes_, row) for row in scores]
