"""Disease names that mean the same, and which disease is more general than which, from public terminologies.

HPO's ``phenotype.hpoa`` names the diseases of OMIM and Orphanet, most of them once and without other titles;
``hp.obo`` has findings (many are diseases: pneumonia, migraine) with exact synonyms; ICD-10-CM has titles and a
hierarchy. Two names are taken to mean the same only where a terminology says just that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from osler.terminology import hpo
from osler.terminology.normal_form import canonical


@dataclass(frozen=True)
class Concept:
    """One entry of a terminology.

    Attributes:
        id: its code: ``OMIM:147920``, ``J45``.
        names: what it is called. Entries that share a name are the same disease, also across terminologies.
        synonyms: other wordings of it; they never make two entries one.
        narrower: what is filed under it, the same or a special case.
        parents: codes of more general entries.
        single: it is one disease; what another terminology files under its name is a neighbour, no case of it.
    """

    id: str
    names: tuple[str, ...]
    synonyms: tuple[str, ...] = ()
    narrower: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    single: bool = False


class Terminology:
    """Concepts by the :func:`~osler.terminology.normal_form.canonical` form of their wordings.

    A synonym that is another disease's name means that disease, and one of two diseases means neither: both are
    dropped. ``sources`` says which releases were read.
    """

    def __init__(self, concepts: Iterable[Concept], sources: dict[str, str]) -> None:
        self.sources = sources
        concepts = list(concepts)
        self._disease: dict[str, int] = {}  # a wording → its disease, a number
        disease: dict[str, int] = {}  # a concept's id → its disease
        same: list[int] = []  # a disease → itself, or one it was found to be the same as

        def find(number: int) -> int:
            while same[number] != number:
                number = same[number]
            return number

        for concept in concepts:
            names = {canonical(name) for name in concept.names} - {""}
            known = sorted({find(self._disease[name]) for name in names if name in self._disease})
            number = known[0] if known else len(same)
            if not known:
                same.append(number)
            for other in known:
                same[other] = number
            disease[concept.id] = number
            self._disease |= dict.fromkeys(names, number)
        self._disease = {name: find(number) for name, number in self._disease.items()}
        disease = {code: find(number) for code, number in disease.items()}

        synonyms: defaultdict[str, set[int]] = defaultdict(set)
        self._filed: defaultdict[str, set[int]] = defaultdict(set)
        self._parents: defaultdict[int, set[int]] = defaultdict(set)
        single = {disease[concept.id] for concept in concepts if concept.single}
        for concept in concepts:
            number = disease[concept.id]
            for synonym in concept.synonyms:
                synonyms[canonical(synonym)].add(number)
            for case in concept.narrower if number not in single else ():
                self._filed[canonical(case)].add(number)
            self._parents[number] |= {disease[code] for code in concept.parents} - {number}
        for synonym, numbers in synonyms.items():
            if len(numbers) == 1 and synonym and synonym not in self._disease:
                self._disease[synonym] = numbers.pop()
        self._wordings: defaultdict[int, set[str]] = defaultdict(set)
        for wording, number in self._disease.items():
            self._wordings[number].add(wording)

    def __contains__(self, wording: str) -> bool:
        """Whether the canonical form ``wording`` is that of some entry."""
        return wording in self._disease or wording in self._filed

    def same(self, wording: str) -> set[str]:
        """The canonical forms that mean what ``wording`` means, itself included; empty where no entry is called so."""
        return self._wordings[self._disease[wording]] if wording in self._disease else set()

    def above(self, wording: str) -> set[str]:
        """The canonical forms of every entry more general than ``wording``, or under which it is filed."""
        found: set[int] = set()
        start = {self._disease[wording]} if wording in self._disease else set()
        waiting = [parent for number in start for parent in self._parents[number]] + list(self._filed.get(wording, ()))
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting += self._parents[number]
        return {form for number in found - start for form in self._wordings[number]}


def load(ontology: Path, annotations: Path) -> Terminology:
    """The terminology from ``hp.obo``, ``phenotype.hpoa`` and the installed ICD-10-CM; about ten seconds.

    Raises :class:`~osler.errors.InputError` where a file is not HPO's.
    """
    findings = hpo.read_ontology(ontology)
    sources = {
        "hp.obo": findings.release,
        "phenotype.hpoa": hpo.read_release(annotations),
        "simple-icd-10-cm": version("simple-icd-10-cm"),
    }
    return Terminology([*diseases(annotations), *phenotypes(findings), *icd10cm()], sources)


def diseases(annotations: Path) -> Iterator[Concept]:
    """The diseases of ``phenotype.hpoa`` by their OMIM, ORPHA or DECIPHER id, each with the short forms of its names.

    Left out, alone or together: "with or without …"; brackets, where a number remains (``Mitochondrial DNA depletion
    syndrome 6 (hepatocerebral type)``); and what follows the number of a series (``Congenital myopathy 10B, mild
    variant``).
    """
    for code, names in hpo.read_names(annotations).items():
        short = []
        for name in names:
            sure = re.sub(r",? with(?: or |/)without .*", "", name)
            bare = _BRACKETS.sub("", sure)
            numbered = _NUMBERED.match(sure)
            short += [sure, *([bare] if re.search(r"\d", bare) else []), *([numbered[1]] if numbered else [])]
        synonyms = dict.fromkeys([*names, *short])
        yield Concept(code, names[:1], tuple(name for name in synonyms if name != names[0]), single=True)


_BRACKETS = re.compile(r"\s*\([^()]*\)")
_NUMBERED = re.compile(
    r"([^,]+(?:, [^,]+)*?,? (?:type )?(?:\d+[A-Z]{0,2}\d*|[IVX]+[A-Z]?))(?=,| with| \([^()]*\)(?:,|$))"
)


def phenotypes(ontology: hpo.Ontology) -> Iterator[Concept]:
    """The phenotypic abnormalities of ``hp.obo``, with their exact synonyms only."""
    for code in sorted(ontology.phenotypes):
        yield Concept(code, (ontology.terms[code].name,), ontology.terms[code].exact)


def icd10cm() -> Iterator[Concept]:
    """ICD-10-CM's blocks, categories and codes, without external causes, reasons for contact (V–Z), and sides.

    Read as its guidelines (section I.A.7) define: brackets enclose synonyms, parentheses words that may be left out.
    Inclusion terms "may be synonyms" (I.A.11), and often are not: hypochondroplasia stands under achondroplasia, and
    about a third of 70 that were looked through were another disease. They count as filed under their code, no more;
    "X NOS" is where a vague X is filed, and does not count. "X, unspecified" is X; so is a code above it titled
    "Other X", which has no name otherwise.
    """
    import simple_icd_10_cm as icd  # two seconds

    titles: dict[str, str] = {}
    parents: dict[str, str] = {}
    general: set[tuple[str, str]] = set()  # a code, and the X of an "X, unspecified" below it
    for code in dict.fromkeys(icd.get_all_codes()):
        title = _RANGE.sub("", icd.get_description(code))
        if code[0] not in "ABCDEFGHIJKLMNOPQRSTU" or icd.is_extended_subcategory(code) or _SIDE.search(title):
            continue
        # A block of one category has its code, and would be its own parent.
        parent = icd.get_parent(code, prioritize_blocks=icd.get_parent(code) == code)
        if icd.is_chapter(parent) or parent in titles:
            titles[code], parents[code] = title, parent
            if "unspecified" in title.lower():
                general.add((parent, canonical(_general(title))))
    for code, title in titles.items():
        names, synonyms = _named(title)
        if _OTHER.match(title) and (code, canonical(names[0])) not in general:
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
_RANGE = re.compile(r"\s*\([A-Z]\w\w(?:-[A-Z]\w\w)?\)$")
_OTHER = re.compile(r"^other (?:and unspecified |specified )?", re.I)
_VAGUE = re.compile(r", not elsewhere classified|, unspecified organism$|, site not specified$", re.I)


def _named(title: str) -> tuple[list[str], list[str]]:
    """The names and the synonyms in a code's title."""
    title = _general(title)
    synonyms: list[str] = []
    found = re.search(r"\[([^]]+)\]$", title)
    if found and not re.fullmatch(r"[^a-z]+|\w+[A-Z]\w*", found[1]):  # an abbreviation, perhaps of one word only
        synonyms = [found[1]]
        if all(word[:1].isupper() for word in re.split(r"[ -]", found[1])):  # a person's name alone
            synonyms += [f"{found[1]} disease", f"{found[1]} syndrome"]
    return list(_without_brackets(re.sub(r"\s*\[[^]]*\]", "", title))), synonyms


def _general(title: str) -> str:
    return _VAGUE.sub("", _OTHER.sub("", title))


def _without_brackets(text: str) -> Iterator[str]:
    """``text`` without what it has in parentheses, then with each of them alone, then with all."""
    parts = re.split(r"\(([^()]*)\)", text)
    yield "".join(parts[::2])
    for kept in range(1, len(parts), 2) if len(parts) > 3 else ():
        yield "".join(part for place, part in enumerate(parts) if place % 2 == 0 or place == kept)
    if len(parts) > 1:
        yield "".join(parts)
