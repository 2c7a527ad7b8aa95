"""Estimate how often each finding occurs in a disease, from the disease's annotation rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from osler.patients.narrative import ONSET_PHRASES
from osler.terminology import Annotation, Ontology

PSEUDOCOUNTS = (0.5, 1.0)  # added to n and m of every pooled count n/m, because 1/1 is not certainty
SHARE_WEIGHT = 10  # patients that a percentage or a frequency class stands for
UNKNOWN_SHARE = 0.4  # share of patients for a finding annotated without a frequency
UNCOUNTED_ONSET_WEIGHT, MAX_ONSET_WEIGHT = 3, 10  # patients


@dataclass(frozen=True)
class Profile:
    """What patients of a disease have.

    Attributes:
        findings: HPO id → probability.
        female_only, male_only: findings annotated for one sex only.
        onsets: HPO ids of onset terms, each repeated by its weight.
        sex: the only sex affected; None if both are.
    """

    findings: dict[str, float]
    female_only: frozenset[str]
    male_only: frozenset[str]
    onsets: tuple[str, ...]
    sex: str | None


def is_finding(row: Annotation, ontology: Ontology) -> bool:
    """Whether the row says that patients have a phenotypic abnormality."""
    return row.aspect == "P" and not row.negated and row.hpo_id in ontology.phenotypes


def pool_annotations(rows: Sequence[Annotation], ontology: Ontology) -> Profile:
    """Pool the annotation rows of a disease into the probabilities of its findings.

    Counts n of m are added up. A share counts as ``SHARE_WEIGHT`` patients and a row without a frequency as
    ``UNKNOWN_SHARE`` of them; a ``NOT`` row counts its patients as being without the finding.
    """
    pooled: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    sexes: defaultdict[str, set[str | None]] = defaultdict(set)
    for row in rows:
        if row.aspect != "P" or row.hpo_id not in ontology.phenotypes:
            continue
        n, m = row.counts or ((row.share if row.share is not None else UNKNOWN_SHARE) * SHARE_WEIGHT, SHARE_WEIGHT)
        pooled[row.hpo_id][0] += 0 if row.negated else n
        pooled[row.hpo_id][1] += m
        sexes[row.hpo_id].add(row.sex)
    findings = {i: (n + PSEUDOCOUNTS[0]) / (m + PSEUDOCOUNTS[1]) if n else 0.0 for i, (n, m) in sorted(pooled.items())}
    female = frozenset(i for i, s in sexes.items() if s == {"female"})
    male = frozenset(i for i, s in sexes.items() if s == {"male"})
    only = "female" if female and len(female) == len(sexes) else "male" if male and len(male) == len(sexes) else None
    onsets = tuple(
        row.hpo_id
        for row in rows
        if row.aspect == "C" and row.hpo_id in ONSET_PHRASES and not row.negated
        for _ in range(min(row.counts[0], MAX_ONSET_WEIGHT) if row.counts else UNCOUNTED_ONSET_WEIGHT)
    )
    return Profile(findings, female, male, onsets, only)
