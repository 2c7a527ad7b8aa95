"""The patients of ``rare_disease``: a panel of diseases, simulated patients to learn from, real ones as the test."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.patients import (
    Patient,
    Simulator,
    disease_panel,
    phenopacket_store,
    publication_disjoint,
    small_publications,
    training_annotations,
)
from osler.recipe import DataSection, SimulatedSource
from osler.storage import wheels
from osler.tasks.sources.patient_source import Learners, PatientSource, Told, title
from osler.terminology import Annotations, Ontology, read_annotations, read_ontology

# Patients a disease, seed and name of the splits of new simulated patients.
SIMULATED_SPLITS = {"simulated": (10, 20_000, "held-out"), "validation": (5, 30_000, "validation")}
STORED_SPLITS = ("phenopackets", "phenopackets_unseen_wording")


class SimulatedPatients(PatientSource):
    """Everything the task needs, from HPO's release files and, where present, Phenopacket Store.

    ``labels`` maps the panel's OMIM ids to disease names. Test publications are removed from the annotations before
    the simulator sees them; :meth:`provenance` proves it.
    """

    def __init__(self, section: SimulatedSource, min_patients: int, data_folder: Path | None) -> None:
        ontology_file, annotations_file = wheels.fetch_many([section.ontology, section.annotations])
        ontology = read_ontology(ontology_file)
        annotations = read_annotations(annotations_file, ontology)
        self._test = disease_panel(annotations, min_patients)
        # Those of the largest panel, whichever panel is learnt: a disease's simulated patients are the same in all.
        self._held_out = frozenset(
            publication for patients in disease_panel(annotations, 1).values() for publication in patients
        )
        super().__init__(
            {d: title(annotations.names[d]) for d in self._test},
            ontology,
            annotations,
            Simulator(ontology, annotations, self._test, self._held_out),
            # A stored patient may have one or two findings, as simulated ones do. Cases of `test` have four and more.
            held_out=(*SIMULATED_SPLITS, *STORED_SPLITS),
        )
        store = data_folder / section.phenopackets if data_folder else None
        stored = phenopacket_store.read_patients(store, ontology) if store and store.is_file() else []
        self._stored = [patient for patient in stored if patient.disease in self.labels]
        self._clean = publication_disjoint(self._stored, annotations)

    def _learners(self, data: DataSection, seed: int) -> Learners:
        """Simulated patients and, with ``real_repeats``, real ones of publications no test patient comes from."""
        drawn = self._simulator.patients(data.simulated_per_label, seed)
        learners = [(patient.case_id, (patient, "simulated")) for patient in drawn]
        if not data.real_repeats:
            return Learners(dict(learners), {})
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
        return Learners(dict(learners), dropped)

    def _real_training_patients(self) -> tuple[list[Patient], dict[str, int]]:
        """Published patients of the panel's diseases, publication-disjoint from every held-out patient."""
        held_out = self._held_out | {publication for patient in self._clean for publication in patient.publications}
        known = [*self._stored, *small_publications(self._annotations, self.labels, self._held_out)]
        disjoint = [patient for patient in known if not held_out.intersection(patient.publications)]
        return disjoint, {"publication of a held-out patient": len(known) - len(disjoint)}

    def _told(self, split: str) -> Told:
        if split in SIMULATED_SPLITS:
            return Told(self._simulator.patients(*SIMULATED_SPLITS[split]), "simulated", "varied")
        family, _, wording = split.partition("_")
        if family == "test":
            return Told(_all(self._test), "phenotype.hpoa", wording or "terms")
        return Told(self._clean, "phenopacket_store", wording or "terms")

    def knowledge(self) -> tuple[Ontology, Annotations]:
        """The ontology and, of every disease, the annotation rows that simulated patients are drawn from."""
        return self._ontology, training_annotations(self._annotations, self._held_out)

    def training_publications(self, data: DataSection | None) -> frozenset[str]:
        """The publications that training frequencies were computed from, and those of the real training patients."""
        data = data or DataSection()
        real = self._real_training_patients()[0] if data.real_repeats else []
        return self._counted().union(*(patient.publications for patient in real))

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
            "unseen_wording": self._unseen_wording((*self._clean, *_all(self._test))),
        }


def _all(groups: Mapping[str, Mapping[str, Patient]]) -> list[Patient]:
    return [patient for group in groups.values() for patient in group.values()]
