"""Phenopacket Store: convert a release to a condensed file of individuals, and read that file as patients.

The store's own toolkit downloads and opens a release. Only the conversion needs it (the extra ``phenopackets``), so it
is imported there.
"""

from __future__ import annotations

import gzip
import json
import logging
import zipfile
import zlib
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from tqdm import tqdm

from osler.errors import InputError
from osler.patients.patient import Patient, years
from osler.patients.phenopacket import find_diagnosis
from osler.storage import write_atomically
from osler.terminology import PHENOTYPIC_ABNORMALITY, Ontology

if TYPE_CHECKING:
    from phenopackets import Phenopacket, TimeElement

RELEASE = "0.1.27"  # of 2026-06-09, 10,377 individuals; another release can change what is measured

log = logging.getLogger(__name__)


class Individual(TypedDict):
    """One line of the condensed file.

    ``age`` is an ISO 8601 duration, ``onset`` a duration or an HPO label, ``references`` are PMIDs; ``observed`` and
    ``excluded`` hold pairs of HPO id and label.
    """

    case_id: str
    cohort: str
    references: list[str]
    disease_id: str
    disease: str
    sex: str
    age: str | None
    onset: str | None
    observed: list[list[str]]
    excluded: list[list[str]]


# ── a release into the condensed file ────────────────────────────────────────────────────────────────────────────────


def release_url(release: str) -> str:
    """The address of a release, from which the toolkit downloads it."""
    return f"https://github.com/monarch-initiative/phenopacket-store/releases/download/{release}/all_phenopackets.zip"


def download_release(release: str, folder: Path) -> Path:
    """Download a release into ``folder`` and return the path of its zip file.

    The folder must be empty: after a broken download, the toolkit takes the partial file for the whole.

    Raises:
        InputError: the release does not exist, or there is no network.
    """
    from ppktstore.registry import configure_phenopacket_registry

    registry = configure_phenopacket_registry(folder)
    try:
        registry.open_phenopacket_store(release)
    except (OSError, HTTPException) as error:
        raise InputError(
            f"{release_url(release)}: cannot be downloaded ({error}); download it by hand and pass --archive FILE.zip"
        ) from error
    return registry.resolve_registry_path(release)


def read_release(archive: Path) -> list[Individual]:
    """The individuals in the zip file of a release, ordered by cohort and case id.

    Individuals without exactly one disease are left out, because a case has one right answer; so are those whose
    interpretation is not solved, or has another disease. So are those without a PMID, because nobody could tell whether
    training saw their publication. Warnings count them, and the ages and onsets that the file has no place for.

    Raises:
        InputError: the file is not a release, or is damaged.
    """
    from google.protobuf.json_format import ParseError
    from ppktstore.registry import PhenopacketStoreZipAdaptor

    individuals: list[Individual] = []
    left_out, untold, place = 0, 0, str(archive)
    try:
        with PhenopacketStoreZipAdaptor(archive) as store:
            for cohort in tqdm(store.cohorts(), desc="reading", unit=" cohorts", disable=None):
                for info in cohort.phenopackets:
                    place = f"{archive}: {cohort.name}/{info.path}"
                    individual = _condense(info.phenopacket, cohort.name)
                    if individual:
                        individuals.append(individual)
                        untold += _untold_times(info.phenopacket)
                    else:
                        left_out += 1
    except UnboundLocalError:  # version 0.1.6 of the toolkit raises it for a zip file without a folder at its top
        pass
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, ParseError) as error:
        raise InputError(
            f"{place}: cannot be read as a release of Phenopacket Store ({error}); download it again"
        ) from error
    if not individuals:
        raise InputError(f"{archive}: no phenopackets in it; pass the all_phenopackets.zip of a release")
    if left_out:
        log.warning("%s: left out %d individuals without exactly one solved disease and a PMID", archive, left_out)
    if untold:
        log.warning("%s: left out %d ages and onsets that are neither durations nor HPO terms", archive, untold)
    return sorted(individuals, key=lambda individual: (individual["cohort"], individual["case_id"]))


