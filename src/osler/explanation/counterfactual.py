"""The smallest change of a text that changes the first answer: one finding or stretch, or two, left out, told the other
way round, or added. A search over few texts, not a proof: that no change is found does not say that there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from osler.explanation.contracts import Counterfactual, Edit
from osler.explanation.knowledge import Knowledge
from osler.explanation.subject import Subject
from osler.explanation.units import Unit, without
from osler.ranking import Term
from osler.statistics import Floats
from osler.terminology import mid_sentence_case

ADDED = 4  # findings of the runner-up's profile that are tried
PAIRED = 6  # changes that are tried two by two: those that bring the runner-up nearest
SHOWN = 3  # changes that are told
TRIED = (
    "changes tried: each stretch left out; each finding also told the other way round; up to"
    f" {ADDED} usual findings of the runner-up added, where they are known; where none is enough, the {PAIRED} that"
    " move the answer most, two by two"
)


@dataclass(frozen=True)
class Change:
    """One change of a text: ``gone`` is left out, ``said`` is added at its end."""

    edit: Edit
    gone: Unit | None
    said: str = ""


def search(
    subject: Subject,
    known: Knowledge,
    text: str,
    units: Sequence[Unit],
    whole: Floats,
    left_out: Floats,
) -> tuple[Counterfactual, ...]:
    """The smallest changes that were found to change the first answer, the surest first.

    Two rounds of passes at most, of some thirty texts together.

    Args:
        whole, left_out: (labels,) and (units, labels) log-probabilities of the text, and without each of ``units``.
    """
    first, second = _first_two(whole)
    changes = list(leaving_out(units))
    found = list(_found(subject, [[change] for change in changes], left_out, first))
    if found:
        return _surest(found)
    others = [*_negations(known, units), *_additions(known, text, list(subject.labels)[second])]
    scored = np.concatenate([left_out, subject.ask([apply(text, [change]) for change in others])])
    changes += others
    found = list(_found(subject, [[change] for change in changes], scored, first))
    if found:
        return _surest(found)
    nearest = np.argsort(scored[:, first] - scored.max(axis=1, where=_but(scored, first), initial=-np.inf))[:PAIRED]
    pairs = [
        [changes[i], changes[j]]
        for i, j in combinations(nearest.tolist(), 2)
        if changes[i].gone is None or changes[i].gone != changes[j].gone
    ]
    if not pairs:
        return ()
    return _surest(list(_found(subject, pairs, subject.ask([apply(text, pair) for pair in pairs]), first)))


def leaving_out(units: Sequence[Unit]) -> Iterator[Change]:
    """Each unit left out, where something is left then."""
    for unit in units:
        yield Change(Edit(kind="left_out", start=unit.start, end=unit.end, finding=None), unit)


def of_left_out(subject: Subject, units: Sequence[Unit], whole: Floats, left_out: Floats) -> tuple[Counterfactual, ...]:
    """What is found among texts that were scored anyway: those without one unit."""
    changes = [[change] for change in leaving_out(units)]
    return _surest(list(_found(subject, changes, left_out, int(whole.argmax()))))


def apply(text: str, changes: Sequence[Change]) -> str:
    """``text`` with some changes."""
    left = without(text, [change.gone for change in changes if change.gone is not None])
    return " ".join([left, *(change.said for change in changes if change.said)]).strip()


def _negations(known: Knowledge, units: Sequence[Unit]) -> Iterator[Change]:
    """Findings that are told alone, told the other way round in a sentence at the end."""
    if known.ontology is None:
        return
    for unit in units:
        if len(unit.findings) != 1 or unit.findings[0].status not in ("present", "absent"):
            continue
        one = unit.findings[0]
        name = known.ontology.terms[one.hpo_id].name
        said = f"There is {'no ' if one.status == 'present' else ''}{mid_sentence_case(name)}."
        edit = Edit(kind="negated", start=unit.start, end=unit.end, finding=Term(id=one.hpo_id, name=name))
        yield Change(edit, unit, said)


def _additions(known: Knowledge, text: str, runner_up: str) -> Iterator[Change]:
    """Usual findings of the runner-up that the text does not name, in a sentence at the end."""
    if known.ontology is None:
        return
    found = known.read(text)
    told = {*found.present, *found.absent} if found else set()
    implied = {above for one in told for above in known.ontology.ancestors(one)}
    for hpo_id in [one for one in known.profile(runner_up) if one not in implied][:ADDED]:
        name = known.ontology.terms[hpo_id].name
        edit = Edit(kind="added", start=None, end=None, finding=Term(id=hpo_id, name=name))
        yield Change(edit, None, f"There is also {mid_sentence_case(name)}.")


def _found(
    subject: Subject, changes: Sequence[Sequence[Change]], scored: Floats, first: int
) -> Iterator[tuple[float, Counterfactual]]:
    """Those of ``changes`` with which another label comes first, and how far ahead that is."""
    labels = list(subject.labels)
    for change, row in zip(changes, scored, strict=True):
        if (now := int(row.argmax())) != first:
            yield (
                float(row[now] - row[first]),
                Counterfactual(
                    edits=tuple(one.edit for one in change),
                    label=labels[now],
                    name=subject.labels[labels[now]],
                    probability=round(min(1.0, float(np.exp(row[now]))), 6),
                ),
            )


def _surest(found: Sequence[tuple[float, Counterfactual]]) -> tuple[Counterfactual, ...]:
    return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0])[:SHOWN])


def _first_two(whole: Floats) -> tuple[int, int]:
    order = np.argsort(-whole, kind="stable")
    return int(order[0]), int(order[min(1, len(order) - 1)])


def _but(scored: Floats, column: int) -> np.ndarray:
    return np.arange(scored.shape[1])[None] != np.full((len(scored), 1), column)
