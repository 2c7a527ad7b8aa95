"""Naive Bayes over the ontology: which disease of a panel makes a patient's findings the most likely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from osler.baselines.baseline import Baseline, Ranking
from osler.patients import PSEUDOCOUNTS, Patient, pool_annotations
from osler.tasks import Case
from osler.terminology import PHENOTYPIC_ABNORMALITY, Annotations, Ontology

Floats = npt.NDArray[np.float64]

# What is left of an expected P(finding) where the disease's annotations counted it in nobody: an expectation p and no
# patient of m make (0 + p) / (m + 1), and a dozen patients is a usual m.
COUNTED_IN_NOBODY = 0.1


class OntologyNaiveBayes(Baseline):
    """The panel by its posterior probabilities (:class:`NaiveBayes`), given each patient's findings."""

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Read the task's ontology and annotations; training cases play no part."""
        self._bayes = NaiveBayes(*self.task.source.knowledge(self.data), self.task.labels)

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """The whole panel, with probabilities."""
        patients = self.task.source.patients(split)
        return [
            Ranking.by_log_probability(self._bayes.diseases, self._bayes.log_posterior(patients[case.case_id]))
            for case in cases
        ]


class NaiveBayes:
    """Likelihood ratios in the manner of LIRICAL: Robinson et al. 2020, doi:10.1016/j.ajhg.2020.06.021.

    P(finding | disease) comes from the pooled frequencies the simulator draws from (:func:`pool_annotations`).

    * A finding implies its ancestors: a disease has an ancestor of an annotated term at least as often as that term.
    * A finding that annotations do not imply is judged by its most informative ancestor that they do: P of that
      ancestor, times the share that the finding has in it over all diseases. The last resort is the root, which
      everybody has: then P is the finding's background frequency, and the likelihood ratio is one.
    * Findings are taken as independent, so a present one that another present one implies is left out, and so is an
      absent one below another absent one. Every disease of the panel is as likely beforehand.

    Args:
        annotations: of every disease, for the background; without what is held out.
        diseases: the panel.

    Attributes:
        diseases: the panel, sorted.
        background: the mean P(finding) over all diseases, by HPO id.
    """

    def __init__(self, ontology: Ontology, annotations: Annotations, diseases: Iterable[str]) -> None:
        self.diseases = tuple(sorted(diseases))
        self._ontology = ontology
        annotated = {disease: pool_annotations(rows, ontology).findings for disease, rows in annotations.rows.items()}
        shares = {disease: _implied(findings, ontology) for disease, findings in annotated.items()}
        totals: Counter[str] = Counter()
        for implied in shares.values():
            for hpo_id, share in implied.items():
                totals[hpo_id] += share  # type: ignore[assignment]  # counters hold floats, too
        # Half a disease more has every finding: one that nobody is annotated with is rare, not impossible.
        n = len(annotations.rows)
        self.background = {i: (totals[i] + PSEUDOCOUNTS[0]) / (n + PSEUDOCOUNTS[1]) for i in ontology.phenotypes}
        self.background[PHENOTYPIC_ABNORMALITY] = 1.0
        self._shares = [shares.get(disease, {}) | {PHENOTYPIC_ABNORMALITY: 1.0} for disease in self.diseases]
        self._in_nobody = [
            {i for i in annotated.get(disease, {}) if i not in implied}
            for disease, implied in zip(self.diseases, self._shares, strict=True)
        ]
        self.likelihood = cache(self._likelihood)

    def _likelihood(self, hpo_id: str) -> Floats:
        """P(finding | disease) for every disease of the panel, each above 0 and below 1."""
        above = self._ontology.ancestors(hpo_id) & self._ontology.phenotypes
        informative = sorted(above, key=lambda i: (self.background[i], i))
        p = []
        for shares, in_nobody in zip(self._shares, self._in_nobody, strict=True):
            nearest = next(i for i in informative if i in shares)
            expected = shares[nearest] * self.background[hpo_id] / self.background[nearest]
            p.append(expected if in_nobody.isdisjoint(above) or hpo_id in shares else expected * COUNTED_IN_NOBODY)
        return np.array(p)

    def log_posterior(self, patient: Patient) -> Floats:
        """log P(disease | present and absent findings), shape (diseases,); the probabilities sum to one."""
        ancestors, phenotypes = self._ontology.ancestors, self._ontology.phenotypes - {PHENOTYPIC_ABNORMALITY}
        present, absent = phenotypes.intersection(patient.present), phenotypes.intersection(patient.absent)
        log_likelihood = np.zeros(len(self.diseases))
        for finding in sorted(present):
            if not any(finding in ancestors(other) for other in present - {finding}):
                log_likelihood += np.log(self.likelihood(finding))
        for finding in sorted(absent):
            if ancestors(finding).isdisjoint(absent - {finding}):
                log_likelihood += np.log1p(-self.likelihood(finding))
        return log_likelihood - np.logaddexp.reduce(log_likelihood)


def _implied(findings: Mapping[str, float], ontology: Ontology) -> dict[str, float]:
    """The findings that at least somebody has and everything above them, each as often as the commonest one below."""
    shares: dict[str, float] = {}
    for hpo_id, share in findings.items():
        if share > 0:
            for above in ontology.ancestors(hpo_id) & ontology.phenotypes:
                shares[above] = max(share, shares.get(above, 0.0))
    return shares
