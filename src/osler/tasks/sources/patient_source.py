"""Patients of an ontology as cases: told in sentences, told again with something changed, and their subgroups."""

from __future__ import annotations

import math
import random
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from osler.patients import (
    EXCLUDED_BY_SEX,
    TEMPLATES,
    Patient,
    Simulator,
    choose_wordings,
    describe,
    select_findings,
    write_sentences,
)
from osler.recipe import DataSection
from osler.tasks.augmentation import Augmentation, denying, generalised, templates
from osler.tasks.case import Case, Cases, changed
from osler.tasks.perturbation import PATIENT_PERTURBATIONS, Perturbation
from osler.terminology import PHENOTYPIC_ABNORMALITY, Annotation, Annotations, Ontology, Vocabulary

IRRELEVANT_DRAWS = 1000  # a small ontology may hold no unrelated finding at all
# Subgroups, each below its limit: years of age, findings a patient has, patients a disease's annotations count.
AGE_BANDS = ((5, "0-4"), (18, "5-17"), (math.inf, "18+"))
FINDING_BANDS = ((6, "1-5"), (11, "6-10"), (math.inf, "11+"))
ANNOTATED_BANDS = ((10, "0-9"), (50, "10-49"), (math.inf, "50+"))


class Told(NamedTuple):
    """The patients of a split, where they are from, and their ``wording``: ``terms`` (HPO's own names),
    ``unseen_wording`` or, as in training, ``varied``."""

    patients: Sequence[Patient]
    source: str
    wording: str


class Learners(NamedTuple):
    """Case id → training patient and where it is from, in the order of the rows; and how many were left out, by
    reason."""

    patients: Mapping[str, tuple[Patient, str]]
    dropped: Mapping[str, int]


