"""One case of a task, as every stage sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from osler.storage import sha256_text
from osler.tasks.images import CaseImage


@dataclass(frozen=True)
class Case:
    """One case: a text, and the answer it should get.

    Attributes:
        case_id: unique in its split.
        text: what the model reads.
        label: the id of the right label. Of a multiple choice question, the letter of the right option; of a question
            answered in free text, the reference answer itself.
        subgroups: attribute to value, such as ``{"sex": "female"}``.
        group: shared by cases that are not independent (patients of one publication); None where it stands alone.
        source: where the case comes from.
        options: of a multiple choice question, letter to text, in the order shown; None for the others.
        equivalent: further labels that are as right; where one is answered it is told as ``label``.
        image: what is shown with the text; None where the text is all.
    """

    case_id: str
    text: str
    label: str
    subgroups: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    source: str = ""
    options: Mapping[str, str] | None = None
    equivalent: tuple[str, ...] = ()
    image: CaseImage | None = None

    @property
    def unit(self) -> str:
        """What the case is not independent of: its group, or the patient that it, or what it is a copy of, tells of."""
        return self.group or self.case_id.partition("#")[0]

    @property
    def sha256(self) -> str:
        """Of what the model reads and should answer."""
        equivalent = [list(self.equivalent)] if self.equivalent else []
        shown = [{"image": self.image.sha256}] if self.image else []
        return sha256_text(json.dumps([self.text, dict(self.options or {}), self.label, *equivalent, *shown]))


@dataclass
class Cases:
    """Cases, and how many were left out of them, by reason."""

    rows: list[Case]
    dropped: dict[str, int] = field(default_factory=dict)


def told_as(case: Case, ranked: Sequence[str], probabilities: Sequence[float] | None) -> tuple[Any, Any]:
    """An answer to ``case`` with every label that is as right told as the case's own, at the first one's place and with
    the probability of all of them."""
    if not case.equivalent:
        return tuple(ranked), None if probabilities is None else tuple(probabilities)
    right = {case.label, *case.equivalent}
    named = [case.label if label in right else label for label in ranked]
    totals: dict[str, float] = dict.fromkeys(named, 0.0)
    for label, p in zip(named, probabilities or [0.0] * len(named), strict=True):
        totals[label] += p
    order = sorted(totals, key=lambda label: -totals[label]) if probabilities is not None else list(totals)
    return tuple(order), None if probabilities is None else tuple(totals[label] for label in order)


def changed(cases: Sequence[Case], texts: Sequence[str]) -> Cases:
    """``cases`` with ``texts`` in place of theirs; those whose words are the same are left out and counted."""
    pairs = zip(cases, texts, strict=True)
    kept = [replace(case, text=text) for case, text in pairs if text.split() != case.text.split()]
    return Cases(kept, {"nothing to change": len(cases) - len(kept)})
