"""Each unit of a text left out, and what that does to the log-probability of the first answer.

The change of a prediction where a part of the input is taken away is the oldest way to explain a model, and needs
nothing of it but its answers: Robnik-Šikonja and Kononenko 2008, doi:10.1109/TKDE.2007.190734.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler.explanation.contracts import ToldFinding, UnitWeight, WordWeight
from osler.explanation.units import Unit, joined, units_of, without
from osler.ranking import Term
from osler.statistics import Floats
from osler.terminology import Finding, Ontology, Recogniser


@dataclass(frozen=True)
class Ablation:
    """The units of a text, and how many there were before neighbours were joined."""

    text: str
    units: tuple[Unit, ...]
    found: int

    @property
    def texts(self) -> list[str]:
        """The text without each unit."""
        return [without(self.text, [unit]) for unit in self.units]

    @property
    def note(self) -> str | None:
        """What has to be known of the units."""
        if self.found == len(self.units):
            return None
        return f"{self.found} stretches of the text were joined to {len(self.units)}, to keep the answer quick"


def plan(text: str, recogniser: Recogniser | None, most: int) -> Ablation:
    """What is left out of ``text``: ``most`` units."""
    units = units_of(text, recogniser, len(text) + 1)
    return Ablation(text, tuple(joined(units, most)), len(units))


def weights(whole: Floats, left_out: Floats, label: int) -> Floats:
    """(units,) how much the log-probability of a label falls without each.

    Args:
        whole: (labels,) log-probabilities of the text.
        left_out: (units, labels) of the text without each unit.
        label: the place of the label among them.
    """
    return np.asarray(whole[label] - left_out[:, label])


def told(ablation: Ablation, of_units: Floats, ontology: Ontology | None) -> tuple[UnitWeight, ...]:
    """The weights of the units, and the findings that these name."""
    return tuple(
        UnitWeight(
            start=unit.start,
            end=unit.end,
            weight=round(float(weight), 6),
            findings=tuple(_told(one, ontology) for one in unit.findings) if ontology else (),
        )
        for unit, weight in zip(ablation.units, of_units, strict=True)
    )


def _told(one: Finding, ontology: Ontology) -> ToldFinding:
    return ToldFinding(finding=Term(id=one.hpo_id, name=ontology.terms[one.hpo_id].name), status=one.status)


def words(units: tuple[UnitWeight, ...]) -> tuple[WordWeight, ...]:
    """The same for who only wants to mark the text."""
    return tuple(WordWeight(start=one.start, end=one.end, weight=one.weight) for one in units)