class PatientSource(ABC):
    """A source whose cases are patients, each a list of findings that is told in sentences.

    Which patients there are, and what training may know of their diseases, is for the subclass.

    Args:
        labels: disease → name.
        annotations: of all diseases, everything that is known: what a perturbation adds must be true of no patient.
        simulator: what training knows. A label that it has no rows of gets no subgroup of its disease.
        held_out: splits with which no training row shares its text.
    """

    perturbations = PATIENT_PERTURBATIONS
    default_data = DataSection()  # where nobody says who is trained on

    def __init__(
        self,
        labels: Mapping[str, str],
        ontology: Ontology,
        annotations: Annotations,
        simulator: Simulator,
        held_out: Sequence[str],
    ) -> None:
        self.labels = labels
        self._ontology, self._annotations, self._vocabulary = ontology, annotations, Vocabulary(ontology)
        self._simulator, self._held_out_splits = simulator, held_out
        self._disease_subgroups = {
            disease: {
                "organ_system": organ_system(profile.findings, ontology),
                "annotated_patients": _band(annotated_patients(simulator.rows[disease]), ANNOTATED_BANDS),
            }
            for disease, profile in simulator.profiles.items()
        }

    @property
    def genes(self) -> Mapping[str, Collection[str]]:
        """None known."""
        return {}

    @abstractmethod
    def _told(self, split: str) -> Told:
        """What a split holds, and how it is told."""

    @abstractmethod
    def _learners(self, data: DataSection, seed: int) -> Learners:
        """Who is trained on. Raises :class:`InputError` where they are not on this machine."""

    @abstractmethod
    def knowledge(self, data: DataSection | None) -> tuple[Ontology, Annotations]:
        """The ontology and, of every disease, the annotations that training with ``data`` may learn from."""

    @abstractmethod
    def training_publications(self, data: DataSection | None) -> frozenset[str]:
        """Every publication something in the training rows was taken from."""

    @abstractmethod
    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """What a reviewer needs to check that training with ``data`` and held-out cases have nothing in common."""

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The training patients, each told in its own words.

        Raises :class:`InputError` where patients are asked for that are not on this machine.
        """
        learners, dropped = self._learners(data or self.default_data, seed)
        rows = [self._case(patient, case_id, source) for case_id, (patient, source) in learners.items()]
        # Two patients with one or two findings each can read the same, by chance and even with different diseases.
        held_out = {row.text for split in self._held_out_splits for row in self.split(split)}
        kept = [row for row in rows if row.text not in held_out]
        return Cases(kept, {**dropped, "text is in a held-out split": len(rows) - len(kept)})

    def split(self, name: str) -> list[Case]:
        """The rows of a split; see ``task.yaml``."""
        patients, source, wording = self._told(name)
        return [self._case(patient, patient.case_id, source, wording) for patient in patients]

    def patients(self, split: str) -> dict[str, Patient]:
        """Case id → the patient of a row of ``split``, with the findings that its text names and no others."""
        # The same generator as in _case: a description leaves findings out where there are too many.
        return {p.case_id: select_findings(p, random.Random(p.case_id)) for p in self._told(split).patients}

    def whole_patients(self, split: str) -> dict[str, Patient]:
        """Case id → the patient of a row of ``split`` with all findings, of which a text names so many at most."""
        return {patient.case_id: patient for patient in self._told(split).patients}

    def perturbed(self, split: str, perturbation: Perturbation) -> Cases:
        """The rows of ``split``, told of other findings, another sex or age, or in other words; all else as it was."""
        perturbation.check(self.perturbations)
        patients, _, wording = self._told(split)
        return changed(self.split(split), [self._perturbed(patient, wording, perturbation) for patient in patients])

    def _perturbed(self, patient: Patient, wording: str, perturbation: Perturbation) -> str:
        rng = random.Random(patient.case_id)  # as in _case: order, wording and sentences are those of the original
        described = select_findings(patient, rng)
        words = choose_wordings(described, self._vocabulary, rng, wording == "unseen_wording", wording == "varied")
        others = {i: [w for w in self._vocabulary.wordings(i) if w != words[i]] for i in words}
        words = perturbation.words(patient.case_id, words, others)
        if perturbation.name != "sex_swap" or not any(map(self._of_one_sex, (*described.present, *described.absent))):
            known = self._annotations.rows.get(patient.disease, ())
            described = perturbation.patient(described, self._irrelevant(patient, known, perturbation.seed))
        words = {i: words.get(i, self._vocabulary.name[i]) for i in (*described.present, *described.absent)}
        text = write_sentences(described, words, rng)
        if perturbation.name == "typos":
            return perturbation.text(patient.case_id, text, self.labels[patient.disease])
        return text

    def augmenter(self, data: DataSection | None, seed: int) -> Callable[[Case, Augmentation, str], str]:
        """What tells a training row again with other findings or in other words; all of its words are trainable."""
        learners, _ = self._learners(data or self.default_data, seed)
        _, known = self.knowledge(data)

        def augmented_text(row: Case, augmentation: Augmentation, copy_id: str) -> str:
            return self._augmented(learners[row.case_id][0], row.case_id, augmentation, copy_id, known)

        return augmented_text

    def _augmented(
        self, patient: Patient, case_id: str, augmentation: Augmentation, copy_id: str, known: Annotations
    ) -> str:
        name, strength, dice = augmentation.name, augmentation.strength, augmentation.dice(copy_id)
        rng = random.Random(case_id)  # as in _case: order, wording and sentences are those of the row
        described = select_findings(patient, rng)
        words = choose_wordings(described, self._vocabulary, rng, varied=True)
        if name == "synonyms":
            others = {i: [w for w in self._vocabulary.trainable[i] if w != words[i]] for i in words}
            words = augmentation.perturbation.words(copy_id, words, others)
        elif name == "dropout":
            described = augmentation.perturbation.patient(replace(described, case_id=copy_id), ())
        elif name == "ancestors":
            described = generalised(described, self._ontology, strength, dice)
        elif name == "negations":
            # Only what training knows of the disease: what its test patients have must not be told apart here.
            rows = known.rows.get(patient.disease, ())
            described = denying(
                described, self._irrelevant(replace(described, case_id=copy_id), rows, augmentation.seed), strength
            )
        words = {**choose_wordings(described, self._vocabulary, dice, varied=True), **words}
        text = write_sentences(described, words, rng, templates(strength, dice) if name == "templates" else TEMPLATES)
        if name == "typos":
            return augmentation.perturbation.text(copy_id, text, self.labels[patient.disease])
        return text

    def held_out_wordings(self, text: str) -> set[str]:
        """The wordings in ``text`` that no training patient may be told in."""
        return self._vocabulary.held_out_in(text)

    def _irrelevant(self, patient: Patient, known: Iterable[Annotation], seed: int) -> Iterator[str]:
        """Findings as common as over all diseases, unrelated to the patient's own and to those that ``known`` gives the
        disease; as many as one may want, of an ontology that holds as many."""
        annotated = {row.hpo_id for row in known}
        related = {i for i in annotated.union(patient.present, patient.absent) if i in self._ontology.phenotypes}
        implied = {above for i in related for above in self._ontology.ancestors(i)}
        rng = random.Random(f"irrelevant/{seed}/{patient.case_id}")
        for _ in range(IRRELEVANT_DRAWS):
            finding = self._simulator.background_finding(rng)
            above = self._ontology.ancestors(finding)
            if finding not in implied and related.isdisjoint(above) and not self._of_one_sex(finding):
                related.add(finding)
                yield finding

    def _of_one_sex(self, hpo_id: str) -> bool:
        return not self._ontology.ancestors(hpo_id).isdisjoint(EXCLUDED_BY_SEX.values())

    def _group(self, patient: Patient) -> str | None:
        """What a patient shares with those it is not independent of."""
        return next(iter(patient.publications), None)

    def _case(self, patient: Patient, case_id: str, source: str, wording: str = "varied") -> Case:
        text = describe(
            patient,
            self._vocabulary,
            random.Random(case_id),  # the wording of a case depends on the case alone
            unseen=wording == "unseen_wording",
            varied=wording == "varied",
        )
        return Case(
            case_id=case_id,
            text=text,
            label=patient.disease,
            subgroups=_subgroups(patient) | self._disease_subgroups.get(patient.disease, {}),
            group=self._group(patient),
            source=source,
            equivalent=patient.equivalent,
        )

    def publications(self, split: str) -> dict[str, tuple[str, ...]]:
        """Case id → publications of the real patients of ``split``."""
        return {patient.case_id: patient.publications for patient in self._told(split).patients if patient.publications}

    def _unseen_wording(self, patients: Iterable[Patient]) -> dict[str, float]:
        """How much wording training never sees: of the ``patients``' present findings, and in all."""
        findings = [finding for patient in patients for finding in patient.present]
        unseen = sum(self._vocabulary.held_out_wording(finding) is not None for finding in findings)
        return {
            "share_of_findings": round(unseen / max(1, len(findings)), 4),
            "wordings_held_out": sum(map(len, self._vocabulary.held_out.values())),
            "wordings_trainable": sum(len(w) - 1 for w in self._vocabulary.trainable.values()),
        }


