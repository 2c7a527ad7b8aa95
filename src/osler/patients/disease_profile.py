"""How often each finding occurs in a disease, pooled over its annotation rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from osler.patients.narrative import ONSETS
from osler.terminology import Annotation, Ontology

PRIOR = (0.5, 1.0)  # added to n and to m of every pooled count: 1/1 is not certainty
SHARE_WEIGHT = 10  # patients that a percentage or a frequency class without counts stands for
UNKNOWN_SHARE = 0.4  # of patients, for a finding annotated without any frequency


@dataclass(frozen=True)
class Profile:
    """A disease as the simulator sees it: P(finding) per sex, onsets seen, and the only sex affected, if one."""

    findings: dict[str, float]
    female_only: frozenset[str]
    male_only: frozenset[str]
    onsets: tuple[str, ...]
    sex: str | None


def _is_finding(row: Annotation, ontology: Ontology) -> bool:
    return row.aspect == "P" and not row.negated and row.hpo_id in ontology.phenotypes


def profile(rows: Sequence[Annotation], ontology: Ontology) -> Profile:
    """Pool a disease's rows into P(finding): counts add up, a share stands for ``SHARE_WEIGHT`` patients, ``NOT`` rows
    for as many patients without the finding, and a row without frequency for ``UNKNOWN_SHARE``."""
    pooled: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    sexes: defaultdict[str, set[str | None]] = defaultdict(set)
    for row in rows:
        if row.aspect != "P" or row.hpo_id not in ontology.phenotypes:
            continue
        n, m = row.counts or ((row.share if row.share is not None else UNKNOWN_SHARE) * SHARE_WEIGHT, SHARE_WEIGHT)
        pooled[row.hpo_id][0] += 0 if row.negated else n
        pooled[row.hpo_id][1] += m
        sexes[row.hpo_id].add(row.sex)
    findings = {i: (n + PRIOR[0]) / (m + PRIOR[1]) if n else 0.0 for i, (n, m) in sorted(pooled.items())}
    female = frozenset(i for i, s in sexes.items() if s == {"female"})
    male = frozenset(i for i, s in sexes.items() if s == {"male"})
    only = "female" if female and len(female) == len(sexes) else "male" if male and len(male) == len(sexes) else None
    onsets = tuple(
        row.hpo_id
        for row in rows
        if row.aspect == "C" and row.hpo_id in ONSETS and not row.negated
        for _ in range(min(row.counts[0], 10) if row.counts else 3)
    )
    return Profile(findings, female, male, onsets, only)
