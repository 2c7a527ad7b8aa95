"""``tasks/differential/rankings.json``: what the rankers are worth without any model, and what they cost."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from osler.errors import InputError
from osler.patients import Patient
from osler.ranking import DiseaseIndex, Fusion, Rankers, candidates_by, find_in_text, ranks, z_scores
from osler.rendering import cell
from osler.runs import Estimate
from osler.statistics import Floats, Resamples, number_groups, resampling
from osler.storage import Contract, FileContract, read_model
from osler.tasks import AllDiseases, Case
from osler.terminology import Ontology, Recogniser

DEPTHS = (1, 3, 10, 20, 50)
MIXTURE = "mixture"
SYSTEMS = ("resnik", "cosine", "naive_bayes", "sum of z-scores", MIXTURE)
IDS, NAMED, TEXT, UNSEEN = "HPO ids", "HPO ids that the text names", "text", "text, unseen wording"
INPUTS = (IDS, NAMED, TEXT, UNSEEN)
RESAMPLES = 2000


class Row(Contract):
    """One ranker on the patients of one split. ``recall``: k → the share of patients whose disease is among the first
    k; ``balanced``: the first alone, every disease counted alike."""

    split: str
    input: str
    system: str
    n: int
    diseases: int
    recall: dict[int, Estimate]
    balanced: Estimate


class Rankings(FileContract):
    """``without_findings``: split → patients in whose text no finding was recognised; they count as wrong."""

    annotations: str
    diseases: int
    build_seconds: float
    milliseconds_a_patient: float
    peak_memory_gb: float
    without_findings: dict[str, int]
    rows: tuple[Row, ...]


def rankings_path(root: Path) -> Path:
    """Where they stand in a project."""
    return root / "tasks" / "differential" / "rankings.json"


def read_rankings(path: Path) -> Rankings:
    """Raises :class:`InputError` as :func:`osler.storage.read_model`."""
    return read_model(path, Rankings)


def measure(source: AllDiseases, fusion: Fusion, splits: Iterable[str]) -> Rankings:
    """``splits`` by every one of :data:`INPUTS`. A text names some of a patient's findings where there are many."""
    ontology, _ = source.knowledge(None)
    recogniser = Recogniser(ontology)
    rows: list[Row] = []
    without: dict[str, int] = {}
    seconds = patients_ranked = 0.0
    for split in splits:
        begun = time.perf_counter()
        rankers = Rankers(DiseaseIndex.build(ontology, source.known_at(split)))
        built = time.perf_counter() - begun
        for kind in INPUTS:
            told = f"{split}_unseen_wording" if kind == UNSEEN else split
            cases = source.split(told)
            patients = source.whole_patients(split) if kind == IDS else source.patients(told)
            asked = [patients[case.case_id] for case in cases]
            if kind in (TEXT, UNSEEN):
                asked = [_read(case, patient, ontology, recogniser) for case, patient in zip(cases, asked, strict=True)]
                without[f"{split}, {kind}"] = sum(not patient.present for patient in asked)
            begun = time.perf_counter()
            shown = tqdm(asked, desc=f"{split}, {kind}", unit=" patients", disable=None)
            places = np.array([_places(rankers, fusion, patient) for patient in shown])
            seconds, patients_ranked = seconds + time.perf_counter() - begun, patients_ranked + len(asked)
            for name, chosen in _parts(split, cases).items():
                rows += _rows(name, kind, [cases[n] for n in chosen], places[chosen])
    return Rankings(
        schema=1,
        annotations=rankers.index.release,
        diseases=len(rankers.index.diseases),
        build_seconds=round(built, 1),
        milliseconds_a_patient=round(1000 * seconds / patients_ranked, 2),
        peak_memory_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        without_findings=without,
        rows=tuple(rows),
    )


def _read(case: Case, patient: Patient, ontology: Ontology, recogniser: Recogniser) -> Patient:
    """``patient`` with the findings that are recognised in the text of the case, and no others."""
    try:
        found = find_in_text(case.text, ontology, recogniser)
    except InputError:  # there is none
        return replace(patient, present=(), absent=())
    return replace(patient, present=found.present, absent=found.absent)


