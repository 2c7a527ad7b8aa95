"""Read the Human Phenotype Ontology: its terms (``hp.obo``) and its disease annotations (``phenotype.hpoa``).

Both files are streamed as released. Format of the annotations:
https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import takewhile
from pathlib import Path

from osler.errors import InputError

PHENOTYPIC_ABNORMALITY = "HP:0000118"
ONSET = "HP:0003674"

# The midpoints of HPO's frequency classes (HP:0040279 and below), as shares of patients.
FREQUENCY_CLASSES = {
    "HP:0040280": 1.0,
    "HP:0040281": 0.9,
    "HP:0040282": 0.55,
    "HP:0040283": 0.17,
    "HP:0040284": 0.025,
    "HP:0040285": 0.0,
}


@dataclass(frozen=True)
class Term:
    """One class of the ontology.

    ``wordings`` are its exact synonyms and its layperson terms, without the name. ``exact_synonyms`` are those that
    mean the very same; a layperson term may be broader or narrower.
    """

    id: str
    name: str
    parents: tuple[str, ...]
    wordings: tuple[str, ...]
    definition: str = ""
    exact_synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ontology:
    """All current terms by id. ``merged`` maps ids that are no longer in use to current ones; see :meth:`current`."""

    release: str
    terms: dict[str, Term]
    merged: dict[str, str]
    _ancestors: dict[str, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    def current(self, hpo_id: str) -> str | None:
        """The current id for ``hpo_id``; None if this release does not know it."""
        return hpo_id if hpo_id in self.terms else self.merged.get(hpo_id)

    def ancestors(self, hpo_id: str) -> frozenset[str]:
        """The ids of all ancestors of ``hpo_id``, including itself."""
        if hpo_id not in self._ancestors:
            above = {hpo_id}
            for parent in self.terms[hpo_id].parents:
                above |= self.ancestors(parent)
            self._ancestors[hpo_id] = frozenset(above)
        return self._ancestors[hpo_id]

    @cached_property
    def phenotypes(self) -> frozenset[str]:
        """The ids of phenotypic abnormalities, which a patient can have: no onset, inheritance or frequency terms."""
        return frozenset(i for i in self.terms if PHENOTYPIC_ABNORMALITY in self.ancestors(i))


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row of ``phenotype.hpoa`` about a phenotype or an onset.

    Its frequency is either ``counts`` (n of m patients) or ``share`` (0 to 1) or not given. ``references`` are the
    publications that it was counted over. Whoever holds out one of them must hold out the row.
    """

    disease: str
    hpo_id: str
    references: frozenset[str]
    aspect: str
    negated: bool
    counts: tuple[int, int] | None
    share: float | None
    sex: str | None


@dataclass(frozen=True)
class Annotations:
    """The phenotype (``P``) and onset (``C``) rows of a release by disease id, and the names of the diseases."""

    release: str
    names: dict[str, str]
    rows: dict[str, tuple[Annotation, ...]]


_SYNONYM = re.compile(r'^synonym: "((?:[^"\\]|\\.)*)" (\w+)(.*)$')


def read_ontology(path: Path) -> Ontology:
    """Read ``hp.obo``.

    Raises:
        InputError: the file is something else, or is cut off.
    """
    terms: dict[str, Term] = {}
    merged: dict[str, str] = {}
    release = ""
    for stanza in _stanzas(path):
        if not release:
            release = next((line[14:].rsplit("/", 1)[-1] for line in stanza if line.startswith("data-version: ")), "")
            if not release:
                raise InputError(f"{path}: no data-version in its first stanza; expected HPO's hp.obo")
            continue
        if stanza[0] != "[Term]" or "is_obsolete: true" in stanza:
            continue
        tags = [line.split(": ", 1) for line in stanza[1:] if ": " in line]
        hpo_id = next((value for tag, value in tags if tag == "id"), "")
        name = next((value for tag, value in tags if tag == "name"), "")
        if not hpo_id or not name:
            raise InputError(f"{path}: a [Term] without id or name ({' | '.join(stanza[:3])}); is the file cut off?")
        merged.update((value, hpo_id) for tag, value in tags if tag == "alt_id")
        wordings = {text: is_exact for text, is_exact in _wordings(stanza) if text.lower() != name.lower()}
        terms[hpo_id] = Term(
            id=hpo_id,
            name=name,
            parents=tuple(value.split(" ", 1)[0] for tag, value in tags if tag == "is_a"),
            definition=next((value for tag, value in tags if tag == "def"), ""),
            wordings=tuple(wordings),
            exact_synonyms=tuple(text for text, is_exact in wordings.items() if is_exact),
        )
    if PHENOTYPIC_ABNORMALITY not in terms:
        raise InputError(f"{path}: no term {PHENOTYPIC_ABNORMALITY} (phenotypic abnormality); expected HPO's hp.obo")
    return Ontology(release, terms, merged)


