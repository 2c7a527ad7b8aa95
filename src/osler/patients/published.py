"""Real patients: from publications that HPO annotations cite, and from Phenopacket Store."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from osler.errors import InputError
from osler.patients.patient import Patient, years
from osler.terminology import PHENOTYPIC_ABNORMALITY, Annotation, Annotations, Ontology

MIN_FEATURES = 4  # a published patient with fewer present findings says too little to be a test case
MIN_TRAINING_ROWS = 10  # a disease needs this much left to learn from once its test publications are gone
MIN_COHORT = 3  # patients in a publication for its rows to count as frequencies


def published_patients(annotations: Annotations) -> dict[str, dict[str, Patient]]:
    """The single-patient publications inside the annotations: disease → publication → patient.

    A publication about a disease is one patient when every phenotype frequency it gives is 1/1 or 0/1 and at least
    ``MIN_FEATURES`` findings are present. Rows without a frequency say nothing about how many patients there were.
    """
    patients: dict[str, dict[str, Patient]] = {}
    for disease, rows in annotations.rows.items():
        for publication, group in _single(rows).items():
            phenotypes = [row for row in group if row.aspect == "P" and (row.counts or row.share is not None)]
            if not phenotypes or any(row.counts not in ((1, 1), (0, 1)) for row in phenotypes):
                continue
            present = {r.hpo_id for r in phenotypes if r.counts == (1, 1) and not r.negated}
            absent = {r.hpo_id for r in phenotypes if r.counts == (0, 1) or r.negated} - present
            if len(present) < MIN_FEATURES:
                continue
            onsets = [row.hpo_id for row in group if row.aspect == "C" and row.counts == (1, 1)]
            patients.setdefault(disease, {})[publication] = Patient(
                case_id=f"{disease}/{publication}",
                disease=disease,
                present=tuple(sorted(present)),
                absent=tuple(sorted(absent)),
                sex=next((row.sex for row in phenotypes if row.sex in ("male", "female")), None),
                onset=onsets[0] if len(onsets) == 1 else None,
                publications=(publication,),
            )
    return patients


def small_publications(annotations: Annotations, diseases: Iterable[str], held_out: Collection[str]) -> list[Patient]:
    """Publications of one or two patients, as one patient each: what all of its patients have is present, what none
    has is absent. Held-out publications, and those with fewer than ``MIN_FEATURES`` findings, are left out."""
    patients = []
    for disease in diseases:
        for publication, group in _single(annotations.rows[disease]).items():
            counted = [row for row in group if row.aspect == "P" and row.counts]
            if publication in held_out or not counted or max(r.counts[1] for r in counted if r.counts) >= MIN_COHORT:
                continue
            present = {r.hpo_id for r in counted if r.counts and r.counts[0] == r.counts[1] and not r.negated}
            absent = {r.hpo_id for r in counted if (r.counts and r.counts[0] == 0) or r.negated} - present
            if len(present) >= MIN_FEATURES:
                patients.append(
                    Patient(
                        case_id=f"{disease}/{publication}",
                        disease=disease,
                        present=tuple(sorted(present)),
                        absent=tuple(sorted(absent)),
                        publications=(publication,),
                    )
                )
    return patients


def training_rows(annotations: Annotations, disease: str, held_out: Collection[str]) -> list[Annotation]:
    """The disease's annotation rows no held-out publication contributed to, not even as one of several."""
    return [row for row in annotations.rows[disease] if row.references.isdisjoint(held_out)]


def training_annotations(annotations: Annotations, held_out: Collection[str]) -> Annotations:
    """The annotations with the :func:`training_rows` of every disease; one that has none left is not in it."""
    rows = {disease: tuple(training_rows(annotations, disease, held_out)) for disease in annotations.rows}
    return replace(annotations, rows={disease: left for disease, left in rows.items() if left})


def panel(annotations: Annotations, min_patients: int) -> dict[str, dict[str, Patient]]:
    """The diseases with at least ``min_patients`` published patients (see :func:`published_patients`) that keep at
    least ``MIN_TRAINING_ROWS`` counted rows from *other* publications with ``MIN_COHORT`` patients or more.

    ``min_patients`` is 2 for the panel ``small`` and 1 for ``large``. Returns disease → publication → test patient.
    """
    chosen = {}
    for disease, patients in published_patients(annotations).items():
        if len(patients) >= min_patients and len(_cohort_rows(annotations, disease, patients)) >= MIN_TRAINING_ROWS:
            chosen[disease] = patients
    return dict(sorted(chosen.items()))


def _cohort_rows(annotations: Annotations, disease: str, held_out: Collection[str]) -> list[Annotation]:
    groups: defaultdict[frozenset[str], list[Annotation]] = defaultdict(list)
    for row in training_rows(annotations, disease, held_out):
        if row.aspect == "P" and row.counts and all(reference.startswith("PMID:") for reference in row.references):
            groups[row.references].append(row)
    cohorts = [group for group in groups.values() if max(r.counts[1] for r in group if r.counts) >= MIN_COHORT]
    return [row for group in cohorts for row in group]


def _single(rows: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    """The rows that cite one publication and nothing else, by that publication."""
    groups: defaultdict[str, list[Annotation]] = defaultdict(list)
    for row in rows:
        if len(row.references) == 1 and next(iter(row.references)).startswith("PMID:"):
            groups[next(iter(row.references))].append(row)
    return dict(groups)


def phenopackets(path: Path, ontology: Ontology) -> list[Patient]:
    """The published individuals of the Phenopacket Store file at ``path`` (condensed, one JSON object a line).

    Findings the ontology does not know, and anything that is not a phenotypic abnormality, are dropped, and
    so are individuals left without a present finding. Raises :class:`InputError` naming the bad line.
    """
    patients = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as gzip ({error}); copy it again") from error
    for number, line in enumerate(lines, 1):
        try:
            case = json.loads(line)
            present = _known(case["observed"], ontology)
            absent = [i for i in _known(case["excluded"], ontology) if i not in present]
            if present:
                patients.append(_phenopacket(case, present, absent))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a condensed phenopacket ({error!r})") from error
    return patients


def _phenopacket(case: Mapping, present: list[str], absent: list[str]) -> Patient:
    return Patient(
        case_id=f"{case['disease_id']}/{case['cohort']}/{case['case_id']}",
        disease=case["disease_id"],
        present=tuple(present),
        absent=tuple(absent),
        sex=case["sex"] if case["sex"] in ("male", "female") else None,
        age=years(case["age"]),
        publications=tuple(case["references"]),
    )


def _known(findings: Iterable[tuple[str, str]], ontology: Ontology) -> list[str]:
    current = (ontology.current(hpo_id) for hpo_id, _ in findings)
    return list(dict.fromkeys(i for i in current if i in ontology.phenotypes and i != PHENOTYPIC_ABNORMALITY))


def clean(patients: Iterable[Patient], annotations: Annotations) -> list[Patient]:
    """The patients that no publication known to the annotations *of their disease* describes: only these are a test
    for anything that was trained on the annotations."""
    known = {d: frozenset[str]().union(*(row.references for row in rows)) for d, rows in annotations.rows.items()}
    return [p for p in patients if p.disease in known and not known[p.disease].intersection(p.publications)]
