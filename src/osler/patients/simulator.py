"""Patients that were never born: drawn from the frequencies in HPO's annotations, so that a model can learn from them.

What a patient *has* comes from the disease's annotation rows; what a description *mentions* is a part of that, said
more or less specifically, among findings that have nothing to do with the disease. The rates below were fitted on
published patients of diseases outside every panel.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from osler.patients.disease_profile import Profile, _is_finding, profile
from osler.patients.narrative import ONSETS
from osler.patients.patient import Patient
from osler.patients.published import published_patients, training_rows
from osler.terminology import PHENOTYPIC_ABNORMALITY, Annotations, Ontology

# Abnormality of the female, of the male genitalia: what a patient of the other sex cannot have.
OTHER_SEX = {"male": "HP:0010460", "female": "HP:0010461"}

# Years of age at onset, as (low, high), for the onset terms a description can name.
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
    """How a description departs from the disease's annotated findings: shares of descriptions, or of their findings."""

    few: float = 0.4  # descriptions of one to four findings, as many case tables hold; and short rows train fast
    background: float = 0.2  # unrelated findings, as common as they are over all diseases
    general: float = 0.1  # an ancestor instead of the annotated term
    specific: float = 0.1  # a child instead
    sibling: float = 0.1  # another child of the same parent
    with_absent: float = 0.4  # descriptions that name absent findings at all
    with_age: float = 0.5  # descriptions that give an age
    with_onset: float = 0.2  # descriptions that give an onset, where the disease has one
    with_sex: float = 0.8


class Simulator:
    """Draws patients of ``diseases`` from annotation rows that no publication in ``held_out`` contributed to.

    The number of findings a description mentions is drawn from the published patients that are *not* held out. ``rows``
    are the rows learnt from, by disease. The same seed gives the same patients, whatever other diseases are drawn from.
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
        self.profiles = {d: profile(rows, ontology) for d, rows in self.rows.items()}
        others = [p for group in published_patients(annotations).values() for p in group.values()]
        self.mentions = sorted(len(p.present) for p in others if held_out.isdisjoint(p.publications))
        common = Counter(i for group in rows.values() for i in {r.hpo_id for r in group if _is_finding(r, ontology)})
        self._background = sorted(common)
        self._cumulative = list(accumulate(common[i] for i in self._background))
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
        k = rng.randint(1, 4) if rng.random() < rates.few else rng.choice(self.mentions)
        unrelated = sum(rng.random() < rates.background for _ in range(k))
        mentioned = [self._said(i, rng) for i in has[: max(1, k - unrelated)]]
        mentioned += [self.unrelated(rng) for _ in range(unrelated if has else k)]
        present = [i for i in dict.fromkeys(mentioned) if not self._of_other_sex(i, sex)]
        while not present:
            present = [i for i in (self.unrelated(rng),) if not self._of_other_sex(i, sex)]
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

    def _of_other_sex(self, hpo_id: str, sex: str) -> bool:
        return OTHER_SEX[sex] in self.ontology.ancestors(hpo_id)

    def _said(self, hpo_id: str, rng: random.Random) -> str:
        """The term a description uses for an annotated finding: mostly itself, sometimes a near one."""
        u, rates = rng.random(), self.rates
        parents = [p for p in self.ontology.terms[hpo_id].parents if p != PHENOTYPIC_ABNORMALITY]
        if u < rates.general:
            return rng.choice(parents) if parents else hpo_id
        if u < rates.general + rates.specific:
            return rng.choice(self._children[hpo_id]) if hpo_id in self._children else hpo_id
        if u < rates.general + rates.specific + rates.sibling and parents:
            return rng.choice(self._children[rng.choice(parents)])
        return hpo_id

    def unrelated(self, rng: random.Random) -> str:
        """A finding as common as it is over all diseases."""
        return self._background[bisect(self._cumulative, rng.random() * self._cumulative[-1])]

    def _absent(self, profile: Profile, present: set[str], has: list[str], rng: random.Random) -> list[str]:
        """One to four absent findings, half of them expected in the disease, none above a present one."""
        implied = {above for i in (*present, *has) for above in self.ontology.ancestors(i)}
        expected = [i for i in profile.findings if i not in implied]
        drawn = (
            rng.choice(expected) if expected and rng.random() < 0.5 else self.unrelated(rng)
            for _ in range(rng.randint(1, 4))
        )
        return [i for i in dict.fromkeys(drawn) if i not in implied]

    def _age(self, onset: str | None, rng: random.Random) -> float:
        low, high = ONSET_YEARS[ONSETS[onset]] if onset in ONSETS else (0.0, 10.0)
        return rng.uniform(low, high) + rng.expovariate(1 / 8)

    def patients(self, per_disease: int, seed: int, name: str = "simulated") -> list[Patient]:
        """``per_disease`` patients of every disease, in an order that does not group the diseases."""
        drawn = []
        for disease in self.profiles:
            for n in range(per_disease):
                # A generator of its own for each patient: adding a disease or a patient changes no other one.
                rng = random.Random(f"{name}/{seed}/{disease}/{n}")
                drawn.append(self.patient(disease, rng, f"{name}/{seed}/{disease}/{n}"))
        random.Random(f"{name}/{seed}").shuffle(drawn)
        return drawn
