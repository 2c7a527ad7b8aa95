"""The patients of ``phenopackets``: those of a release of Phenopacket Store, divided by publication."""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from osler.errors import InputError
from osler.patients import Patient, Simulator, phenopacket_store
from osler.recipe import DataSection, PhenopacketSource
from osler.splits import SPLITS, assign, unit_names
from osler.storage import stable_unit, wheels
from osler.tasks.sources.patient_source import Learners, PatientSource, Told, cited
from osler.terminology import Annotation, Annotations, Ontology, read_annotations, read_ontology

FEW_PUBLICATIONS = "its disease has too few publications"
FEW_UNITS = "its disease has too few publications without patients in common"
UNTRAINED = "its disease has no publication to train on"

log = logging.getLogger(__name__)


class StoredPatients(PatientSource):
    """The labels are the diseases with enough publications in the release at hand; where there is none, there are no
    labels, every split is empty, and training is refused.

    Publications that a case cites together form one unit, which is in one part. What training knows of a disease
    (:meth:`knowledge`) are the findings of the very patients it is trained on, and HPO's annotations without every row
    that cites another publication of the release: one that is held out, or not in ``data.share``.
    """

    default_data = DataSection(**PhenopacketSource.data_defaults)

    def __init__(self, section: PhenopacketSource, data_folder: Path | None) -> None:
        ontology_file, annotations_file = wheels.fetch_many([section.ontology, section.annotations])
        ontology = read_ontology(ontology_file)
        annotations = read_annotations(annotations_file, ontology)
        self._section, path = section, (data_folder or Path()) / section.store
        self._store = phenopacket_store.Store()
        if data_folder and path.is_file():
            self._store = phenopacket_store.read_patients(path, ontology)
        self._parts = divide(self._store.patients, section.min_publications, section.shares.model_dump())
        if self._store.individuals and not self._parts.units:
            raise InputError(
                f"{path}: no disease has {section.min_publications} publications, so there is nothing to learn; fetch a"
                " whole release with scripts/fetch_phenopackets.py"
            )
        if self._parts.dropped:
            diseases = sorted({patient.disease for patient in chain.from_iterable(self._parts.dropped.values())})
            log.warning("%s: left out for want of publications: %s", path, phenopacket_store.named(diseases))
        self._held_out = _publications(chain(self._parts.patients["validation"], self._parts.patients["test"]))
        learners = self._parts.patients["train"]
        labels = distinct_names({patient.disease: self._store.diseases[patient.disease] for patient in learners})

        @cache
        def known(share: float) -> Known:
            patients = take_share(learners, self._parts.units, share)
            unknown = self._held_out | (_publications(learners) - _publications(patients))
            learnt = learnt_annotations(annotations, patients, unknown)
            return Known(patients, learnt, Simulator(ontology, learnt, labels, held_out=frozenset()))

        self._known_of = known
        super().__init__(
            labels,
            ontology,
            annotations,
            known(1.0).simulator,
            held_out=("validation", "validation_unseen_wording", "test", "test_unseen_wording"),
        )

    def _known(self, data: DataSection | None) -> Known:
        return self._known_of((data or self.default_data).share)

    def _learners(self, data: DataSection, seed: int) -> Learners:
        """The training patients of ``data.share`` and, of labels with fewer than ``simulated_per_label``, as many
        simulated ones as they lack; told as often as :func:`count_tellings` says, each time with all of their findings
        or ``partial``."""
        if not self._parts.units:
            raise InputError(
                f"its patients come from Phenopacket Store, which is not here; get {self._section.store} with"
                " scripts/fetch_phenopackets.py, and set OSLER_DATA_DIR to the folder that the script names"
            )
        known = self._known(data)
        learners = [(patient, "phenopacket_store") for patient in known.patients]
        for disease, n in sorted(Counter(patient.disease for patient, _ in learners).items()):
            for number in range(n, data.simulated_per_label):
                case_id = f"simulated/{seed}/{disease}/{number}"
                learners.append((known.simulator.patient(disease, random.Random(case_id), case_id), "simulated"))
        times = count_tellings([patient for patient, _ in learners], data)
        told = [
            (f"{patient.case_id}#{telling}", patient, source)
            for (patient, source), n in zip(learners, times, strict=True)
            for telling in range(n)
        ]
        random.Random(f"mixed/{seed}").shuffle(told)
        return Learners({case_id: (_in_part(p, case_id, data.partial), source) for case_id, p, source in told}, {})

    def _told(self, split: str) -> Told:
        part, _, wording = split.partition("_")
        return Told(self._parts.patients[part], "phenopacket_store", wording or "terms")

    def _group(self, patient: Patient) -> str | None:
        """The unit of its publications."""
        return self._parts.units.get(patient.case_id)

    def knowledge(self, data: DataSection | None) -> tuple[Ontology, Annotations]:
        """The ontology, and what :func:`learnt_annotations` leaves and adds."""
        return self._ontology, self._known(data).annotations

    def training_publications(self, data: DataSection | None) -> frozenset[str]:
        """Those of the training patients, and those cited by the annotations of their diseases."""
        known = self._known(data)
        return cited(known.simulator) | _publications(known.patients)

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """Which release was read and what was made of it, by part; and the publications, as proof. Of ``train``, what
        is in ``data.share``."""
        used, parts, known = self.training_publications(data), self._parts, self._known(data)
        background = {r for rows in known.annotations.rows.values() for row in rows for r in row.references}
        of_parts = {**parts.patients, "train": known.patients}
        return {
            "hpo_release": self._ontology.release,
            "annotations_release": self._annotations.release,
            "release_sha256": self._store.sha256,
            "newest_individual": self._store.newest,
            "individuals": self._store.individuals,
            "left_out": {
                **self._store.left_out,
                **{reason: len(patients) for reason, patients in parts.dropped.items()},
            },
            "diseases_left_out": {
                reason: len({patient.disease for patient in patients}) for reason, patients in parts.dropped.items()
            },
            "findings": dict(self._store.findings),
            "unknown_hpo_ids": list(self._store.unknown),
            "labels": len(self.labels),
            "patients": {part: len(patients) for part, patients in of_parts.items()},
            "publications": {part: len(_publications(patients)) for part, patients in of_parts.items()},
            "held_out_publications": sorted(self._held_out),
            "training_publications": sorted(used),
            "held_out_and_training": sorted(self._held_out & (used | background)),
            "unseen_wording": self._unseen_wording(parts.patients["test"]),
        }


