"""One probability for each of the best candidates, from the scores of all rankers; the weights are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from osler.errors import InputError
from osler.patients import Patient
from osler.ranking.disease_index import Columns, DiseaseIndex, Floats
from osler.ranking.rankers import RANKERS, Rankers, Scores, z_scores
from osler.storage import FileContract

CANDIDATES = 50
PENALTY = 0.01  # on the squared weights, per feature of unit variance

PROPOSING = ("resnik", "cosine", "naive_bayes")  # their z-scores are added, and the best are the candidates
FEATURES = (
    *(f"{kind}:{ranker}" for kind in ("z", "below_best", "below_second") for ranker in RANKERS),
    "log_annotated",
)


class Candidates(NamedTuple):
    """The best candidates for a patient: their rows of the index, and their features, shape (candidates, features)."""

    rows: Columns
    features: Floats


def candidates(rankers: Rankers, patient: Patient, n: int = CANDIDATES) -> Candidates:
    """The ``n`` diseases that :data:`PROPOSING` put first, best first. Raises ``ValueError`` as :meth:`Rankers.score`.

    A score is told as z-score over all diseases, and as its distance to the best and to the second best of them.
    """
    return candidates_by(rankers.score(patient), rankers.index, n)


def candidates_by(scores: Scores, index: DiseaseIndex, n: int = CANDIDATES) -> Candidates:
    """:func:`candidates` from scores that are there already."""
    z = z_scores(scores.values)
    proposed = z[[RANKERS.index(ranker) for ranker in PROPOSING]].sum(axis=0)
    rows = np.argsort(-proposed, kind="stable")[:n]
    best_two = np.partition(z, -2, axis=1)[:, -2:] if z.shape[1] > 1 else np.repeat(z, 2, axis=1)
    annotated = np.diff(index.annotated.indptr)[rows]
    own = z[:, rows]
    features = np.concatenate([own, own - best_two[:, 1:], own - best_two[:, :1], np.log(annotated)[None]])
    return Candidates(rows, features.T)


class Fusion(FileContract):
    """Weights of :data:`FEATURES`, and the score of "none of these"; P = softmax over the candidates and that.

    ``mean`` and ``deviation`` are those of each feature over the candidates that the weights were fitted on. ``fitted``
    says on how many patients and of how many publications.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[Annotated[float, Field(gt=0)], ...]
    weights: tuple[float, ...]
    none_of_these: float
    patients: int
    publications: int

    @model_validator(mode="after")
    def _is_of_these_features(self) -> Fusion:
        if self.features != FEATURES:
            raise ValueError(f"features: other ones than this version computes ({len(FEATURES)}); fit it again")
        if not len(self.mean) == len(self.deviation) == len(self.weights) == len(FEATURES):
            raise ValueError("mean, deviation and weights: expected one number for each of features")
        return self

    def probabilities(self, features: Floats) -> Floats:
        """P of each candidate and, last, of none of them; ``features`` has the shape (candidates, features)."""
        scores = (features - np.array(self.mean)) / np.array(self.deviation) @ np.array(self.weights)
        return np.asarray(softmax(np.append(scores, self.none_of_these)))


@dataclass(frozen=True)
class Example:
    """A patient to fit on: the features of the candidates, which of them are right (none, where the right disease is
    not among them), and the publication."""

    features: Floats
    right: npt.NDArray[np.bool_]
    publication: str


def fit(examples: Sequence[Example], penalty: float = PENALTY) -> Fusion:
    """The weights that make the right candidate of each patient the most likely, each publication counted alike.

    Raises :class:`InputError` where no patient has a right candidate.
    """
    if not any(example.right.any() for example in examples):
        raise InputError("no patient has the right disease among the candidates, so there is nothing to fit")
    features = np.stack([example.features for example in examples])
    flat = features.reshape(-1, features.shape[-1])
    mean, deviation = flat.mean(axis=0), flat.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    standard = (features - mean) / deviation
    right = np.stack([np.append(example.right, not example.right.any()) for example in examples]).astype(float)
    right /= right.sum(axis=1, keepdims=True)
    publications = [example.publication for example in examples]
    counts = {publication: publications.count(publication) for publication in set(publications)}
    share = np.array([1 / counts[publication] for publication in publications]) / len(counts)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        scores = standard @ parameters[:-1]
        log_p = log_softmax(np.column_stack([scores, np.full(len(scores), parameters[-1])]), axis=1)
        error = share[:, None] * (np.exp(log_p) - right)
        gradient = np.append(np.einsum("pc,pcf->f", error[:, :-1], standard), error[:, -1].sum())
        gradient[:-1] += 2 * penalty * parameters[:-1]
        value = -(share[:, None] * right * log_p).sum() + penalty * (parameters[:-1] ** 2).sum()
        return float(value), gradient

    found = minimize(loss, np.zeros(standard.shape[-1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return Fusion(
        schema=1,
        features=FEATURES,
        mean=tuple(mean.tolist()),
        deviation=tuple(deviation.tolist()),
        weights=tuple(found.x[:-1].tolist()),
        none_of_these=float(found.x[-1]),
        patients=len(examples),
        publications=len(counts),
    )
