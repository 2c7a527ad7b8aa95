"""Find the published patients inside HPO's annotations, and keep training and test publications apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from osler.patients.patient import Patient
from osler.terminology import Annotation, Annotations

MIN_FEATURES = 4  # present findings; a patient with fewer says too little to be a test case
MIN_TRAINING_ROWS = 10  # annotation rows of a disease that must remain without its test publications
MIN_COHORT = 3  # patients in a publication; the rows of smaller ones are no frequencies


def published_patients(annotations: Annotations) -> dict[str, dict[str, Patient]]:
    """Disease → publication → patient, for the publications that describe a single patient.

    These are the publications whose phenotype frequencies are all 1/1 or 0/1, with at least ``MIN_FEATURES`` findings
    present. Rows without a frequency do not tell how many patients there were.
    """
    patients: dict[str, dict[str, Patient]] = {}
    for disease, rows in annotations.rows.items():
        for publication, group in _by_publication(rows).items():
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
    """The publications of one or two patients, each as one patient: present is what all have, absent what none has.

    Held-out publications and those with fewer than ``MIN_FEATURES`` present findings are left out.
    """
    patients = []
    for disease in diseases:
        for publication, group in _by_publication(annotations.rows[disease]).items():
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
    """The annotation rows of ``disease`` that no held-out publication contributed to, not even as one of several."""
    return [row for row in annotations.rows[disease] if row.references.isdisjoint(held_out)]


def training_annotations(annotations: Annotations, held_out: Collection[str]) -> Annotations:
    """The annotations reduced to their :func:`training_rows`; a disease without any is left out."""
    rows = {disease: tuple(training_rows(annotations, disease, held_out)) for disease in annotations.rows}
    return replace(annotations, rows={disease: left for disease, left in rows.items() if left})


def disease_panel(annotations: Annotations, min_patients: int) -> dict[str, dict[str, Patient]]:
    """Disease → publication → test patient, for the diseases with enough to test on and enough to learn from.

    These have at least ``min_patients`` :func:`published_patients` and at least ``MIN_TRAINING_ROWS`` rows with counts
    from *other* publications of ``MIN_COHORT`` patients or more. ``min_patients`` is 2 for the panel ``small`` and 1
    for ``large``.
    """
    panel = {}
    for disease, patients in published_patients(annotations).items():
        if len(patients) >= min_patients and len(_cohort_rows(annotations, disease, patients)) >= MIN_TRAINING_ROWS:
            panel[disease] = patients
    return dict(sorted(panel.items()))


def _cohort_rows(annotations: Annotations, disease: str, held_out: Collection[str]) -> list[Annotation]:
    groups: defaultdict[frozenset[str], list[Annotation]] = defaultdict(list)
    for row in training_rows(annotations, disease, held_out):
        if row.aspect == "P" and row.counts and all(reference.startswith("PMID:") for reference in row.references):
            groups[row.references].append(row)
    cohorts = [group for group in groups.values() if max(r.counts[1] for r in group if r.counts) >= MIN_COHORT]
    return [row for group in cohorts for row in group]


def _by_publication(rows: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    """Publication → the rows that cite it alone."""
    groups: defaultdict[str, list[Annotation]] = defaultdict(list)
    for row in rows:
        if len(row.references) == 1 and next(iter(row.references)).startswith("PMID:"):
            groups[next(iter(row.references))].append(row)
    return dict(groups)


def publication_disjoint(patients: Iterable[Patient], annotations: Annotations) -> list[Patient]:
    """The patients whose publications contribute no annotation *of their disease*.

    Only these can test what was trained on the annotations.
    """
    known = {d: frozenset[str]().union(*(row.references for row in rows)) for d, rows in annotations.rows.items()}
    return [p for p in patients if p.disease in known and not known[p.disease].intersection(p.publications)]