def _stanzas(path: Path) -> Iterator[list[str]]:
    stanza: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                stanza.append(line.rstrip("\n"))
            elif stanza:
                yield stanza
                stanza = []
    if stanza:
        yield stanza


def _wordings(stanza: list[str]) -> Iterator[tuple[str, bool]]:
    """Exact synonyms (True) and layperson terms (False unless exact, too): what people may call this term.

    Abbreviations are left out (``ASD`` is three different terms), as are obsolete, broader, narrower and related
    synonyms.
    """
    for line in stanza:
        if match := _SYNONYM.match(line):
            text, scope, kind = match.groups()
            in_use = scope == "EXACT" or " layperson" in kind
            if in_use and " abbreviation" not in kind and " obsolete_synonym" not in kind and len(text) > 3:
                yield text.replace('\\"', '"'), scope == "EXACT"


def read_annotations(path: Path, ontology: Ontology) -> Annotations:
    """Read ``phenotype.hpoa``, drop terms that the ontology no longer has, and replace merged ids by current ones.

    Raises:
        InputError: a row does not have twelve columns, or its frequency cannot be read; the message names the line.
    """
    names: dict[str, str] = {}
    rows: defaultdict[str, list[Annotation]] = defaultdict(list)
    cited: dict[str, frozenset[str]] = {}  # one object for all rows of a publication: garbage is collected sooner
    for number, columns in _rows(path):
        disease, name, qualifier, hpo_id, reference, _, _, frequency, sex, _, aspect, _ = columns
        current = ontology.current(hpo_id)
        if aspect not in ("P", "C") or current is None:
            continue
        names.setdefault(disease, name)
        try:
            counts, share = _frequency(frequency)
        except ValueError:
            raise InputError(f"{path}:{number}: the frequency {frequency!r} is neither n/m, n% nor an HPO id") from None
        if reference not in cited:
            cited[reference] = frozenset(reference.split(";"))
        references = cited[reference]
        rows[disease].append(
            Annotation(disease, current, references, aspect, qualifier == "NOT", counts, share, sex.lower() or None)
        )
    return Annotations(read_release(path), names, {disease: tuple(r) for disease, r in rows.items()})


def read_names(path: Path) -> dict[str, tuple[str, ...]]:
    """Disease id (OMIM, ORPHA or DECIPHER) → its names in ``phenotype.hpoa``: usually one, sometimes two.

    Raises:
        InputError: a row does not have twelve columns; the message names the line.
    """
    names: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for _, (disease, name, *_) in _rows(path):
        names[disease][name] = None
    return {disease: tuple(own_names) for disease, own_names in names.items()}


def read_genes(path: Path) -> dict[str, frozenset[str]]:
    """Disease → symbols of the genes that cause it, from HPO's ``genes_to_phenotype.txt``.

    Raises :class:`InputError` where the file has not the columns ``gene_symbol`` and ``disease_id``.
    """
    genes: defaultdict[str, set[str]] = defaultdict(set)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        if missing := {"gene_symbol", "disease_id"} - set(rows.fieldnames or ()):
            raise InputError(f"{path}: has no column {', '.join(sorted(missing))}")
        for row in rows:
            genes[row["disease_id"]].add(row["gene_symbol"])
    return {disease: frozenset(symbols) for disease, symbols in genes.items()}


def read_release(path: Path) -> str:
    """The release named in the header of ``phenotype.hpoa``; empty if there is none."""
    with path.open(encoding="utf-8") as lines:
        for line in takewhile(lambda line: line.startswith("#"), lines):
            if line.startswith("#version:"):
                return line.split(":", 1)[1].strip()
    return ""


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("#") or line.startswith("database_id"):
                continue
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 12:
                raise InputError(f"{path}:{number}: {len(columns)} columns; phenotype.hpoa has 12")
            yield number, columns


@cache
def _frequency(text: str) -> tuple[tuple[int, int] | None, float | None]:
    """Counts or share; both None if ``text`` is empty."""
    if "/" in text:
        n, m = text.split("/")
        return (int(n), int(m)), None
    if text.endswith("%"):
        return None, float(text[:-1]) / 100
    if text and text not in FREQUENCY_CLASSES:
        raise ValueError(text)
    return None, FREQUENCY_CLASSES.get(text)