def write_individuals(individuals: Iterable[Individual], path: Path) -> None:
    """Write the condensed file, whole or not at all. The same individuals give the same bytes.

    Raises:
        InputError: the file cannot be written.
    """
    lines = "".join(json.dumps(individual, ensure_ascii=False) + "\n" for individual in individuals)
    try:
        write_atomically(path, gzip.compress(lines.encode(), mtime=0))  # gzip would record the time
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def _condense(phenopacket: Phenopacket, cohort: str) -> Individual | None:
    from phenopackets import Sex

    diseases = [disease for disease in phenopacket.diseases if not disease.excluded]
    publications = [r.id for r in phenopacket.meta_data.external_references if r.id.startswith("PMID:")]
    diagnosis = find_diagnosis(phenopacket)
    if len(diseases) != 1 or diagnosis.status != "confirmed" or not publications:
        return None
    if [term.id for term in diagnosis.terms] != [diseases[0].term.id]:
        return None
    features = phenopacket.phenotypic_features
    return {
        "case_id": phenopacket.id,
        "cohort": cohort,
        "references": publications,
        "disease_id": diseases[0].term.id,
        "disease": diseases[0].term.label,
        "sex": Sex.Name(phenopacket.subject.sex).lower(),
        "age": _time(phenopacket.subject.time_at_last_encounter),
        "onset": _time(diseases[0].onset),
        "observed": [[f.type.id, f.type.label] for f in features if not f.excluded],
        "excluded": [[f.type.id, f.type.label] for f in features if f.excluded],
    }


def _untold_times(phenopacket: Phenopacket) -> int:
    """The number of the times that :func:`_time` drops: ranges, intervals, dates, weeks of gestation."""
    times = [phenopacket.subject.time_at_last_encounter, *(d.onset for d in phenopacket.diseases if not d.excluded)]
    return sum(time.WhichOneof("element") is not None and _time(time) is None for time in times)


def _time(element: TimeElement) -> str | None:
    """An ISO 8601 duration or an HPO label such as "Congenital onset"; None for anything else."""
    return element.age.iso8601duration or element.ontology_class.label or None


# ── the condensed file into patients ─────────────────────────────────────────────────────────────────────────────────


def read_patients(path: Path, ontology: Ontology) -> list[Patient]:
    """The individuals in the condensed file at ``path``.

    Findings that the ontology does not know and terms that are not phenotypic abnormalities are dropped, and so are
    individuals left without a present finding.

    Raises:
        InputError: the file cannot be read; the message names the line.
    """
    patients = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as gzip ({error}); copy it again") from error
    for number, line in enumerate(lines, 1):
        try:
            individual: Individual = json.loads(line)
            present = _phenotypes(individual["observed"], ontology)
            absent = [i for i in _phenotypes(individual["excluded"], ontology) if i not in present]
            if present:
                patients.append(_patient(individual, present, absent))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a condensed phenopacket ({error!r})") from error
    return patients


def _patient(individual: Individual, present: list[str], absent: list[str]) -> Patient:
    return Patient(
        case_id=f"{individual['disease_id']}/{individual['cohort']}/{individual['case_id']}",
        disease=individual["disease_id"],
        present=tuple(present),
        absent=tuple(absent),
        sex=individual["sex"] if individual["sex"] in ("male", "female") else None,
        age=years(individual["age"]),
        publications=tuple(individual["references"]),
    )


def _phenotypes(findings: Iterable[Iterable[str]], ontology: Ontology) -> list[str]:
    """The current ids of the findings that are phenotypic abnormalities."""
    current = (ontology.current(hpo_id) for hpo_id, _ in findings)
    return list(dict.fromkeys(i for i in current if i in ontology.phenotypes and i != PHENOTYPIC_ABNORMALITY))
