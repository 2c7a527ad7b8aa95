"""What a model has to beat: the most frequent label, classifiers of the text, and rankings by a patient's findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from osler.errors import InputError
from osler.patients import Patient
from osler.runs import Prediction
from osler.tasks import Case

if TYPE_CHECKING:  # the encoder imports torch, and scikit-learn takes its time
    from sklearn.pipeline import Pipeline

    from osler.baselines.encoder import Classifier
    from osler.baselines.naive_bayes import NaiveBayes
    from osler.baselines.similarity import Similarity

LONGEST_RANKING = 100
"""Of a ranking over all of OMIM. A label further down is not found: the ranks after it decide nothing."""


def majority(train_rows: Sequence[Case], test_rows: Sequence[Case], *, task: str, split: str) -> list[Prediction]:
    """Rank the labels of ``train_rows`` by how often they occur there, the same for every case; ties by label id.

    Probabilities are the frequencies. Raises :class:`~osler.errors.InputError` where ``train_rows`` is empty.
    """
    if not train_rows:
        raise InputError(f"{task}: the majority baseline needs at least one training row")
    frequencies = Counter(row.label for row in train_rows)
    ranked = tuple(sorted(frequencies, key=lambda label: (-frequencies[label], label)))
    probabilities = tuple(frequencies[label] / len(train_rows) for label in ranked)
    return [_prediction(row, "majority", ranked, probabilities, task, split) for row in test_rows]


def tfidf_svm(train_rows: Sequence[Case], test_rows: Sequence[Case], *, task: str, split: str) -> list[Prediction]:
    """The linear classifier everybody would try first: word 1- and 2-grams, sublinear TF-IDF, ``LinearSVC``.

    ``ranked`` follows the decision function over the labels of ``train_rows``; its values are distances, not
    probabilities, which stay None. Source: Joachims (1998), ECML, doi:10.1007/BFb0026683.
    Raises :class:`~osler.errors.InputError` where ``train_rows`` has fewer than two labels.
    """
    return _linear_svm("tfidf_svm", {"ngram_range": (1, 2)}, train_rows, test_rows, task, split)


def tfidf_char_svm(train_rows: Sequence[Case], test_rows: Sequence[Case], *, task: str, split: str) -> list[Prediction]:
    """:func:`tfidf_svm` on character 2- to 5-grams inside words, which inflected and misspelt words still share."""
    return _linear_svm(
        "tfidf_char_svm", {"analyzer": "char_wb", "ngram_range": (2, 5)}, train_rows, test_rows, task, split
    )


def _linear_svm(
    system: str, features: dict[str, Any], train_rows: Sequence[Case], test_rows: Sequence[Case], task: str, split: str
) -> list[Prediction]:
    labels = [row.label for row in train_rows]
    if len(set(labels)) < 2:
        raise InputError(f"{task}: the {system} baseline needs training rows of two labels or more")
    if not test_rows:
        return []
    classifier = _fitted(tuple(features.items()), tuple(row.text for row in train_rows), tuple(labels))
    scores = classifier.decision_function([row.text for row in test_rows])
    if scores.ndim == 1:  # two labels: scikit-learn gives one distance, positive for the second
        scores = np.stack([-scores, scores], axis=1)
    # classes_ is sorted and the sort is stable, so ties go to the smaller label id.
    order = np.argsort(-scores, axis=1, kind="stable")
    return [
        _prediction(row, system, tuple(str(label) for label in classifier.classes_[best_first]), None, task, split)
        for row, best_first in zip(test_rows, order, strict=True)
    ]


@lru_cache(maxsize=1)  # splits, and perturbed copies of them, are asked one after the other
def _fitted(features: tuple[tuple[str, Any], ...], texts: tuple[str, ...], labels: tuple[str, ...]) -> Pipeline:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    classifier = make_pipeline(TfidfVectorizer(sublinear_tf=True, **dict(features)), LinearSVC(random_state=0))
    return classifier.fit(texts, labels)


def encoder(classifier: Classifier, test_rows: Sequence[Case], *, task: str, split: str) -> list[Prediction]:
    """A fine-tuned encoder with a classification head: ranks and probabilities of the labels it was trained on."""
    scores = classifier.log_probabilities([row.text for row in test_rows])
    return [
        _prediction(row, "encoder", *_best_first(classifier.labels, of_row, probable=True), task, split)
        for row, of_row in zip(test_rows, scores, strict=True)
    ]


def ontology_naive_bayes(
    model: NaiveBayes, patients: Mapping[str, Patient], test_rows: Sequence[Case], *, task: str, split: str
) -> list[Prediction]:
    """The panel by its posterior probabilities; ``patients`` are those behind the rows, by case id."""
    return [
        _prediction(
            row,
            "ontology_naive_bayes",
            *_best_first(model.diseases, model.log_posterior(patients[row.case_id]), probable=True),
            task,
            split,
        )
        for row in test_rows
    ]


def semantic_similarity(
    model: Similarity, patients: Mapping[str, Patient], test_rows: Sequence[Case], *, task: str, split: str
) -> list[Prediction]:
    """The panel by its similarity to each patient, which is no probability: that stays None."""
    return _by_similarity("semantic_similarity", None, model, patients, test_rows, task, split)


def semantic_similarity_omim(
    model: Similarity, patients: Mapping[str, Patient], test_rows: Sequence[Case], *, task: str, split: str
) -> list[Prediction]:
    """:func:`semantic_similarity` over all of OMIM, as users of a phenotype-driven search see it.

    A harder question than the panel's, and the only system that answers it: its accuracy says what choosing among the
    panel is worth. ``ranked`` holds the first ``LONGEST_RANKING``.
    """
    return _by_similarity("semantic_similarity_omim", LONGEST_RANKING, model, patients, test_rows, task, split)


def _by_similarity(
    system: str,
    longest: int | None,
    model: Similarity,
    patients: Mapping[str, Patient],
    test_rows: Sequence[Case],
    task: str,
    split: str,
) -> list[Prediction]:
    predictions = []
    for row in test_rows:
        ranked, _ = _best_first(model.diseases, model.scores(patients[row.case_id].present))
        predictions.append(_prediction(row, system, ranked[:longest], None, task, split))
    return predictions


def _best_first(
    labels: Sequence[str], scores: npt.NDArray[Any], probable: bool = False
) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """Labels by falling score, ties in their own order; where the scores are log-probabilities, the probabilities."""
    order = np.argsort(-scores, kind="stable")
    return tuple(labels[i] for i in order), tuple(np.exp(scores[order]).tolist()) if probable else None


def _prediction(
    row: Case,
    system: str,
    ranked: tuple[str, ...],
    probabilities: tuple[float, ...] | None,
    task: str,
    split: str,
) -> Prediction:
    return Prediction(
        case_id=row.case_id,
        task=task,
        split=split,
        system=system,
        label=row.label,
        ranked=ranked,
        probabilities=probabilities,
        subgroups=dict(row.subgroups),
        group=row.group,
    )
