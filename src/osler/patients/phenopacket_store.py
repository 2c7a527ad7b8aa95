"""Phenopacket Store, from a release of it to the condensed file that :func:`phenopackets` reads.

A release is fetched and opened by the store's own toolkit, which knows where releases are and how they are laid out. It
is imported where it is used: only who fetches the store needs it (the extra ``phenopackets``).
"""

from __future__ import annotations

import gzip
import json
import logging
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from osler.errors import InputError
from osler.storage import write_atomically

if TYPE_CHECKING:
    from phenopackets import Phenopacket, TimeElement

RELEASE = "0.1.27"  # of 2026-06-09, 10,377 individuals; a newer one may hold others, and change what is measured

log = logging.getLogger(__name__)


def address(release: str) -> str:
    """Where the toolkit finds a release."""
    return f"https://github.com/monarch-initiative/phenopacket-store/releases/download/{release}/all_phenopackets.zip"


def download(release: str, folder: Path) -> Path:
    """Have the toolkit download a release into ``folder``; returns the zip file.

    Give it an empty folder: after a broken download the toolkit takes the half that is there for the whole.

    Raises:
        InputError: there is no such release, or no network.
    """
    from ppktstore.registry import configure_phenopacket_registry

    registry = configure_phenopacket_registry(folder)
    try:
        registry.open_phenopacket_store(release)
    except (OSError, HTTPException) as error:
        raise InputError(
            f"{address(release)}: cannot be downloaded ({error}); download it by hand and pass --archive FILE.zip"
        ) from error
    return registry.resolve_registry_path(release)


def read(archive: Path) -> list[dict[str, Any]]:
    """The individuals of a release's zip file, condensed, in the order of their cohorts and case ids.

    Left out, with a warning, is who has not exactly one disease, since a case has one right answer, and who
    has no PMID, since nobody could tell whether training saw that publication.

    Raises:
        InputError: the file is not a release, or is damaged.
    """
    from google.protobuf.json_format import ParseError
    from ppktstore.registry import PhenopacketStoreZipAdaptor

    individuals, left_out, place = [], 0, str(archive)
    try:
        with PhenopacketStoreZipAdaptor(archive) as store:
            for cohort in tqdm(store.cohorts(), desc="reading", unit=" cohorts", disable=None):
                for info in cohort.phenopackets:
                    place = f"{archive}: {cohort.name}/{info.path}"
                    individual = _condensed(info.phenopacket, cohort.name)
                    if individual:
                        individuals.append(individual)
                    else:
                        left_out += 1
    except UnboundLocalError:  # how version 0.1.6 of the toolkit says that a zip has no folder at its top
        pass
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, ParseError) as error:
        raise InputError(
            f"{place}: cannot be read as a release of Phenopacket Store ({error}); download it again"
        ) from error
    if not individuals:
        raise InputError(f"{archive}: no phenopackets in it; pass the all_phenopackets.zip of a release")
    if left_out:
        log.warning("%s: %d individuals without exactly one disease and a PMID are left out", archive, left_out)
    return sorted(individuals, key=lambda individual: (individual["cohort"], individual["case_id"]))


def write(individuals: list[dict[str, Any]], path: Path) -> None:
    """Write the condensed file, whole or not at all; the same individuals give the same bytes.

    Raises:
        InputError: it cannot be written there.
    """
    lines = "".join(json.dumps(individual, ensure_ascii=False) + "\n" for individual in individuals)
    try:
        write_atomically(path, gzip.compress(lines.encode(), mtime=0))  # gzip would note the time
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def _condensed(phenopacket: Phenopacket, cohort: str) -> dict[str, Any] | None:
    from phenopackets import Sex

    diseases = [disease for disease in phenopacket.diseases if not disease.excluded]
    publications = [r.id for r in phenopacket.meta_data.external_references if r.id.startswith("PMID:")]
    if len(diseases) != 1 or not publications:
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


def _time(element: TimeElement) -> str | None:
    """An ISO 8601 duration or an HPO label such as "Congenital onset"; None for weeks of gestation, and for nothing."""
    return element.age.iso8601duration or element.ontology_class.label or None