def _places(rankers: Rankers, fusion: Fusion, patient: Patient) -> list[float]:
    """The place of the right disease by each of :data:`SYSTEMS`; after all of them where nothing can be ranked."""
    last = float(len(rankers.index.diseases))
    row = rankers.index.row
    right = [row[disease] for disease in (patient.disease, *patient.equivalent) if disease in row]
    if not (patient.present and right):
        return [last] * len(SYSTEMS)
    scores = rankers.score(patient)
    alone = np.stack([scores.of(name) for name in SYSTEMS[:3]])
    found = candidates_by(scores, rankers.index)
    mixed = np.isin(found.rows, right)[np.argsort(-fusion.probabilities(found.features)[:-1], kind="stable")]
    places = [*ranks(alone, right), *ranks(z_scores(alone).sum(axis=0)[None], right)]
    return [*map(float, places), float(mixed.argmax() + 1) if mixed.any() else last]


def _parts(split: str, cases: Sequence[Case]) -> dict[str, list[int]]:
    """The whole split; and the parts that have to be read apart."""
    parts = {split: list(range(len(cases)))}
    for n, case in enumerate(cases):
        if split == "phenopackets" and (known := (case.subgroups or {}).get("hpoa")):
            parts.setdefault(f"{split}, {known}", []).append(n)
    return parts


def _rows(split: str, kind: str, cases: Sequence[Case], places: Floats) -> list[Row]:
    resamples = Resamples.draw(len(cases), RESAMPLES, 0, number_groups({c.case_id: c.group for c in cases}))
    diseases = [case.label for case in cases]
    once = np.ones((1, len(cases)))
    rows = []
    for system, of_one in zip(SYSTEMS, places.T, strict=True):
        answers = [disease if place <= 1 else "" for disease, place in zip(diseases, of_one, strict=True)]
        # Once each of all cases is the value itself.
        balanced = float(resampling.resampled_label_metrics(diseases, answers, once)["balanced_accuracy"][0])
        replicates = resampling.resampled_label_metrics(diseases, answers, resamples.counts)
        recall = {k: _estimate((of_one <= k).astype(float), resamples) for k in DEPTHS}
        low, high, method = resamples.interval(balanced, replicates["balanced_accuracy"], "normal")
        rows.append(
            Row(
                split=split,
                input=kind,
                system=system,
                n=len(cases),
                diseases=len({*diseases}),
                recall=recall,
                balanced=Estimate(value=balanced, low=low, high=high, method=method),
            )
        )
    return rows


def _estimate(values: Floats, resamples: Resamples) -> Estimate:
    low, high, method = resamples.mean_interval(values)
    return Estimate(value=float(values.mean()), low=low, high=high, method=method)


REESE = "https://doi.org/10.1101/2024.07.22.24310816"
# What others published: candidate space, patients, what went in, and the shares among the first 1, 3 and 10.
PUBLISHED = (
    (
        "[PhenoBrain](https://www.nature.com/articles/s41746-025-01452-1), public test set",
        "9,260 diseases",
        873,
        "HPO ids",
        (0.304, 0.483, 0.640),
    ),
    ("the best of 12 older methods there", "9,260 diseases", 873, "HPO ids", (0.257, 0.424, 0.593)),
    (f"[Exomiser's phenotype score]({REESE}), Phenopacket Store", "OMIM", 5213, "HPO ids", (0.355, 0.463, 0.585)),
    ("the best of seven language models there", "free text, grounded", 5213, "text", (0.236, None, None)),
)


def table(measured: Rankings) -> str:
    """Markdown: every split and input, and what others published."""
    lines = [
        "| patients | n | diseases | input | ranker | top-1 [95%] | top-3 | top-10 | top-20 | top-50 | balanced |",
        "|---|---:|---:|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in measured.rows:
        if row.system != MIXTURE and row.input != IDS:
            continue
        top = [cell(row.recall[1]), *(cell(row.recall[k], with_interval=False) for k in DEPTHS[1:])]
        cells = (row.split, f"{row.n:,}", f"{row.diseases:,}", row.input, row.system, *top)
        lines.append(f"| {' | '.join(cells)} | {cell(row.balanced, with_interval=False)} |")
    for name, space, n, kind, (first, third, tenth) in PUBLISHED:
        shares = (*("" if share is None else f"{share:.3f}" for share in (first, third, tenth)), "", "")
        lines.append(f"| published, not run here: {name} | {n:,} | {space} | {kind} | | {' | '.join(shares)} | |")
    silent = sum(measured.without_findings.values())
    return "\n".join(
        [
            *lines,
            "",
            f"{measured.diseases:,} diseases of HPO's annotations of {measured.annotations}. Building their index, once"
            f" they are read, takes {measured.build_seconds:g} seconds, a patient"
            f" {measured.milliseconds_a_patient:g} ms on one core, and all of it"
            f" {measured.peak_memory_gb:g} GB. In {silent:,} texts no finding was recognised;"
            " they count as wrong.",
        ]
    )
