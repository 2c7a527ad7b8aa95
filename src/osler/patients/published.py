"""Find the published patients inside HPO's annotations, and take those held out from what training may count.

HPO joins what several publications report of a finding into one row that cites them all: 3/3 of ``PMID:1;PMID:2`` are
the patients of both. Who a row says something of follows from its counts:

* n = m: every patient counted has the finding, so the patient of each publication with a single one has it;
* n = 0 (or a ``NOT``): none has it;
* 0 < n < m, a percentage or no frequency: nobody can say who has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from osler.patients.patient import Patient
from osler.storage import stable_unit
from osler.terminology import Annotation, Annotations

MIN_FEATURES = 4  # present findings; a patient with fewer says too little to be a test case
VALIDATION_SHARE = 0.5  # of the patients that are not tested
MIN_TRAINING_ROWS = 10  # rows of findings that must remain of a disease without its held-out patients


def published_patients(annotations: Annotations) -> dict[str, dict[str, Patient]]:
    """Disease → publication → patient, for the publications that describe a single patient of the disease.

    Such a publication has phenotype rows of its own, all 1/1 or 0/1; or none of its own, but a part in a row that
    counts as many patients as it cites publications. Rows of its own without a frequency do not tell how many patients
    there were. The patient has the findings of every row with n = m that cites the publication, joined or not, and
    lacks those of every row with n = 0 or a ``NOT``; what a row says both ways is present, and what a joined row leaves
    open is neither. At least ``MIN_FEATURES`` are present.
    """
    patients: dict[str, dict[str, Patient]] = {}
    for disease, rows in annotations.rows.items():
        for publication, citing in _by_publication(rows).items():
            if not _describes_one(publication, citing):
                continue
            patient = _patient(disease, publication, citing)
            if len(patient.present) >= MIN_FEATURES:
                patients.setdefault(disease, {})[publication] = patient
    return patients


def _by_publication(rows: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    """Publication → the rows that cite it, alone or among others."""
    groups: defaultdict[str, list[Annotation]] = defaultdict(list)
    for row in rows:
        for reference in sorted(row.references):
            if reference.startswith("PMID:"):
                groups[reference].append(row)
    return dict(groups)


def _describes_one(publication: str, citing: Iterable[Annotation]) -> bool:
    counted = [row for row in citing if row.aspect == "P" and (row.counts or row.share is not None)]
    own = [row for row in counted if row.references == {publication}]
    if own:
        return all(row.counts in ((1, 1), (0, 1)) for row in own)
    return any(row.counts and row.counts[1] == len(row.references) for row in counted)


def _patient(disease: str, publication: str, citing: Iterable[Annotation]) -> Patient:
    says = {row: tells_who(row) for row in citing}
    phenotypes = [row for row in says if row.aspect == "P"]
    # What a joined row leaves open stays in training, see `training_rows`; so the test must not ask for it.
    open_findings = {row.hpo_id for row in phenotypes if not says[row] and len(row.references) > 1}
    decided = [row for row in phenotypes if says[row] and row.hpo_id not in open_findings]
    present = {row.hpo_id for row in decided if row.counts and row.counts[0] and not row.negated}
    absent = {row.hpo_id for row in decided} - present
    sexes = {row.sex for row in decided if row.sex in ("male", "female")}
    onsets = {row.hpo_id for row in says if row.aspect == "C" and says[row] and row.counts and row.counts[0]}
    return Patient(
        case_id=f"{disease}/{publication}",
        disease=disease,
        present=tuple(sorted(present)),
        absent=tuple(sorted(absent)),
        sex=sexes.pop() if len(sexes) == 1 else None,
        onset=onsets.pop() if len(onsets) == 1 else None,
        publications=(publication,),
    )


def tells_who(row: Annotation) -> bool:
    """Whether the row says of everyone it counts the same: n = m or n = 0."""
    return row.counts is not None and row.counts[0] in (0, row.counts[1])


# ── what is held out ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Group:
    """The published patients of a disease: to test, to choose and calibrate on, and to learn from."""

    test: tuple[Patient, ...]
    validation: tuple[Patient, ...]
    training: tuple[Patient, ...]


def disease_panel(annotations: Annotations, min_patients: int) -> dict[str, Group]:
    """Disease → its :func:`published_patients` by part, for the diseases with enough to test on and to learn from.

    These have at least ``min_patients`` of them (2 for the panel ``small``, 1 for ``large``), and at least
    ``MIN_TRAINING_ROWS`` counted rows of findings that somebody has when their own test and validation patients are
    taken out. In the order of a hash of the publication the first half, rounded down but one at least, are
    ``test``; of the others a second hash puts every other one into ``validation``. A patient whose publication
    stands in an earlier part of another disease is in no part. A disease's parts are the same whatever
    ``min_patients`` is.
    """
    patients = published_patients(annotations)
    groups = {disease: _divide(patients[disease].values()) for disease in sorted(patients)}
    groups = {disease: group for disease, group in groups.items() if _can_be_learnt(annotations, disease, group)}
    test = _publications(patient for group in groups.values() for patient in group.test)
    held_out = held_out_publications(groups)
    return {
        disease: Group(
            group.test,
            tuple(patient for patient in group.validation if test.isdisjoint(patient.publications)),
            tuple(patient for patient in group.training if held_out.isdisjoint(patient.publications)),
        )
        for disease, group in groups.items()
        if len(patients[disease]) >= min_patients
    }


def _divide(patients: Iterable[Patient]) -> Group:
    ordered = sorted(patients, key=lambda patient: stable_unit(patient.publications[0]))
    test = max(1, len(ordered) // 2)
    validation = [p for p in ordered[test:] if stable_unit(f"validation/{p.publications[0]}") < VALIDATION_SHARE]
    training = [p for p in ordered[test:] if p not in validation]
    return Group(tuple(ordered[:test]), tuple(validation), tuple(training))


def _can_be_learnt(annotations: Annotations, disease: str, group: Group) -> bool:
    left = training_rows(annotations, disease, held_out_publications({disease: group}))
    counted = [row for row in left if row.aspect == "P" and not row.negated and row.counts and row.counts[0]]
    return len(counted) >= MIN_TRAINING_ROWS


def held_out_publications(panel: Mapping[str, Group]) -> frozenset[str]:
    """The publications of all test and validation patients."""
    return _publications(patient for group in panel.values() for patient in (*group.test, *group.validation))


def _publications(patients: Iterable[Patient]) -> frozenset[str]:
    return frozenset(publication for patient in patients for publication in patient.publications)


def training_rows(annotations: Annotations, disease: str, held_out: Collection[str]) -> list[Annotation]:
    """The annotation rows of ``disease`` without the patients of the ``held_out`` publications, one in each."""
    return [left for row in annotations.rows[disease] if (left := without(row, held_out))]


def training_annotations(annotations: Annotations, held_out: Collection[str]) -> Annotations:
    """The annotations reduced to their :func:`training_rows`; a disease without any is left out."""
    rows = {disease: tuple(training_rows(annotations, disease, held_out)) for disease in annotations.rows}
    return replace(annotations, rows={disease: left for disease, left in rows.items() if left})


def without(row: Annotation, held_out: Collection[str]) -> Annotation | None:
    """``row`` as it would be without the patients of the ``held_out`` publications; None where nobody else is in it.

    Of n of m patients, k of them held out, n = m leaves (n - k)/(m - k) and n = 0 leaves 0/(m - k). Where the row does
    not say who has the finding, it keeps its frequency. That is honest, though the held-out patient was counted in it:
    whether they have the finding cannot be read from the row, so it is none of theirs in :func:`published_patients`.
    Dropping such rows would give more away: of two findings, the one that stays would be the one that the held-out
    patient has for certain, or lacks. The row no longer cites what was held out.
    """
    cited = row.references.intersection(held_out)
    if not cited:
        return row
    others, counts = row.references - cited, row.counts
    if not others or (counts and counts[1] <= len(cited)):  # whatever n is: what goes must not depend on it
        return None
    if counts and tells_who(row):
        m = counts[1] - len(cited)
        counts = (m if counts[0] else 0, m)
    return replace(row, references=others, counts=counts)


def count_subtracted(annotations: Annotations, panel: Mapping[str, Group]) -> dict[str, int]:
    """What :func:`training_rows` of all diseases did to the rows that cite a test or validation patient of ``panel``.

    Returns:
        ``dropped`` rows, in which nobody else is; ``subtracted`` ones, which count fewer patients now; and those
        ``kept`` with their frequency, because they do not say who has the finding. Of the latter two, those
        ``of_another_disease`` than the one that the publication is held out for: it may report several patients of that
        disease, of whom one is subtracted. Of those kept, how many are ``findings_of_the_held_out``: of a patient whom
        the row had cited, present or absent. It must be 0.
    """
    held_out = held_out_publications(panel)
    patients = {
        (disease, publication): patient
        for disease, group in panel.items()
        for patient in (*group.test, *group.validation)
        for publication in patient.publications
    }
    counted = dict.fromkeys(("dropped", "subtracted", "kept", "of_another_disease", "findings_of_the_held_out"), 0)
    for disease, rows in annotations.rows.items():
        for row in rows:
            cited = row.references & held_out
            if not cited:
                continue
            left = without(row, held_out)
            kept = left is not None and not tells_who(row)
            counted["dropped" if left is None else "kept" if kept else "subtracted"] += 1
            own = [patients[disease, publication] for publication in cited if (disease, publication) in patients]
            counted["of_another_disease"] += left is not None and len(own) < len(cited)
            counted["findings_of_the_held_out"] += kept and any(
                row.hpo_id in (*patient.present, *patient.absent) for patient in own
            )
    return counted
