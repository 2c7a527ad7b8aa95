"""Matches free-text diagnoses with labels, by declared steps and public terminologies. Nothing is guessed.

Names that merely look alike do not match: ``hyperthyroidism`` is one letter from ``hypothyroidism``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from osler.errors import InputError
from osler.terminology import Terminology, canonical, normal_form

# Raise it with every change that could read an answer differently: a rule, an abbreviation, a renamed series. It stands
# beside every number that was scored with it (`Normaliser.provenance`).
NORMALISER_VERSION = 2

Kind = Literal["exact", "synonym", "ancestor"]


@dataclass(frozen=True)
class Match:
    """What an answer means among the labels.

    ``exact``: the words of the label, in another form. ``synonym``: other words for the same disease. ``ancestor``: a
    disease more general than each of ``labels``; it is not correct, and :attr:`label` is None. ``kind`` None: none.
    """

    kind: Kind | None
    labels: tuple[str, ...] = ()

    @property
    def label(self) -> str | None:
        """The label answered: by ``exact`` and ``synonym`` only."""
        return self.labels[0] if self.kind in ("exact", "synonym") else None

    def kind_for(self, label: str) -> Kind | None:
        """How the answer matches ``label``, the reference of its case."""
        return self.kind if label in self.labels else None


NO_MATCH = Match(None)


class Normaliser:
    """Finds the label of a task that a diagnosis in free text means.

    Args:
        labels: label id → label text. Raises :class:`~osler.errors.InputError` where two texts have one normal form.
        terminology: what means the same and what is more general.
    """

    def __init__(self, labels: Mapping[str, str], terminology: Terminology) -> None:
        self.terminology = terminology
        self._exact: dict[str, str] = {}
        same: defaultdict[str, set[str]] = defaultdict(set)
        above: defaultdict[str, set[str]] = defaultdict(set)
        for label, text in labels.items():
            first = self._exact.setdefault(normal_form(text), label)
            if first != label:
                raise InputError(
                    f"labels {first!r} and {label!r}: are the same diagnosis in free text ({text!r}); keep one, or"
                    " score labels instead of generated text"
                )
            wordings = {canonical(text)} | terminology.synonyms(canonical(text))
            general = terminology.more_general(canonical(text)).union(_stems(text))
            for wording in wordings:
                same[wording].add(label)
            for wording in general - wordings:
                above[wording].add(label)
        # What could be either of two labels is neither.
        self._same = {wording: ids.pop() for wording, ids in same.items() if len(ids) == 1}
        self._above = {wording: tuple(sorted(ids)) for wording, ids in above.items() if wording not in same}

    @property
    def provenance(self) -> dict[str, str | int]:
        """What a number scored with this normaliser depends on, for ``results.json``."""
        return {"normaliser": NORMALISER_VERSION, **self.terminology.sources}

    def match(self, text: str) -> Match:
        """What ``text``, one diagnosis, means. Brackets count where they say the same as the words before them."""
        match = self._match(text)
        bracketed = re.fullmatch(r"([^()]+)\(([^()]+)\)[\s.,;:]*", text)
        if match.kind is None and bracketed:
            outside, inside = self._match(bracketed[1]), self._match(bracketed[2])
            if outside.label is not None and outside.label == inside.label:
                return Match("synonym", outside.labels)
        return match

    def _match(self, text: str) -> Match:
        form, wording = normal_form(text), canonical(text)
        if form in self._exact:
            return Match("exact", (self._exact[form],))
        if wording in self._same:
            return Match("synonym", (self._same[wording],))
        if wording in self._above:
            return Match("ancestor", self._above[wording])
        return NO_MATCH

    def known(self, text: str) -> bool:
        """Whether ``text`` is a diagnosis by some name, of a label or not."""
        return self._match(text).kind is not None or canonical(text) in self.terminology


# What every disease is; a stem must say more.
_ANY = {"anomaly", "condition", "deficiency", "disease", "disorder", "infection", "malformation", "syndrome", "tumor"}
_INHERITANCE = re.compile(r"\b(?:autosomal (?:dominant|recessive)|[xy]-linked(?: dominant| recessive)?)\b,?", re.I)


def _stems(text: str) -> Iterator[str]:
    """The canonical forms of the more general diseases that a name says it is one of.

    A series: ``Noonan syndrome 4`` is a Noonan syndrome, type 2A1 is a type 2A and a type 2. An inverted title:
    ``Ehlers-Danlos syndrome, kyphoscoliotic type, 1`` is an Ehlers-Danlos syndrome; a list (``…, nystagmus, and
    obesity``) is not its first item. ``Migraine with aura`` is a migraine.
    """
    bare = re.sub(r"(?<!\s)\s*\([^()]*\)", "", text)
    head = re.split(r",? (?:with|without|due to) ", bare)[0]
    names = [text, bare, head]
    if " and " not in head:
        segments = head.split(", ")
        names += [", ".join(segments[:end]) for end in range(1, len(segments))]
    for name in dict.fromkeys(names):
        form = canonical(name)
        forms = [form] if name != text else []
        while (number := re.search(r" #(\S{0,30}?)([a-z]{1,30}|\d{1,30})\.?$", form)) is not None:
            form = form[: number.start()] + (f" #{number[1].rstrip('.')}" if number[1] else "")
            forms.append(form)
        # Only without its number: recessive ataxia 7 is an ataxia, not ataxia 7.
        forms.append(re.sub(r" #.*", "", canonical(_INHERITANCE.sub("", name))))
        yield from (form for form in forms if set(form.split()) - _ANY)
