"""Diseases by the semantic similarity of their annotations to a patient's findings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from osler.baselines.baseline import Baseline, Ranking
from osler.patients import pool_annotations
from osler.tasks import Case
from osler.terminology import Annotations, Ontology

Floats = npt.NDArray[np.float64]


class SemanticSimilarity(Baseline):
    """The panel by its :class:`Similarity` to each patient.

    Its probabilities are softmax(z), where z are the similarities of a patient to all diseases of the panel, less their
    mean, in their standard deviations: one scale for every patient, but fitted to nothing, and so uncalibrated.
    """

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Read the task's ontology and annotations; training cases play no part."""
        ontology, annotations = self.task.source.knowledge(self.data)
        self._similarity = Similarity(ontology, annotations, self.diseases(annotations))

    def diseases(self, annotations: Annotations) -> Collection[str]:
        """Those to rank."""
        return self.task.labels

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """All diseases that have a finding."""
        patients = self.task.source.patients(split)
        return [self.ranking(self._similarity.scores(patients[case.case_id].present)) for case in cases]

    def ranking(self, scores: Floats) -> Ranking:
        """The ranking of a patient with these similarities to ``self._similarity.diseases``."""
        z = (scores - scores.mean()) / (scores.std() or 1.0)
        return Ranking.by_score(self._similarity.diseases, scores, log_softmax(z))


class Similarity:
    """Resnik's similarity of terms, best matches averaged both ways, as Phenomizer ranks diseases.

    Two terms are as similar as their most informative common ancestor has information: -log of the share of all
    diseases that have it (Resnik 1995, IJCAI, arXiv:cmp-lg/9511007). A patient and a disease are as similar as the
    mean, over the findings of each, of the best match among those of the other, averaged over the two directions
    (Köhler et al. 2009, doi:10.1016/j.ajhg.2009.09.003). Absent findings and frequencies play no part.

    Args:
        annotations: of every disease, for the information content; without what is held out.
        diseases: those to rank. One that has no finding cannot be compared, and is left out.

    Attributes:
        diseases: what is ranked, sorted.
        information: -log P(term) by HPO id, natural logarithm, of every term that a disease has.
    """

    def __init__(self, ontology: Ontology, annotations: Annotations, diseases: Iterable[str]) -> None:
        self._ontology = ontology
        profiles = {disease: pool_annotations(rows, ontology).findings for disease, rows in annotations.rows.items()}
        findings = {disease: [i for i, p in of.items() if p > 0] for disease, of in profiles.items()}
        counts = Counter(i for of in findings.values() for i in {a for f in of for a in ontology.ancestors(f)})
        n = sum(map(bool, findings.values()))
        self.information = {i: math.log(n / count) for i, count in counts.items()}
        self.diseases = tuple(sorted(disease for disease in diseases if findings.get(disease)))
        # One row a disease would be ragged: all findings of all diseases stand in one row, and `starts` says where each
        # disease begins. That is what ufunc.reduceat takes, and 8,000 diseases are compared in some milliseconds.
        terms = sorted({f for disease in self.diseases for f in findings[disease]})
        column = {term: i for i, term in enumerate(terms)}
        self._columns = np.array([column[f] for disease in self.diseases for f in findings[disease]], dtype=np.intp)
        self._sizes = np.array([len(findings[disease]) for disease in self.diseases], dtype=np.intp)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._width = len(terms)
        below: dict[str, list[int]] = {}
        for term in terms:
            for above in ontology.ancestors(term):
                below.setdefault(above, []).append(column[term])
        self._below = {above: np.array(columns, dtype=np.intp) for above, columns in below.items()}
        self._resnik = cache(self._term)

    def _term(self, hpo_id: str) -> Floats:
        """Resnik's similarity of one term to every finding of the ranked diseases, shape (findings,)."""
        similarity = np.zeros(self._width)
        common = [above for above in self._ontology.ancestors(hpo_id) if above in self._below]
        for above in sorted(common, key=self.information.__getitem__):  # the most informative is written last
            similarity[self._below[above]] = self.information[above]
        return similarity

    def scores(self, findings: Sequence[str]) -> Floats:
        """The similarity of ``findings`` to each of ``diseases``, shape (diseases,); higher is more alike.

        Raises ``ValueError`` where there is no finding.
        """
        if not findings:
            raise ValueError("no findings to compare")
        terms = np.stack([self._resnik(hpo_id) for hpo_id in findings])
        to_disease = np.maximum.reduceat(terms[:, self._columns], self._starts, axis=1).mean(axis=0)
        to_patient = np.add.reduceat(terms.max(axis=0)[self._columns], self._starts) / self._sizes
        return np.asarray((to_disease + to_patient) / 2)
