"""Which disease names mean the same and which disease is more general, from public terminologies.

HPO's ``phenotype.hpoa`` names the diseases of OMIM and Orphanet, mostly by one title each. ``hp.obo`` lists findings,
many of which are diseases (pneumonia, migraine), with exact synonyms. ICD-10-CM has titles and a hierarchy. Two names
mean the same only if a terminology says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from osler.terminology import hpo
from osler.terminology.normal_form import canonical


@dataclass(frozen=True)
class Concept:
    """One entry of a terminology.

    Attributes:
        id: its code: ``OMIM:147920``, ``J45``.
        names: its names. Entries that share a name are the same disease, even across terminologies.
        synonyms: other wordings, which never join two entries.
        narrower: terms filed under it: the same disease or a special case.
        parents: codes of more general entries.
        single: whether it is a single disease. What another terminology files under such a name is a neighbouring
            disease, not a special case.
    """

    id: str
    names: tuple[str, ...]
    synonyms: tuple[str, ...] = ()
    narrower: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    single: bool = False


class Terminology:
    """Diseases by the :func:`~osler.terminology.normal_form.canonical` form of their names and synonyms.

    A synonym that is the name of another disease means that disease; a synonym of two diseases means neither. Both are
    dropped. ``sources`` names the release of each file.
    """

    def __init__(self, concepts: Iterable[Concept], sources: dict[str, str]) -> None:
        self.sources = sources
        concepts = list(concepts)
        # Diseases are numbers. Concepts that share a name have the same one.
        self._by_wording, by_id = _join_by_name(concepts)
        synonyms: defaultdict[str, set[int]] = defaultdict(set)
        self._filed_under: defaultdict[str, set[int]] = defaultdict(set)
        self._parents: defaultdict[int, set[int]] = defaultdict(set)
        single = {by_id[concept.id] for concept in concepts if concept.single}
        for concept in concepts:
            disease = by_id[concept.id]
            for synonym in concept.synonyms:
                synonyms[canonical(synonym)].add(disease)
            for term in concept.narrower if disease not in single else ():
                self._filed_under[canonical(term)].add(disease)
            self._parents[disease] |= {by_id[code] for code in concept.parents} - {disease}
        for synonym, diseases in synonyms.items():
            if len(diseases) == 1 and synonym and synonym not in self._by_wording:
                self._by_wording[synonym] = diseases.pop()
        self._wordings: defaultdict[int, set[str]] = defaultdict(set)
        for wording, disease in self._by_wording.items():
            self._wordings[disease].add(wording)

    def __contains__(self, wording: str) -> bool:
        """Whether an entry has the canonical form ``wording``."""
        return wording in self._by_wording or wording in self._filed_under

    def synonyms(self, wording: str) -> set[str]:
        """The canonical forms that mean the same as ``wording``, including itself; empty if it is unknown."""
        return self._wordings[self._by_wording[wording]] if wording in self._by_wording else set()

    def more_general(self, wording: str) -> set[str]:
        """The canonical forms of all entries that are more general than ``wording`` or that it is filed under."""
        ancestors: set[int] = set()
        start = {self._by_wording[wording]} if wording in self._by_wording else set()
        queue = [parent for disease in start for parent in self._parents[disease]]
        queue += self._filed_under.get(wording, ())
        while queue:
            disease = queue.pop()
            if disease not in ancestors:
                ancestors.add(disease)
                queue += self._parents[disease]
        return {form for disease in ancestors - start for form in self._wordings[disease]}


def _join_by_name(concepts: Iterable[Concept]) -> tuple[dict[str, int], dict[str, int]]:
    """Canonical name → disease, and id → disease: a union-find over concepts that share a name."""
    by_name: dict[str, int] = {}
    by_id: dict[str, int] = {}
    parent: list[int] = []

    def root(disease: int) -> int:
        while parent[disease] != disease:
            disease = parent[disease]
        return disease

    for concept in concepts:
        names = {canonical(name) for name in concept.names} - {""}
        known = sorted({root(by_name[name]) for name in names if name in by_name})
        disease = known[0] if known else len(parent)
        if not known:
            parent.append(disease)
        for other in known:
            parent[other] = disease
        by_id[concept.id] = disease
        by_name |= dict.fromkeys(names, disease)
    return (
        {name: root(disease) for name, disease in by_name.items()},
        {code: root(disease) for code, disease in by_id.items()},
    )


def load(ontology_path: Path, annotations_path: Path) -> Terminology:
    """Read the terminology from ``hp.obo``, ``phenotype.hpoa`` and the installed ICD-10-CM; takes about ten seconds.

    Raises:
        InputError: one of the files is not HPO's.
    """
    ontology = hpo.read_ontology(ontology_path)
    sources = {
        "hp.obo": ontology.release,
        "phenotype.hpoa": hpo.read_release(annotations_path),
        "simple-icd-10-cm": version("simple-icd-10-cm"),
    }
    concepts = [*annotated_diseases(annotations_path), *phenotypes(ontology), *icd10cm()]
    return Terminology(concepts, sources)


def annotated_diseases(annotations_path: Path) -> Iterator[Concept]:
    """The diseases of ``phenotype.hpoa`` by OMIM, ORPHA or DECIPHER id, with short forms of their names as synonyms.

    A short form leaves out "with or without …", brackets if a number remains (``Mitochondrial DNA depletion syndrome 6
    (hepatocerebral type)``), or what follows the number of a series (``Congenital myopathy 10B, mild variant``).
    """
    for code, names in hpo.read_names(annotations_path).items():
        short_forms = []
        for name in names:
            certain = re.sub(r",? with(?: or |/)without .*", "", name)
            bare = _BRACKETS.sub("", certain)
            numbered = _NUMBERED.match(certain)
            short_forms.append(certain)
            short_forms += [bare] if re.search(r"\d", bare) else []
            short_forms += [numbered[1]] if numbered else []
        synonyms = dict.fromkeys([*names, *short_forms])
        yield Concept(code, names[:1], tuple(name for name in synonyms if name != names[0]), single=True)


_BRACKETS = re.compile(r"(?<!\s)\s*\([^()]*\)")
_NUMBERED = re.compile(
    r"([^,]+(?:, [^,]+)*?,? (?:type )?(?:\d{1,4}[A-Z]{0,2}\d{0,4}|[IVX]{1,7}[A-Z]?))(?=,| with| \([^()]*\)(?:,|$))"
)


def phenotypes(ontology: hpo.Ontology) -> Iterator[Concept]:
    """The phenotypic abnormalities of ``hp.obo`` with their exact synonyms."""
    for code in sorted(ontology.phenotypes):
        yield Concept(code, (ontology.terms[code].name,), ontology.terms[code].exact_synonyms)


def icd10cm() -> Iterator[Concept]:
    """ICD-10-CM's blocks, categories and codes, without external causes, reasons for contact (V–Z) and sides.

    By its guidelines (section I.A.7), square brackets enclose synonyms and parentheses enclose words that may be left
    out. Inclusion terms "may be synonyms" (I.A.11) but often are not: hypochondroplasia is listed under achondroplasia,
    and about a third of 70 that we checked were another disease. So they only count as filed under their code. "X NOS"
    says where a vague X is filed and does not count. "X, unspecified" is X, and so is a code above it titled "Other
    X", which has no other name.
    """
    import simple_icd_10_cm as icd  # two seconds

    titles: dict[str, str] = {}
    parents: dict[str, str] = {}
    unspecified: set[tuple[str, str]] = set()  # a code and the X of an "X, unspecified" below it
    for code in dict.fromkeys(icd.get_all_codes()):
        title = _RANGE.sub("", icd.get_description(code))
        if code[0] not in "ABCDEFGHIJKLMNOPQRSTU" or icd.is_extended_subcategory(code) or _SIDE.search(title):
            continue
        # A block of one category has its code, and would be its own parent.
        parent = icd.get_parent(code, prioritize_blocks=icd.get_parent(code) == code)
        if icd.is_chapter(parent) or parent in titles:
            titles[code], parents[code] = title, parent
            if "unspecified" in title.lower():
                unspecified.add((parent, canonical(_drop_vague(title))))
    for code, title in titles.items():
        names, synonyms = _names_and_synonyms(title)
        if _OTHER.match(title) and (code, canonical(names[0])) not in unspecified:
            names = synonyms = []
        forms = {canonical(name) for name in names}
        narrower: list[str] = []
        for term in icd.get_inclusion_term(code) + icd.get_includes(code):
            bare, *wordings = _without_brackets(term)
            if forms.intersection(map(canonical, wordings)):
                synonyms.append(bare)
            elif not term.endswith("NOS"):
                narrower += [bare, *wordings[-1:]]
        above = (parents[code],) if parents[code] in titles else ()
        yield Concept(code, tuple(names), tuple(synonyms), tuple(narrower), above)


_SIDE = re.compile(r"(?:,|\b(?:of|in|into)) (?:left|right|bilateral|unspecified) (?!ventric|heart|organism|site)", re.I)
_RANGE = re.compile(r"(?<!\s)\s*\([A-Z]\w\w(?:-[A-Z]\w\w)?\)$")
_OTHER = re.compile(r"^other (?:and unspecified |specified )?", re.I)
_VAGUE = re.compile(r", not elsewhere classified|, unspecified organism$|, site not specified$", re.I)


def icd10cm_codes(names: Iterable[str]) -> dict[str, str]:
    """Name → the code of ICD-10-CM with exactly that name or synonym, the most general one; without names that have
    none, or several on different branches. Takes some seconds."""
    by_form, codes = _icd10cm_by_form(), {}
    for name in names:
        found = by_form.get(canonical(name), [])
        first = min(found, key=len, default=None)
        if first is not None and all(code.startswith(first) for code in found):
            codes[name] = first
    return codes


@cache
def _icd10cm_by_form() -> dict[str, list[str]]:
    by_form: defaultdict[str, list[str]] = defaultdict(list)
    for concept in icd10cm():
        if "-" in concept.id:  # a block, which nothing is coded with
            continue
        for form in {canonical(name) for name in (*concept.names, *concept.synonyms)} - {""}:
            by_form[form].append(concept.id)
    return dict(by_form)


def _names_and_synonyms(title: str) -> tuple[list[str], list[str]]:
    """The names and the synonyms in the title of a code."""
    title = _drop_vague(title)
    synonyms: list[str] = []
    match = re.search(r"\[([^][]+)\]$", title)
    if match and not re.fullmatch(r"[^a-z]+|(?=\w+[A-Z])\w+", match[1]):  # not an abbreviation
        synonyms = [match[1]]
        if all(word[:1].isupper() for word in re.split(r"[ -]", match[1])):  # a person's name alone
            synonyms += [f"{match[1]} disease", f"{match[1]} syndrome"]
    return list(_without_brackets(re.sub(r"(?<!\s)\s*\[[^][]*\]", "", title))), synonyms


def _drop_vague(title: str) -> str:
    return _VAGUE.sub("", _OTHER.sub("", title))


def _without_brackets(text: str) -> Iterator[str]:
    """``text`` without its parentheses, then with the content of each one alone, then with all of them."""
    parts = re.split(r"\(([^()]*)\)", text)
    yield "".join(parts[::2])
    for chosen in range(1, len(parts), 2) if len(parts) > 3 else ():
        yield "".join(part for index, part in enumerate(parts) if index % 2 == 0 or index == chosen)
    if len(parts) > 1:
        yield "".join(parts)