class Known(NamedTuple):
    """What training with a share knows: its patients, the annotations with their findings, and who draws from these."""

    patients: Sequence[Patient]
    annotations: Annotations
    simulator: Simulator


@dataclass(frozen=True)
class Parts:
    """``patients`` by part, in the order of their case ids; case id → name of the unit, of all of these; reason →
    patients left out."""

    patients: Mapping[str, Sequence[Patient]]
    units: Mapping[str, str]
    dropped: Mapping[str, Sequence[Patient]]


def divide(patients: Sequence[Patient], min_publications: int, shares: Mapping[str, float]) -> Parts:
    """Divide patients into :data:`osler.splits.SPLITS` by a hash of their unit (:func:`osler.splits.assign`).

    Left out are the patients of diseases with fewer than ``min_publications`` publications, with fewer units than there
    are parts, or with none in training. The order of patients plays no part.
    """
    patients = sorted(patients, key=lambda patient: patient.case_id)
    unit = dict(zip((p.case_id for p in patients), unit_names(p.publications for p in patients), strict=True))
    publications, units = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for patient in patients:
        publications[patient.disease].update(patient.publications)
        units[patient.disease].add(unit[patient.case_id])
    reasons = {disease: FEW_UNITS for disease, of in units.items() if len(of) < len(SPLITS)}
    reasons |= {disease: FEW_PUBLICATIONS for disease, of in publications.items() if len(of) < min_publications}
    kept = [patient for patient in patients if patient.disease not in reasons]
    names = [unit[patient.case_id] for patient in kept]
    number = {name: n for n, name in enumerate(dict.fromkeys(names))}
    assigned = assign(
        [patient.case_id for patient in kept],
        [patient.disease for patient in kept],
        groups=names,
        clusters=[number[name] for name in names],
        shares=shares,
    )
    reasons |= {disease: UNTRAINED for disease, rows in assigned.report["labels"].items() if not rows["train"]}
    parts: dict[str, list[Patient]] = {split: [] for split in SPLITS}
    for patient, split in zip(kept, assigned.splits, strict=True):
        if patient.disease not in reasons and split is not None:
            parts[split].append(patient)
    dropped = defaultdict[str, list[Patient]](list)
    for patient in patients:
        if patient.disease in reasons:
            dropped[reasons[patient.disease]].append(patient)
    return Parts(parts, {p.case_id: unit[p.case_id] for p in chain.from_iterable(parts.values())}, dict(dropped))


