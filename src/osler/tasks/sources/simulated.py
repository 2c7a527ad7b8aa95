"""The patients of ``rare_disease``: a panel of diseases, simulated patients to learn from, real ones as the test."""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.patients import (
    EXCLUDED_BY_SEX,
    TEMPLATES,
    Patient,
    Simulator,
    choose_wordings,
    describe,
    disease_panel,
    phenopacket_store,
    publication_disjoint,
    select_findings,
    small_publications,
    training_annotations,
    write_sentences,
)
from osler.recipe import DataSection, SimulatedSource
from osler.storage import wheels
from osler.tasks.augmentation import Augmentation, denying, generalised, templates
from osler.tasks.case import Case, Cases, changed
from osler.tasks.perturbation import PATIENT_PERTURBATIONS, Perturbation
from osler.terminology import (
    PHENOTYPIC_ABNORMALITY,
    Annotation,
    Annotations,
    Ontology,
    Vocabulary,
    read_annotations,
    read_ontology,
)

# Patients a disease, seed and name of the splits of new simulated patients.
SIMULATED_SPLITS = {"simulated": (10, 20_000, "held-out"), "validation": (5, 30_000, "validation")}
STORED_SPLITS = ("phenopackets", "phenopackets_unseen_wording")
IRRELEVANT_DRAWS = 1000  # a small ontology may hold no unrelated finding at all
# Subgroups, each below its limit: years of age, findings a patient has, patients a disease's annotations count.
AGE_BANDS = ((5, "0-4"), (18, "5-17"), (math.inf, "18+"))
FINDING_BANDS = ((6, "1-5"), (11, "6-10"), (math.inf, "11+"))
ANNOTATED_BANDS = ((10, "0-9"), (50, "10-49"), (math.inf, "50+"))


