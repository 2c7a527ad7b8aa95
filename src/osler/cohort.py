"""The patients of ``rare_disease``: a panel of diseases, simulated patients to learn from, real ones as the test."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from osler import pypi
from osler.errors import InputError
from osler.hpo import read_annotations, read_ontology
from osler.narrative import Vocabulary, describe
from osler.patient import Patient, clean, panel, phenopackets, small_publications
from osler.recipe import DataSection
from osler.simulate import Simulator
from osler.task import Row, Rows

# Patients a disease, seed and name of the splits of new simulated patients.
SIMULATED_SPLITS = {"simulated": (10, 20_000, "held-out"), "validation": (5, 30_000, "validation")}


class Cohort:
    """Everything the task needs, from HPO's release files and, where present, Phenopacket Store.

    ``labels`` maps the panel's OMIM ids to disease names. Test publications are removed from the annotations before
    the simulator sees them; :meth:`provenance` proves it.
    """

    def __init__(self, spec: Mapping[str, Any], min_patients: int, data_folder: Path | None) -> None:
        ontology_file, annotations_file = pypi.fetch_many([spec["ontology"], spec["annotations"]])
        self._ontology = read_ontology(ontology_file)
        self._annotations = read_annotations(annotations_file, self._ontology)
        self._vocabulary = Vocabulary(self._ontology)
        self._test = panel(self._annotations, min_patients)
        # Those of the largest panel, whichever panel is learnt: a disease's simulated patients are the same in all.
        self._held_out = frozenset(
            publication for patients in panel(self._annotations, 1).values() for publication in patients
        )
        self.labels = {d: _title(self._annotations.names[d]) for d in self._test}
        self._simulator = Simulator(self._ontology, self._annotations, self._test, self._held_out)
        store = data_folder / spec["phenopackets"] if data_folder else None
        stored = phenopackets(store, self._ontology) if store and store.is_file() else []
        self._stored = [patient for patient in stored if patient.disease in self.labels]
        self._clean = clean(self._stored, self._annotations)

    def training(self, data: DataSection | None, seed: int) -> Rows:
        """Simulated patients and, with ``real_repeats``, real ones of publications no test patient comes from.

        Raises :class:`InputError` where real patients are asked for and Phenopacket Store is not there.
        """
        data = data or DataSection()
        drawn = self._simulator.patients(data.simulated_per_label, seed)
        rows = [self._told(patient, patient.case_id, "simulated") for patient in drawn]
        dropped: dict[str, int] = {}
        if data.real_repeats:
            if not self._stored:
                raise InputError(
                    "data.real_repeats: real training patients come from Phenopacket Store, which is not here; get"
                    " phenopacket_store/cases.jsonl.gz with scripts/fetch_phenopackets.py and set OSLER_DATA_DIR to its"
                    " folder, or data.real_repeats=0"
                )
            real, dropped = self._real_training_patients()
            rows += [
                self._told(patient, f"{patient.case_id}#{n}", "published")
                for patient in real
                for n in range(data.real_repeats)
            ]
            random.Random(f"mixed/{seed}").shuffle(rows)
        # Two patients with one or two findings each can read the same, by chance and even with different diseases.
        held_out = {row["text"] for split in SIMULATED_SPLITS for row in self.split(split)}
        kept = [row for row in rows if row["text"] not in held_out]
        return Rows(kept, {**dropped, "text is in a held-out split": len(rows) - len(kept)})

    def _real_training_patients(self) -> tuple[list[Patient], dict[str, int]]:
        """Published patients of the panel's diseases, publication-disjoint from every held-out patient."""
        held_out = self._held_out | {publication for patient in self._clean for publication in patient.publications}
        known = [*self._stored, *small_publications(self._annotations, self.labels, self._held_out)]
        disjoint = [patient for patient in known if not held_out.intersection(patient.publications)]
        return disjoint, {"publication of a held-out patient": len(known) - len(disjoint)}

    def split(self, name: str) -> list[Row]:
        """The rows of a split; see ``task.yaml``."""
        if name in SIMULATED_SPLITS:
            drawn = self._simulator.patients(*SIMULATED_SPLITS[name])
            return [self._told(patient, patient.case_id, "simulated") for patient in drawn]
        family, _, wording = name.partition("_")
        patients = _all(self._test) if family == "test" else self._clean
        source = "phenotype.hpoa" if family == "test" else "phenopacket_store"
        return [self._told(p, p.case_id, source, wording or "terms") for p in patients]

    def _told(self, patient: Patient, case_id: str, source: str, wording: str = "varied") -> Row:
        text = describe(
            patient,
            self._vocabulary,
            random.Random(case_id),  # the wording of a case depends on the case alone
            unseen=wording == "unseen_wording",
            varied=wording == "varied",
        )
        return Row(
            case_id=case_id,
            text=text,
            label=patient.disease,
            subgroups=_subgroups(patient),
            group=next(iter(patient.publications), None),
            source=source,
        )

    def provenance(self) -> dict[str, Any]:
        """Releases, the held-out publications, and the publications that training frequencies were computed from."""
        used = frozenset(r for rows in self._simulator.rows.values() for row in rows for r in row.references)
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
    return round(sum(vocabulary.unseen(finding) is not None for finding in findings) / max(1, len(findings)), 4)


def _title(name: str) -> str:
    """Disease names as a sentence writes them; HPO carries some of OMIM's in capitals."""
    return name.capitalize() if name.isupper() else name


def _subgroups(patient: Patient) -> dict[str, str]:
    n = len(patient.present)
    groups = {"findings": "1-5" if n <= 5 else "6-10" if n <= 10 else "11+"}
    if patient.sex:
        groups["sex"] = patient.sex
    if patient.age is not None:
        bands = ((5, "0-4"), (18, "5-17"), (200, "18+"))
        groups["age_band"] = next(band for limit, band in bands if patient.age < limit)
    return groups