def take_share(patients: Sequence[Patient], units: Mapping[str, str], share: float) -> list[Patient]:
    """Those of ``patients`` whose unit a hash puts among the first ``share`` of all, or among whose labels is one that
    it comes first of. So the patients of a smaller share are among those of a larger one, and no label is lost."""
    place = {patient.case_id: stable_unit(f"share/{units[patient.case_id]}") for patient in patients}
    first: dict[str, float] = {}
    for patient in patients:
        first[patient.disease] = min(place[patient.case_id], first.get(patient.disease, 1.0))
    firsts = {*first.values()}
    return [p for p in patients if place[p.case_id] < share or place[p.case_id] in firsts]


def learnt_annotations(annotations: Annotations, learners: Iterable[Patient], held_out: frozenset[str]) -> Annotations:
    """HPO's annotations as training may know them, with the findings of ``learners`` counted.

    Every row that cites a ``held_out`` publication is gone, be it among others; so is, of a learner's disease, every
    row that cites a publication of one of its learners, who would be counted twice. Of a finding that n of a disease's
    m learners have, n/m is added: who does not mention it counts as not having it, because descriptions are of what is
    mentioned.
    """
    of_disease = defaultdict[str, list[Patient]](list)
    for patient in learners:
        of_disease[patient.disease].append(patient)
    rows = {}
    for disease in sorted(annotations.rows.keys() | of_disease.keys()):
        own = of_disease.get(disease, [])
        cited = _publications(own)
        left = [row for row in annotations.rows.get(disease, ()) if row.references.isdisjoint(held_out | cited)]
        present = Counter(hpo_id for patient in own for hpo_id in patient.present)
        absent = {hpo_id for patient in own for hpo_id in patient.absent}
        left += [
            Annotation(disease, hpo_id, cited, "P", False, (present[hpo_id], len(own)), None, None)
            for hpo_id in sorted(present.keys() | absent)
        ]
        if left:
            rows[disease] = tuple(left)
    return replace(annotations, rows=rows)


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """Disease id → name, sorted by id; names that differ in case and spacing at most have the id added."""
    spellings = Counter(" ".join(name.lower().split()) for name in names.values())
    return {
        disease: f"{name} ({disease})" if spellings[" ".join(name.lower().split())] > 1 else name
        for disease, name in sorted(names.items())
    }


def count_tellings(patients: Sequence[Patient], data: DataSection) -> list[int]:
    """How often each of ``patients`` is told: ``data.tellings`` times on average, and once at least.

    The share of a patient of a label with n of them is in proportion to n^(-``data.balance``). A fraction of a telling
    is one or none by a hash of the case id.
    """
    of_label = Counter(patient.disease for patient in patients)
    weights = [of_label[patient.disease] ** -data.balance for patient in patients]
    mean = sum(weights) / len(weights)
    return [
        max(1, int(data.tellings * weight / mean + stable_unit(f"tellings/{patient.case_id}")))
        for patient, weight in zip(patients, weights, strict=True)
    ]


def _in_part(patient: Patient, case_id: str, partial: float) -> Patient:
    """The patient of the telling ``case_id``: with all findings or, in the share ``partial`` of tellings, 1 to all."""
    dice = random.Random(f"partial/{case_id}")
    if dice.random() >= partial:
        return patient
    return replace(patient, present=tuple(dice.sample(patient.present, dice.randint(1, len(patient.present)))))


def _publications(patients: Iterable[Patient]) -> frozenset[str]:
    return frozenset(publication for patient in patients for publication in patient.publications)
