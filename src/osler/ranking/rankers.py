"""Every disease scored for a patient's findings, by several methods in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from osler.patients import Patient
from osler.ranking.disease_index import Columns, DiseaseIndex, Floats

RANKERS = ("resnik", "resnik_patient", "resnik_disease", "cosine", "sim_gic", "naive_bayes", "absent")

# Mixed into P(finding | disease): how much an annotation is believed, what an annotated ancestor tells of a finding
# below it, and how often a finding is there for another reason.
BELIEVED, FROM_ABOVE, BY_CHANCE = 0.85, 0.8, 0.15


class Scores(NamedTuple):
    """``values``: a row for each of :data:`RANKERS`, a column for each disease of the index; higher is more likely."""

    values: Floats

    def of(self, ranker: str) -> Floats:
        """The scores of one ranker, shape (diseases,)."""
        return np.asarray(self.values[RANKERS.index(ranker)])


class Rankers:
    """All rankers of an index.

    * ``resnik``: the mean of ``resnik_patient`` (over the patient's findings, the information of the most informative
      common ancestor with the disease's findings) and ``resnik_disease`` (the same the other way round). Resnik 1995,
      arXiv:cmp-lg/9511007; Köhler et al. 2009, doi:10.1016/j.ajhg.2009.09.003.
    * ``cosine``: of P(term | disease) × information and of the patient's terms, both closed upwards.
    * ``sim_gic``: information of the terms that both have, over that of the terms that either has. Pesquita et al.
      2008, doi:10.1186/1471-2105-9-S5-S4.
    * ``naive_bayes``: sum over present findings of log P(finding | disease) / P(finding), where a disease that is not
      annotated with the finding is judged by its nearest annotated ancestor. After LIRICAL: Robinson et al. 2020,
      doi:10.1016/j.ajhg.2020.06.021.
    * ``absent``: the same of absent findings.
    """

    def __init__(self, index: DiseaseIndex) -> None:
        self.index = index
        self._implied = sparse.csc_array(index.implied)
        weighted = index.implied.multiply(index.information).tocsr()
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        self._cosine = sparse.csc_array(weighted.multiply(1 / np.maximum(norms, 1e-12)[:, None]))
        has = sparse.csr_array((np.ones_like(index.implied.data), index.implied.indices, index.implied.indptr))
        has.resize(index.implied.shape)
        self._total_information = np.asarray(has @ index.information)
        findings = np.diff(index.annotated.indptr)
        self._mean_of_annotated = sparse.csr_array(
            (np.repeat(1 / findings, findings), index.annotated.indices, index.annotated.indptr),
            shape=index.annotated.shape,
        )
        self._descendants = sparse.csc_array(index.ancestors)

    def score(self, patient: Patient) -> Scores:
        """Shape (rankers, diseases). Raises ``ValueError`` where the patient has no present finding."""
        present, absent = self.index.columns(patient.present), self.index.columns(patient.absent)
        if not present.size:
            raise ValueError(f"{patient.case_id}: no present finding, so there is nothing to rank by")
        to_disease, likelihood = self._best_match(present), self._log_ratios(present, present=True)
        to_patient = self._mean_of_annotated @ self._best_match_of_terms(present)
        shared, size = self._closed(present)
        values = [
            (to_disease + to_patient) / 2,
            to_disease,
            to_patient,
            self._columns_sum(self._cosine, self._above(present)),
            shared / (self._total_information + size - shared),
            likelihood,
            self._log_ratios(absent, present=False),
        ]
        return Scores(np.stack(values))

    def _above(self, columns: Columns) -> Columns:
        return np.unique(np.concatenate([self.index.above(column) for column in columns]))

    def _closed(self, columns: Columns) -> tuple[Floats, float]:
        """The information that each disease shares with the closed findings, and that of these."""
        shared = np.zeros(len(self.index.diseases))
        above = self._above(columns)
        for column in above:
            rows, _ = self._column(column)
            shared[rows] += self.index.information[column]
        return shared, float(self.index.information[above].sum())

    def _column(self, column: int) -> tuple[Columns, Floats]:
        """The diseases that have a term, and how often."""
        start, end = self._implied.indptr[column : column + 2]
        return self._implied.indices[start:end], self._implied.data[start:end]

    def _columns_sum(self, matrix: sparse.csc_array, columns: Columns) -> Floats:
        return np.asarray(matrix[:, columns].sum(axis=1)).ravel()

    def _best_match(self, columns: Columns) -> Floats:
        """Over the patient's findings, the mean information of the best common ancestor with a disease."""
        total = np.zeros(len(self.index.diseases))
        for column in columns:
            best = np.zeros_like(total)
            above = self.index.above(column)
            for a in above[np.argsort(self.index.information[above], kind="stable")]:  # the most informative last
                best[self._column(a)[0]] = self.index.information[a]
            total += best
        return total / len(columns)

    def _best_match_of_terms(self, columns: Columns) -> Floats:
        """For each term of the ontology, the information of its best common ancestor with the patient's findings."""
        best = np.zeros(len(self.index.terms))
        above = self._above(columns)
        for a in above[np.argsort(self.index.information[above], kind="stable")]:
            start, end = self._descendants.indptr[a : a + 2]
            best[self._descendants.indices[start:end]] = self.index.information[a]
        return best

    def _log_ratios(self, columns: Columns, present: bool) -> Floats:
        """Sum over findings of log P(it is as it is | disease) / P(it is as it is), shape (diseases,)."""
        background, total = self.index.background, np.zeros(len(self.index.diseases))
        for column in columns:
            p = np.zeros_like(total)
            for a in self.index.above(column):
                rows, share = self._column(a)
                factor = BELIEVED if a == column else FROM_ABOVE * background[column] / background[a]
                p[rows] = np.maximum(p[rows], factor * share)
            p += BY_CHANCE * background[column]
            ratio = p / background[column] if present else (1 - p) / (1 - background[column])
            total += np.log(ratio)
        return total


def z_scores(scores: npt.NDArray[np.float64]) -> Floats:
    """Each row less its mean, in its standard deviations; a row that says nothing is zero."""
    deviation = scores.std(axis=1, keepdims=True)
    return np.asarray((scores - scores.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0))


def ranks(scores: Floats, right: Sequence[int]) -> Floats:
    """The rank of the best of the columns ``right`` in each row of ``scores``, ties at their mean; 1 is first."""
    best = scores[:, list(right)].max(axis=1, keepdims=True)
    return np.asarray((scores > best).sum(axis=1) + ((scores == best).sum(axis=1) + 1) / 2)
