"""The patients of ``differential``: every disease is a candidate, and whole publications are held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.patients import (
    Patient,
    Simulator,
    phenopacket_store,
    pool_annotations,
    published_patients,
    read_external,
    training_annotations,
)
from osler.ranking import COMPARED, DiseaseIndex, Rankers, candidate_text, few_of_each, load_fusion, propose
from osler.recipe import DataSection, DifferentialSource, PinnedFile, Shares
from osler.splits import unit_names
from osler.storage import sha256_file, stable_unit, wheels
from osler.tasks.case import Case, Cases
from osler.tasks.sources.patient_source import Learners, PatientSource, Told, cited, title
from osler.terminology import Annotations, Ontology, read_annotations, read_genes, read_ontology

VOCABULARY = "OMIM"


class Proposed(Mapping[str, str]):
    """Disease → its text, of the candidates for a patient; ranked when somebody asks, which takes some milliseconds."""

    def __init__(self, propose: Callable[[], Mapping[str, str]]) -> None:
        self._propose = cache(propose)

    def __getitem__(self, disease: str) -> str:
        return self._propose()[disease]

    def __iter__(self) -> Iterator[str]:
        return iter(self._propose())

    def __len__(self) -> int:
        return len(self._propose())


class AllDiseases(PatientSource):
    """``labels`` are all diseases of OMIM in the annotations, which is what a system may answer; nothing is learnt by
    heart.

    A publication of the store is in one part, by a hash of the unit of those that patients cite together. Splits:
    ``validation`` and ``phenopackets`` are the store's; ``hpoa`` the annotations' own patients; the others external
    files. Where the store is not here its splits are empty.
    """

    default_data = DataSection(**DifferentialSource.data_defaults)

    def __init__(self, section: DifferentialSource, data_folder: Path | None) -> None:
        ontology_file, annotations_file = wheels.fetch_many([section.ontology, section.annotations])
        ontology = read_ontology(ontology_file)
        annotations = read_annotations(annotations_file, ontology)
        self._section, self._folder = section, data_folder or Path()
        path = self._folder / section.store
        self._store = phenopacket_store.Store()
        if data_folder and path.is_file():
            self._store = phenopacket_store.read_patients(path, ontology)
        names = {d: title(annotations.names[d]) for d in _with_findings(annotations, ontology)}
        # A store that is newer than the annotations has diseases of which these know nothing.
        kept = [patient for patient in self._store.patients if patient.disease in names]
        self._unknown = len(self._store.patients) - len(kept)
        self._fusion = load_fusion()
        self._parts, self._units = divide(kept, section.shares)
        published = published_patients(annotations)
        self._hpoa = [p for disease in names for _, p in sorted(published.get(disease, {}).items())]
        self._external = {name: self._read(file, ontology, names) for name, file in section.external.items()}
        held_out = chain(self._parts["validation"], self._parts["test"], self._hpoa, *self._external.values())
        self._held_out = _publications(held_out)
        self._learnt = training_annotations(annotations, self._held_out)
        self._learnable = set(_with_findings(self._learnt, ontology))
        super().__init__(
            names,
            ontology,
            annotations,
            Simulator(ontology, self._learnt, self._learnable, frozenset()),
            held_out=("validation", "phenopackets", "hpoa", *section.external),
        )

    def training_patients(self) -> Sequence[Patient]:
        """Those of the store's training publications whom HPO's annotations do not count, and nothing else tests."""
        return [
            patient
            for patient in self._parts["train"]
            if not self.is_counted(patient)
            and self._held_out.isdisjoint(patient.publications)
            and patient.disease in self._learnable
        ]

    def unit(self, patient: Patient) -> str | None:
        """The name of the publications that a patient of the store cites together with others; of another patient its
        own publication."""
        return self._units.get(patient.case_id) or next(iter(patient.publications), None)

    def known_at(self, split: str) -> Annotations:
        """What a system may know when it answers ``split``: everything without the patients of ``hpoa`` there, and
        everything elsewhere, as published systems do. Whether it counts a patient is a subgroup of the case. For
        ``train``: nothing of any patient that is tested."""
        if split == "train":
            return self._learnt
        if split.removesuffix("_unseen_wording") == "hpoa":
            return training_annotations(self._annotations, _publications(self._hpoa))
        return self._annotations

    def split(self, name: str) -> list[Case]:
        """The cases of a split, with the candidates that the rankers propose as their options."""
        return self._with_options(super().split(name), self.patients(name), self._rankers_at(name))

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The training patients, each told in its own words. The right disease is among their options: where it is not
        proposed it takes the place of the last one."""
        cases = super().training(data, seed)
        learners, _ = self._learners(data or self.default_data, seed)
        patients = {case_id: patient for case_id, (patient, _) in learners.items()}
        return Cases(self._with_options(cases.rows, patients, self._rankers_at("train"), learnt=True), cases.dropped)

    def _with_options(
        self,
        cases: Sequence[Case],
        patients: Mapping[str, Patient],
        rankers: Callable[[], Rankers],
        learnt: bool = False,
    ) -> list[Case]:
        return [
            replace(case, options=Proposed(partial(self._proposed, rankers, patients[case.case_id], learnt)))
            for case in cases
        ]

    def _proposed(self, rankers: Callable[[], Rankers], patient: Patient, learnt: bool) -> dict[str, str]:
        """Disease → its text."""
        index = rankers().index
        proposed = propose(rankers(), self._fusion, patient, COMPARED)
        if learnt and patient.disease not in proposed:
            proposed[-1] = patient.disease
        return {disease: candidate_text(index, patient, disease, self._vocabulary.name) for disease in proposed}

    def _rankers_at(self, split: str) -> Callable[[], Rankers]:
        return cache(lambda: Rankers(DiseaseIndex.build(self._ontology, self.known_at(split))))

    def is_counted(self, patient: Patient) -> bool:
        """Whether HPO's annotations of the patient's disease cite a publication of the patient."""
        return not self._cited[patient.disease].isdisjoint(patient.publications)

    def _told(self, split: str) -> Told:
        name, wording = split.removesuffix("_unseen_wording"), "unseen_wording"
        if name == split:
            wording = "terms"
        if name == "hpoa":
            return Told(self._hpoa, "phenotype.hpoa", wording)
        if name in self._section.external:
            return Told(self._external[name], name, wording)
        if name == "phenopackets":
            return Told(self._parts["test"], "phenopacket_store", wording)
        # What is chosen and calibrated is for patients who are new.
        new = [patient for patient in self._parts["validation"] if not self.is_counted(patient)]
        return Told(new, "phenopacket_store", wording)

    def _read(self, file: PinnedFile, ontology: Ontology, known: Collection[str]) -> list[Patient]:
        path = self._folder / file.path
        if not path.is_file():
            return []
        if (found := sha256_file(path)) != file.sha256:
            raise InputError(f"{path}: has the sha256 {found[:12]}; expected {file.sha256[:12]}, which task.yaml names")
        return read_external(path, ontology, known)

    def _learners(self, data: DataSection, seed: int) -> Learners:
        everybody = self.training_patients()
        if not everybody:
            raise InputError(
                f"its patients come from Phenopacket Store, which is not here; get {self._section.store} with"
                " scripts/fetch_phenopackets.py, and set OSLER_DATA_DIR to the folder that the script names"
            )
        told = (
            (f"{patient.case_id}#{telling}", patient)
            for telling in range(data.tellings)
            for patient in self._told_in(telling, everybody)
        )
        return Learners({case_id: (patient, "phenopacket_store") for case_id, patient in told}, {})

    def _told_in(self, telling: int, everybody: Sequence[Patient]) -> list[Patient]:
        """Of one disease and unit two of ``everybody``, others in each telling: thirty of a family say what two do."""
        return few_of_each(sorted(everybody, key=lambda p: stable_unit(f"{p.case_id}#{telling}")), self._units)

    def _group(self, patient: Patient) -> str | None:
        return self.unit(patient)

    def _case(self, patient: Patient, case_id: str, source: str, wording: str = "varied") -> Case:
        """With the subgroups ``hpoa``, whether HPO's annotations of the disease count the patient's publication, and
        ``disease``, whether a training patient has it."""
        case = super()._case(patient, case_id, source, wording)
        own = {"disease": "trained on" if patient.disease in self._trained else "never trained on"}
        if patient.publications:
            own["hpoa"] = "counts it" if self.is_counted(patient) else "new publication"
        return replace(case, subgroups={**case.subgroups, **own})

    @cached_property
    def _trained(self) -> frozenset[str]:
        return frozenset(patient.disease for patient in self.training_patients())

    @cached_property
    def _cited(self) -> Mapping[str, frozenset[str]]:
        """Disease → the publications that HPO's annotations of it cite."""
        cited_by: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        for disease, rows in self._annotations.rows.items():
            cited_by[disease] = frozenset(reference for row in rows for reference in row.references)
        return cited_by

    @cached_property
    def genes(self) -> Mapping[str, Collection[str]]:
        """What HPO knows of the diseases' genes."""
        return read_genes(wheels.fetch(self._section.genes)) if self._section.genes else {}

    def knowledge(self, data: DataSection | None) -> tuple[Ontology, Annotations]:
        """The ontology, and the annotations without the publications of everybody who is held out."""
        return self._ontology, self._learnt

    def training_publications(self, data: DataSection | None) -> frozenset[str]:
        """Those of the training patients, and those cited by the annotations."""
        return cited(self._simulator) | _publications(self.training_patients())

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """Releases, how many patients and publications each part has, and the publications, as proof."""
        used = self.training_publications(data)
        parts = {**self._parts, "train": self.training_patients(), "hpoa": self._hpoa, **self._external}
        return {
            "hpo_release": self._ontology.release,
            "annotations_release": self._annotations.release,
            "release_sha256": self._store.sha256,
            "individuals": self._store.individuals,
            "left_out": {**self._store.left_out, "its disease has no finding in HPO's annotations": self._unknown},
            "findings": dict(self._store.findings),
            "unknown_hpo_ids": list(self._store.unknown),
            "candidates": len(self.labels),
            "patients": {part: len(patients) for part, patients in parts.items()},
            "publications": {part: len(_publications(patients)) for part, patients in parts.items()},
            "held_out_publications": sorted(self._held_out),
            "training_publications": sorted(used),
            "held_out_and_training": sorted(self._held_out & used),
        }


def divide(patients: Sequence[Patient], shares: Shares) -> tuple[dict[str, list[Patient]], dict[str, str]]:
    """Part → patients, in the order of their case ids, and case id → unit. A unit is in the part that a hash of its
    name says: which diseases there are plays no part."""
    ordered = sorted(patients, key=lambda patient: patient.case_id)
    names = unit_names(patient.publications for patient in ordered)
    parts: dict[str, list[Patient]] = {"train": [], "validation": [], "test": []}
    for patient, unit in zip(ordered, names, strict=True):
        place = stable_unit(f"differential/{unit}")
        part = "train" if place < shares.train else "validation" if place < shares.train + shares.validation else "test"
        parts[part].append(patient)
    return parts, {patient.case_id: unit for patient, unit in zip(ordered, names, strict=True)}


def _with_findings(annotations: Annotations, ontology: Ontology) -> list[str]:
    """The diseases of OMIM that patients with a finding are known of."""
    return [
        disease
        for disease, rows in sorted(annotations.rows.items())
        if disease.startswith(f"{VOCABULARY}:") and any(pool_annotations(rows, ontology).findings.values())
    ]


def _publications(patients: Iterable[Patient]) -> frozenset[str]:
    return frozenset(publication for patient in patients for publication in patient.publications)
