"""A linear classifier of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from osler.baselines.baseline import Baseline, Ranking
from osler.errors import InputError
from osler.statistics import calibration, log_linear
from osler.tasks import Case

FOLDS = 3  # of the training cases, for the temperature
TEMPERATURES = (0.005, 20.0)  # where it is looked for; decision values differ by tenths
MIN_JUDGED = 10  # training cases whose label is in other folds too, before they say anything of a temperature

Floats = npt.NDArray[np.float64]


class TfidfSvm(Baseline):
    """The classifier everybody would try first: word 1- and 2-grams, sublinear TF-IDF, ``LinearSVC``.

    Rankings follow the decision function over the labels of the training cases. Its values are distances; probabilities
    are softmax(distances / T), with the T of least log loss on training cases that the classifier did not see: three
    folds, all tellings of a patient and all patients of a publication in one. A label that is in one fold only has no
    distance there, and its cases do not count; where fewer than ``MIN_JUDGED`` count, there are no probabilities.
    Sources: Joachims (1998), ECML, doi:10.1007/BFb0026683; Guo et al. (2017), ICML (temperature scaling).
    """

    ngrams: ClassVar[Mapping[str, Any]] = {"ngram_range": (1, 2)}  # of TfidfVectorizer

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Fit the classifier. Raises :class:`InputError` where training cases have fewer than two labels."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        cases = training()
        labels = np.array([case.label for case in cases])
        if len(set(labels)) < 2:
            raise InputError(f"{self.task.name}: the baseline {self.name} needs training cases of two labels or more")
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, **self.ngrams)
        texts = self._vectorizer.fit_transform([case.text for case in cases])
        self._classifier = _classifier(texts, labels)
        self._temperature = _temperature(texts, labels, [case.unit for case in cases])
        if self._temperature is None:
            print(
                f"{self.name}: no probabilities: of {len(cases):,} training cases fewer than {MIN_JUDGED} have a label"
                " that patients of another fold have too"
            )

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """All labels of the training cases."""
        scores = _distances(self._classifier, self._vectorizer.transform([case.text for case in cases]))
        labels, temperature = self._classifier.classes_, self._temperature  # sorted: ties go to the smaller label id
        if temperature is None:
            return [Ranking.by_score(labels, row) for row in scores]
        return [Ranking.by_score(labels, row, log_softmax(row / temperature)) for row in scores]


def _classifier(texts: Any, labels: npt.NDArray[np.str_]) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(random_state=0).fit(texts, labels)


def _distances(classifier: Any, texts: Any) -> Floats:
    """The decision function, (cases, labels)."""
    scores = np.asarray(classifier.decision_function(texts))
    # Of two labels, scikit-learn gives one distance, positive for the second.
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def _temperature(texts: Any, labels: npt.NDArray[np.str_], units: Sequence[str]) -> float | None:
    """T, from the distances of each fold to the classifier of the others; None where too few cases can be judged."""
    panel = np.unique(labels)
    columns, folds = np.searchsorted(panel, labels), log_linear.grouped_folds(units, FOLDS)
    scores = np.full((len(labels), len(panel)), -np.inf)
    for fold in np.unique(folds):
        held_out, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(known := np.unique(columns[others])) > 1:
            scores[np.ix_(held_out, known)] = _distances(_classifier(texts[others], labels[others]), texts[held_out])
    judged = np.isfinite(scores[np.arange(len(labels)), columns])
    if judged.sum() < MIN_JUDGED:
        return None
    return calibration.softmax_temperature(scores[judged], columns[judged], TEMPERATURES)
