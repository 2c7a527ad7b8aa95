"""Simulate patients for training, from the frequencies in HPO's annotations.

What a patient *has* is drawn from the annotation rows of the disease. What a description *mentions* is a part of that,
in more or less specific terms, together with findings unrelated to the disease. The rates were fitted to published
patients of diseases outside every panel (``docs/decisions/patients.md``).
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from osler.patients.disease_profile import Profile, is_finding, pool_annotations
from osler.patients.narrative import ONSET_PHRASES
from osler.patients.patient import Patient
from osler.patients.published import published_patients, training_rows
from osler.terminology import PHENOTYPIC_ABNORMALITY, Annotations, Ontology

# Abnormality of the female or male genitalia: a patient of the other sex cannot have findings below it.
EXCLUDED_BY_SEX = {"male": "HP:0010460", "female": "HP:0010461"}

# Age at onset in years, as (low, high), for each onset phrase.
ONSET_YEARS = {
    "before birth": (0.0, 0.0),
    "at birth": (0.0, 0.0),
    "in the first weeks of life": (0.0, 0.08),
    "in the first year of life": (0.08, 1.0),
    "in childhood": (1.0, 5.0),
    "in adolescence": (5.0, 15.0),
    "in adult life": (16.0, 60.0),
    "in early adult life": (16.0, 40.0),
    "in middle age": (40.0, 60.0),
    "late in life": (60.0, 80.0),
}


@dataclass(frozen=True)
class Rates:
    """How descriptions differ from the annotated findings of a disease, as shares of descriptions or of findings."""

    few: float = 0.4  # descriptions of one to four findings, like many case tables; short rows also train fast
    background: float = 0.2  # findings unrelated to the disease, drawn by their frequency over all diseases
    general: float = 0.1  # findings named by a parent term
    specific: float = 0.1  # findings named by a child term
    sibling: float = 0.1  # findings named by another child of the same parent
    with_absent: float = 0.4  # descriptions with absent findings
    with_age: float = 0.5
    with_onset: float = 0.2  # if the disease has one
    with_sex: float = 0.8


class Simulator:
    """Draws patients of ``diseases`` from the annotation rows that no publication in ``held_out`` contributed to.

    The number of findings that a description mentions is drawn from the published patients that are *not* held out. The
    same seed gives the same patients, whatever other diseases there are.

    Attributes:
        rows: disease → the annotation rows it is drawn from.
        profiles: disease → the probabilities of its findings.
        finding_counts: numbers of findings of the published patients, sorted.
    """

    def __init__(
        self,
        ontology: Ontology,
        annotations: Annotations,
        diseases: Iterable[str],
        held_out: frozenset[str],
        rates: Rates = Rates(),
    ) -> None:
        self.ontology, self.rates = ontology, rates
        rows = {d: training_rows(annotations, d, held_out) for d in annotations.rows}
        self.rows = {d: rows[d] for d in sorted(diseases)}
        self.profiles = {d: pool_annotations(rows, ontology) for d, rows in self.rows.items()}
        published = [p for group in published_patients(annotations).values() for p in group.values()]
        self.finding_counts = sorted(len(p.present) for p in published if held_out.isdisjoint(p.publications))
        diseases_with = Counter(i for own in rows.values() for i in {r.hpo_id for r in own if is_finding(r, ontology)})
        self._background = sorted(diseases_with)
        self._cumulative = list(accumulate(diseases_with[i] for i in self._background))
        self._children: defaultdict[str, list[str]] = defaultdict(list)
        for hpo_id in sorted(ontology.phenotypes):
            for parent in ontology.terms[hpo_id].parents:
                self._children[parent].append(hpo_id)

    def patient(self, disease: str, rng: random.Random, case_id: str) -> Patient:
        """One patient of ``disease`` with at least one present finding."""
        profile, rates = self.profiles[disease], self.rates
        sex = profile.sex or rng.choice(("female", "male"))
        other_sex = profile.male_only if sex == "female" else profile.female_only
        has = [i for i, p in profile.findings.items() if i not in other_sex and rng.random() < p]
        rng.shuffle(has)
        k = rng.randint(1, 4) if rng.random() < rates.few else rng.choice(self.finding_counts)
        unrelated = sum(rng.random() < rates.background for _ in range(k))
        mentioned = [self._reported_term(i, rng) for i in has[: max(1, k - unrelated)]]
        mentioned += [self.background_finding(rng) for _ in range(unrelated if has else k)]
        present = [i for i in dict.fromkeys(mentioned) if not self._is_excluded(i, sex)]
        while not present:
            present = [i for i in (self.background_finding(rng),) if not self._is_excluded(i, sex)]
        absent = self._absent(profile, set(present), has, rng) if rng.random() < rates.with_absent else []
        onset = rng.choice(profile.onsets) if profile.onsets else None
        return Patient(
            case_id=case_id,
            disease=disease,
            present=tuple(present),
            absent=tuple(absent),
            sex=sex if rng.random() < rates.with_sex else None,
            age=self._age(onset, rng) if rng.random() < rates.with_age else None,
            onset=onset if rng.random() < rates.with_onset else None,
        )

    def _is_excluded(self, hpo_id: str, sex: str) -> bool:
        return EXCLUDED_BY_SEX[sex] in self.ontology.ancestors(hpo_id)

    def _reported_term(self, hpo_id: str, rng: random.Random) -> str:
        """The term that a description uses for an annotated finding: usually itself, sometimes a near one."""
        u, rates = rng.random(), self.rates
        parents = [p for p in self.ontology.terms[hpo_id].parents if p != PHENOTYPIC_ABNORMALITY]
        if u < rates.general:
            return rng.choice(parents) if parents else hpo_id
        if u < rates.general + rates.specific:
            return rng.choice(self._children[hpo_id]) if hpo_id in self._children else hpo_id
        if u < rates.general + rates.specific + rates.sibling and parents:
            return rng.choice(self._children[rng.choice(parents)])
        return hpo_id

    def background_finding(self, rng: random.Random) -> str:
        """An HPO id, drawn by the number of diseases that have the finding."""
        return self._background[bisect(self._cumulative, rng.random() * self._cumulative[-1])]

    def _absent(self, profile: Profile, present: set[str], has: list[str], rng: random.Random) -> list[str]:
        """Up to four absent findings, about half of them expected in the disease, none implied by a present one."""
        implied = {above for i in (*present, *has) for above in self.ontology.ancestors(i)}
        expected = [i for i in profile.findings if i not in implied]
        drawn = (
            rng.choice(expected) if expected and rng.random() < 0.5 else self.background_finding(rng)
            for _ in range(rng.randint(1, 4))
        )
        return [i for i in dict.fromkeys(drawn) if i not in implied]

    def _age(self, onset: str | None, rng: random.Random) -> float:
        low, high = ONSET_YEARS[ONSET_PHRASES[onset]] if onset in ONSET_PHRASES else (0.0, 10.0)
        return rng.uniform(low, high) + rng.expovariate(1 / 8)

    def patients(self, per_disease: int, seed: int, name: str = "simulated") -> list[Patient]:
        """``per_disease`` patients of every disease, shuffled. Their case ids begin with ``name``."""
        drawn = []
        for disease in self.profiles:
            for n in range(per_disease):
                # Each patient has its own generator, so that adding a disease or a patient changes no other one.
                rng = random.Random(f"{name}/{seed}/{disease}/{n}")
                drawn.append(self.patient(disease, rng, f"{name}/{seed}/{disease}/{n}"))
        random.Random(f"{name}/{seed}").shuffle(drawn)
        return drawn