def cited(simulator: Simulator) -> frozenset[str]:
    """The publications in the annotation rows that patients are simulated from."""
    return frozenset(r for rows in simulator.rows.values() for row in rows for r in row.references)


def title(name: str) -> str:
    """Disease names as a sentence writes them; HPO carries some of OMIM's in capitals."""
    return name.capitalize() if name.isupper() else name


def _subgroups(patient: Patient) -> dict[str, str]:
    groups = {"findings": _band(len(patient.present), FINDING_BANDS)}
    if patient.sex:
        groups["sex"] = patient.sex
    if patient.age is not None:
        groups["age_band"] = _band(patient.age, AGE_BANDS)
    return groups


def _band(number: float, bands: Sequence[tuple[float, str]]) -> str:
    return next(band for limit, band in bands if number < limit)


def organ_system(findings: Mapping[str, float], ontology: Ontology) -> str:
    """The branch of HPO (a child of ``HP:0000118``) that most of a patient's ``findings`` are in; ties by id.

    ``findings`` are HPO ids and how often patients have them, which is their weight; one in several branches counts
    for each of them in equal parts. "Abnormality of the nervous system" is called ``nervous``.
    """
    weights: defaultdict[str, float] = defaultdict(float)
    for finding, share in findings.items():
        branches = [i for i in ontology.ancestors(finding) if PHENOTYPIC_ABNORMALITY in ontology.terms[i].parents]
        for branch in branches:
            weights[branch] += share / len(branches)
    most = max(sorted(weights), key=weights.__getitem__)
    return re.sub(r"^abnormal(ity of)?( the)? | system$| abnormality$", "", ontology.terms[most].name.lower())


def annotated_patients(rows: Iterable[Annotation]) -> int:
    """How many patients a disease's annotation rows were counted over: of each set of publications, the most."""
    largest: defaultdict[frozenset[str], int] = defaultdict(int)
    for row in rows:
        if row.aspect == "P" and row.counts:
            largest[row.references] = max(largest[row.references], row.counts[1])
    return sum(largest.values())
