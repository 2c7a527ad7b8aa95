"""Phenopacket Store: convert a release to a condensed file of individuals, and read that file as patients.

The store's own toolkit downloads and opens a release. Only the conversion needs it (the extra ``phenopackets``), so it
is imported there.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

from pydantic import AfterValidator, ConfigDict, StringConstraints
from tqdm import tqdm

from osler.errors import InputError
from osler.patients.patient import Patient, years
from osler.patients.phenopacket import find_diagnosis
from osler.storage import Contract, parsed, write_atomically
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


@dataclass(frozen=True)
class Store:
    """The individuals of a condensed file as patients, in the order of their case ids, and what was done to them.

    Attributes:
        patients: each with a publication and a present finding.
        diseases: id → name; of several names the commonest.
        sha256: of the file; None where there is none.
        individuals: how many the file has.
        newest: the newest date in ``created`` (ISO 8601), where a file has it.
        left_out: reason → individuals.
        findings: what was done → how many findings, those of individuals left out among them.
        unknown: HPO ids that the ontology does not know, sorted.
    """

    patients: tuple[Patient, ...] = ()
    diseases: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    individuals: int = 0
    newest: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def read_patients(path: Path, ontology: Ontology) -> Store:
    """The individuals in the condensed file at ``path``.

    Findings are told by their current ids, each once. Those that the ontology does not know are dropped, as are terms
    that are no phenotypic abnormality. What is both present and absent is present; so a finding is not absent where one
    below it is present. Individuals left without a present finding are left out, and those without a publication,
    which nobody could keep apart from others of the same one. All of that is counted; warnings name it.

    Raises:
        InputError: the file cannot be read, or has a case id twice; the message names the line.
    """
    try:
        content = path.read_bytes()
        text = gzip.decompress(content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as gzip ({error}); copy it again") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); fetch it again") from error
    if not text:
        raise InputError(f"{path}: is empty; fetch it again with scripts/fetch_phenopackets.py")
    places: dict[str, int] = {}
    patients: list[Patient] = []
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    created, unpublished = {""}, list[str]()
    left_out, reader = Counter[str](), _Findings(ontology)
    lines = text.removesuffix("\n").split("\n")  # names may hold what splitlines() takes for line ends
    for number, line in enumerate(lines, 1):
        individual = parsed(_Line, line, f"{path}:{number}")
        patient = _patient(individual, *reader.read(individual.observed, individual.excluded))
        names[patient.disease][individual.disease] += 1
        created.add(individual.created or "")
        if patient.case_id in places:
            raise InputError(
                f"{path}:{number}: the case {patient.case_id} is there already, on line {places[patient.case_id]};"
                " take one of them out, or fetch the file again with scripts/fetch_phenopackets.py"
            )
        places[patient.case_id] = number
        if not patient.publications:
            unpublished.append(patient.case_id)
        elif patient.present:
            patients.append(patient)
        else:
            left_out["no finding present that the ontology knows"] += 1
    if unpublished:
        left_out["no publication"] = len(unpublished)
        log.warning("%s: left out for want of a publication: %s", path, named(unpublished))
    if reader.unknown:
        unknown = named(sorted(reader.unknown))
        log.warning("note: %s: findings that %s does not know are left out: %s", path, ontology.release, unknown)
    return Store(
        patients=tuple(sorted(patients, key=lambda patient: patient.case_id)),
        diseases={disease: min(of, key=lambda name: (-of[name], name)) for disease, of in sorted(names.items())},
        sha256=hashlib.sha256(content).hexdigest(),
        individuals=len(lines),
        newest=max(created) or None,
        left_out=dict(sorted(left_out.items())),
        findings={what: n for what, n in sorted(reader.counts.items()) if n},
        unknown=tuple(sorted(reader.unknown)),
    )


def named(names: Sequence[str], most: int = 5) -> str:
    """The first of ``names``, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _publication(reference: str) -> str:
    """A PMID as HPO writes it: of two spellings of one publication, one would be trained on and the other held out."""
    found = re.fullmatch(r"\s*PMID\s*:\s*0*([1-9]\d*)\s*", reference, re.IGNORECASE)
    if found is None:
        raise ValueError("expected a PMID, such as PMID:15266616")
    return f"PMID:{found[1]}"


Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Line(Contract):
    """:class:`Individual`, as a line of anybody's file is checked; ``created`` is a date (ISO 8601). Other keys are
    nobody's business here."""

    model_config = ConfigDict(extra="ignore")

    case_id: Said
    cohort: Said
    references: tuple[Annotated[str, AfterValidator(_publication)], ...]
    disease_id: Said
    disease: Said
    sex: str | None
    age: str | None
    observed: tuple[tuple[str, str], ...]
    excluded: tuple[tuple[str, str], ...]
    created: str | None = None


def _patient(individual: _Line, present: list[str], absent: list[str]) -> Patient:
    return Patient(
        case_id=f"{individual.disease_id}/{individual.cohort}/{individual.case_id}",
        disease=individual.disease_id,
        present=tuple(present),
        absent=tuple(absent),
        sex=individual.sex if individual.sex in ("male", "female") else None,
        age=years(individual.age),
        publications=tuple(dict.fromkeys(individual.references)),
    )


class _Findings:
    """Reads pairs of HPO id and label, and counts what had to be done to them."""

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        self.counts: Counter[str] = Counter()
        self.unknown: set[str] = set()

    def read(self, observed: Iterable[Sequence[str]], excluded: Iterable[Sequence[str]]) -> tuple[list[str], list[str]]:
        """The current ids of the phenotypic abnormalities that are present, and of those absent."""
        present, absent = self._phenotypes(observed), self._phenotypes(excluded)
        implied = {above for hpo_id in present for above in self._ontology.ancestors(hpo_id)}
        self.counts["present and absent: taken as present"] += sum(hpo_id in present for hpo_id in absent)
        self.counts["absent, though one below is present: dropped"] += sum(
            hpo_id in implied and hpo_id not in present for hpo_id in absent
        )
        return present, [hpo_id for hpo_id in absent if hpo_id not in implied]

    def _phenotypes(self, findings: Iterable[Sequence[str]]) -> list[str]:
        ids: dict[str, None] = {}
        for hpo_id, _ in findings:
            current = self._ontology.current(hpo_id)
            if current is None:
                self.unknown.add(str(hpo_id))
                self.counts["unknown id: dropped"] += 1
            elif current not in self._ontology.phenotypes or current == PHENOTYPIC_ABNORMALITY:
                self.counts["no phenotypic abnormality: dropped"] += 1
            else:
                self.counts["obsolete id: the current one taken"] += current != hpo_id
                ids[current] = None
        return list(ids)