class SimulatedPatients:
    """Everything the task needs, from HPO's release files and, where present, Phenopacket Store.

    ``labels`` maps the panel's OMIM ids to disease names. Test publications are removed from the annotations before
    the simulator sees them; :meth:`provenance` proves it.
    """

    perturbations = PATIENT_PERTURBATIONS

    def __init__(self, section: SimulatedSource, min_patients: int, data_folder: Path | None) -> None:
        ontology_file, annotations_file = wheels.fetch_many([section.ontology, section.annotations])
        self._ontology = read_ontology(ontology_file)
        self._annotations = read_annotations(annotations_file, self._ontology)
        self._vocabulary = Vocabulary(self._ontology)
        self._test = disease_panel(self._annotations, min_patients)
        # Those of the largest panel, whichever panel is learnt: a disease's simulated patients are the same in all.
        self._held_out = frozenset(
            publication for patients in disease_panel(self._annotations, 1).values() for publication in patients
        )
        self.labels = {d: _title(self._annotations.names[d]) for d in self._test}
        self._simulator = Simulator(self._ontology, self._annotations, self._test, self._held_out)
        self._disease_subgroups = {
            disease: {
                "organ_system": organ_system(profile.findings, self._ontology),
                "annotated_patients": _band(annotated_patients(self._simulator.rows[disease]), ANNOTATED_BANDS),
            }
            for disease, profile in self._simulator.profiles.items()
        }
        store = data_folder / section.phenopackets if data_folder else None
        stored = phenopacket_store.read_patients(store, self._ontology) if store and store.is_file() else []
        self._stored = [patient for patient in stored if patient.disease in self.labels]
        self._clean = publication_disjoint(self._stored, self._annotations)

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """Simulated patients and, with ``real_repeats``, real ones of publications no test patient comes from.

        Raises :class:`InputError` where real patients are asked for and Phenopacket Store is not there.
        """
        learners, dropped = self._learners(data or DataSection(), seed)
        rows = [self._case(patient, case_id, source) for case_id, (patient, source) in learners.items()]
        # Two patients with one or two findings each can read the same, by chance and even with different diseases.
        # A stored patient may have one, too. Cases of `test` have four and more.
        held_out = {row.text for split in (*SIMULATED_SPLITS, *STORED_SPLITS) for row in self.split(split)}
        kept = [row for row in rows if row.text not in held_out]
        return Cases(kept, {**dropped, "text is in a held-out split": len(rows) - len(kept)})

    def _learners(self, data: DataSection, seed: int) -> tuple[dict[str, tuple[Patient, str]], dict[str, int]]:
        """Case id → training patient and where it is from, in the order of the rows; and what was left out."""
        drawn = self._simulator.patients(data.simulated_per_label, seed)
        learners = [(patient.case_id, (patient, "simulated")) for patient in drawn]
        if not data.real_repeats:
            return dict(learners), {}
        if not self._stored:
            raise InputError(
                "data.real_repeats: real training patients come from Phenopacket Store, which is not here; get"
                " phenopacket_store/cases.jsonl.gz with scripts/fetch_phenopackets.py and set OSLER_DATA_DIR to its"
                " folder, or data.real_repeats=0"
            )
        real, dropped = self._real_training_patients()
        learners += [
            (f"{patient.case_id}#{n}", (patient, "published")) for patient in real for n in range(data.real_repeats)
        ]
        random.Random(f"mixed/{seed}").shuffle(learners)
        return dict(learners), dropped

    def _real_training_patients(self) -> tuple[list[Patient], dict[str, int]]:
        """Published patients of the panel's diseases, publication-disjoint from every held-out patient."""
        held_out = self._held_out | {publication for patient in self._clean for publication in patient.publications}
        known = [*self._stored, *small_publications(self._annotations, self.labels, self._held_out)]
        disjoint = [patient for patient in known if not held_out.intersection(patient.publications)]
        return disjoint, {"publication of a held-out patient": len(known) - len(disjoint)}

    def split(self, name: str) -> list[Case]:
        """The rows of a split; see ``task.yaml``."""
        patients, source, wording = self._patients(name)
        return [self._case(patient, patient.case_id, source, wording) for patient in patients]

    def _patients(self, split: str) -> tuple[list[Patient], str, str]:
        """The patients of a split, their source and their wording."""
        if split in SIMULATED_SPLITS:
            return self._simulator.patients(*SIMULATED_SPLITS[split]), "simulated", "varied"
        family, _, wording = split.partition("_")
        if family == "test":
            return _all(self._test), "phenotype.hpoa", wording or "terms"
        return self._clean, "phenopacket_store", wording or "terms"

    def patients(self, split: str) -> dict[str, Patient]:
        """Case id → the patient of a row of ``split``, with the findings that its text names and no others."""
        # The same generator as in _case: a description leaves findings out where there are too many.
        return {p.case_id: select_findings(p, random.Random(p.case_id)) for p in self._patients(split)[0]}

    def knowledge(self) -> tuple[Ontology, Annotations]:
        """The ontology and, of every disease, the annotation rows that simulated patients are drawn from."""
        return self._ontology, training_annotations(self._annotations, self._held_out)

    def perturbed(self, split: str, perturbation: Perturbation) -> Cases:
        """The rows of ``split``, told of other findings, another sex or age, or in other words; all else as it was."""
        perturbation.check(self.perturbations)
        patients, _, wording = self._patients(split)
        return changed(self.split(split), [self._perturbed(patient, wording, perturbation) for patient in patients])

    def _perturbed(self, patient: Patient, wording: str, perturbation: Perturbation) -> str:
        rng = random.Random(patient.case_id)  # as in _case: order, wording and sentences are those of the original
        described = select_findings(patient, rng)
        words = choose_wordings(described, self._vocabulary, rng, wording == "unseen_wording", wording == "varied")
        others = {i: [w for w in self._vocabulary.wordings(i) if w != words[i]] for i in words}
        words = perturbation.words(patient.case_id, words, others)
        if perturbation.name != "sex_swap" or not any(map(self._of_one_sex, (*described.present, *described.absent))):
            known = self._annotations.rows[patient.disease]
            described = perturbation.patient(described, self._irrelevant(patient, known, perturbation.seed))
        words = {i: words.get(i, self._vocabulary.name[i]) for i in (*described.present, *described.absent)}
        text = write_sentences(described, words, rng)
        if perturbation.name == "typos":
            return perturbation.text(patient.case_id, text, self.labels[patient.disease])
        return text

    def augmenter(self, data: DataSection | None, seed: int) -> Callable[[Case, Augmentation, str], str]:
        """What tells a training row again with other findings or in other words; all of its words are trainable."""
        learners, _ = self._learners(data or DataSection(), seed)

        def augmented_text(row: Case, augmentation: Augmentation, copy_id: str) -> str:
            return self._augmented(learners[row.case_id][0], row.case_id, augmentation, copy_id)

        return augmented_text

    def _augmented(self, patient: Patient, case_id: str, augmentation: Augmentation, copy_id: str) -> str:
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
            known = self._simulator.rows[patient.disease]
            described = denying(
                described, self._irrelevant(replace(described, case_id=copy_id), known, augmentation.seed), strength
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
            subgroups=_subgroups(patient) | self._disease_subgroups[patient.disease],
            group=next(iter(patient.publications), None),
            source=source,
        )

    def publications(self, split: str) -> dict[str, tuple[str, ...]]:
        """Case id → publications of the real patients of ``split``."""
        return {patient.case_id: patient.publications for patient in self._patients(split)[0] if patient.publications}

    def training_publications(self, data: DataSection | None) -> frozenset[str]:
        """The publications that training frequencies were computed from, and those of the real training patients."""
        data = data or DataSection()
        real = self._real_training_patients()[0] if data.real_repeats else []
        return self._counted().union(*(patient.publications for patient in real))

    def _counted(self) -> frozenset[str]:
        """The publications in the annotation rows that patients are simulated from."""
        return frozenset(r for rows in self._simulator.rows.values() for row in rows for r in row.references)

    def provenance(self) -> dict[str, Any]:
        """Releases, the held-out publications, and the publications that training frequencies were computed from."""
        used = self._counted()
        return {
            "hpo_release": self._ontology.release,
            "annotations_release": self._annotations.release,
            "held_out_publications": sorted(
                publication for patients in self._test.values() for publication in patients
            ),
            "training_publications": sorted(used),
            "held_out_and_training": sorted(used & self._held_out),
            "unseen_wording": {
                "share_of_findings": _unseen_share((*self._clean, *_all(self._test)), self._vocabulary),
                "wordings_held_out": sum(map(len, self._vocabulary.held_out.values())),
                "wordings_trainable": sum(len(w) - 1 for w in self._vocabulary.trainable.values()),
            },
        }


def _all(groups: Mapping[str, Mapping[str, Patient]]) -> list[Patient]:
    return [patient for group in groups.values() for patient in group.values()]


def _unseen_share(patients: Iterable[Patient], vocabulary: Vocabulary) -> float:
    """Of the real patients' present findings, the share that has a wording training never sees."""
    findings = [finding for patient in patients for finding in patient.present]
    return round(
        sum(vocabulary.held_out_wording(finding) is not None for finding in findings) / max(1, len(findings)), 4
    )


def _title(name: str) -> str:
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
