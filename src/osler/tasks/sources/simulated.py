"""The patients of ``rare_disease``: a panel of diseases, simulated patients to learn from, real ones as the test."""

from __future__ import annotations

import random
from typing import Any

from osler.errors import InputError
from osler.patients import (
    Patient,
    Simulator,
    count_subtracted,
    disease_panel,
    held_out_publications,
    training_annotations,
)
from osler.recipe import DataSection, SimulatedSource
from osler.storage import wheels
from osler.tasks.sources.patient_source import Learners, PatientSource, Told, cited, title
from osler.terminology import Annotations, Ontology, read_annotations, read_ontology

SIMULATED = (3, 20_000, "held-out")  # patients a disease, seed and name of the split of new simulated patients


class SimulatedPatients(PatientSource):
    """Everything the task needs, from HPO's release files.

    ``labels`` maps the panel's OMIM ids to disease names. Test and validation patients are taken out of the annotations
    before the simulator sees them; :meth:`provenance` proves it.
    """

    def __init__(self, section: SimulatedSource, min_patients: int) -> None:
        ontology_file, annotations_file = wheels.fetch_many([section.ontology, section.annotations])
        ontology = read_ontology(ontology_file)
        annotations = read_annotations(annotations_file, ontology)
        self._panel = disease_panel(annotations, min_patients)
        # Those of the largest panel, whichever panel is learnt: a disease's simulated patients are the same in all.
        self._largest = disease_panel(annotations, 1)
        self._held_out = held_out_publications(self._largest)
        super().__init__(
            {disease: title(annotations.names[disease]) for disease in self._panel},
            ontology,
            annotations,
            Simulator(ontology, annotations, self._panel, self._held_out),
            held_out=("test", "test_unseen_wording", "validation", "simulated"),
        )

    def _learners(self, data: DataSection, seed: int) -> Learners:
        """Simulated patients and, ``real_repeats`` times each, the published ones that are not held out."""
        drawn = self._simulator.patients(data.simulated_per_label, seed)
        learners = [(patient.case_id, (patient, "simulated")) for patient in drawn]
        if data.real_repeats:
            real = self._real_training_patients()
            if not real:
                raise InputError(
                    "data.real_repeats: every published patient of this panel is held out, so there is none to learn"
                    " from; expected data.real_repeats=0"
                )
            learners += [(f"{p.case_id}#{n}", (p, "published")) for p in real for n in range(data.real_repeats)]
            random.Random(f"mixed/{seed}").shuffle(learners)
        return Learners(dict(learners), {})

    def _real_training_patients(self) -> list[Patient]:
        return [patient for group in self._panel.values() for patient in group.training]

    def _told(self, split: str) -> Told:
        if split == "simulated":
            return Told(self._simulator.patients(*SIMULATED), "simulated", "varied")
        family, _, wording = split.partition("_")
        parts = (group.test if family == "test" else group.validation for group in self._panel.values())
        return Told([patient for part in parts for patient in part], "phenotype.hpoa", wording or "terms")

    def knowledge(self, data: DataSection | None) -> tuple[Ontology, Annotations]:
        """The ontology and, of every disease, the annotation rows that simulated patients are drawn from."""
        return self._ontology, training_annotations(self._annotations, self._held_out)

    def training_publications(self, data: DataSection | None) -> frozenset[str]:
        """The publications that training frequencies were computed from, and those of the real training patients."""
        real = self._real_training_patients() if data and data.real_repeats else []
        return cited(self._simulator).union(*(patient.publications for patient in real))

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """Releases, the held-out publications, the publications that training may learn of the panel's diseases from,
        and what was left of the annotations that cited a held-out one (see :func:`count_subtracted`)."""
        used = self.training_publications(DataSection(real_repeats=1))
        background = {r for rows in self.knowledge(data)[1].rows.values() for row in rows for r in row.references}
        return {
            "hpo_release": self._ontology.release,
            "annotations_release": self._annotations.release,
            "held_out_publications": sorted(self._held_out),
            "training_publications": sorted(used),
            "held_out_and_training": sorted(self._held_out & (used | background)),
            "annotation_rows": count_subtracted(self._annotations, self._largest),
            "patients": {
                "test": sum(len(group.test) for group in self._panel.values()),
                "validation": sum(len(group.validation) for group in self._panel.values()),
                "training": len(self._real_training_patients()),
            },
            "unseen_wording": self._unseen_wording(p for group in self._panel.values() for p in group.test),
        }
