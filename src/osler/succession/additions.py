"""Cases that experts settled, divided into what a successor learns from and what it is judged on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from osler.data import clusters
from osler.errors import InputError
from osler.feedback import StoredPrediction, Verdict, right_label
from osler.splits import assign
from osler.succession.gate import NEW, TEST
from osler.tasks import Case

SHARES = {"train": 0.5, "validation": 0.1, "test": 0.4}  # of the additions; their share for tests is the split ``new``
SOURCE = "feedback"
SHOWN = 16  # characters of a keyed hash

Settled = tuple[StoredPrediction, Verdict]
"""A prediction, and the verdict on it that holds."""


@dataclass(frozen=True)
class Division:
    """Split → all its cases; split → how many of them are new; and why settled cases were left out, with how many."""

    splits: dict[str, list[Case]]
    added: dict[str, int]
    left_out: dict[str, int]


def divide(
    old: Mapping[str, Sequence[Case]], settled: Iterable[Settled], task: str, labels: Mapping[str, str]
) -> Division:
    """Add what experts settled to the ``train`` and ``validation`` cases of ``old``, and make the split ``new`` of the
    rest; ``test`` stays as it is, and no new case has anything in common with it.

    A case goes where related ones are: those of its group (a patient, a publication), and texts that are nearly the
    same. ``labels``: id to name, of ``task``. Raises :class:`InputError` where nothing is left to add.
    """
    left_out: Counter[str] = Counter()
    cases = list(_cases(settled, task, labels, left_out))
    held = list(old[TEST])
    known = [*old["train"], *old.get("validation", ())]
    number = clusters([case.text for case in (*held, *known, *cases)]).tolist()
    of_held, of_others = number[: len(held)], number[len(held) :]
    of_cases = of_others[len(known) :]
    tested, groups = set(of_held), {case.group for case in held if case.group}
    kept, kept_numbers = [], []
    for case, cluster in zip(cases, of_cases, strict=True):
        if cluster in tested or case.group in groups:
            left_out["has its like among the test cases"] += 1
        else:
            kept.append(case)
            kept_numbers.append(cluster)
    rows = [*known, *kept]
    previous = {case.case_id: "train" for case in old["train"]}
    previous |= {case.case_id: "validation" for case in old.get("validation", ())}
    assigned = assign(
        [case.case_id for case in rows],
        [case.label for case in rows],
        [case.group for case in rows],
        of_others[: len(known)] + kept_numbers,
        SHARES,
        previous=previous,
    )
    splits: dict[str, list[Case]] = {"train": [], "validation": [], TEST: held, NEW: []}
    added = Counter[str]()
    for case, split in zip(rows, assigned.splits, strict=True):
        new = case.case_id not in previous
        if split is None:
            left_out["belongs together with cases of two splits"] += new
            continue
        name = NEW if split == "test" else split
        splits[name].append(case)
        added[name] += new
    if not added[NEW]:
        reasons = "; ".join(f"{n:,}: {reason}" for reason, n in left_out.items()) or f"{added.total():,} settled"
        raise InputError(f"no new case to judge a successor on (left out, {reasons}); collect more verdicts")
    return Division(splits, dict(+added), dict(+left_out))


def _cases(settled: Iterable[Settled], task: str, labels: Mapping[str, str], left_out: Counter[str]) -> Iterator[Case]:
    """The settled predictions as cases; of several about one text the last one counts."""
    latest = {prediction.text_hmac: (prediction, verdict) for prediction, verdict in settled}
    for prediction, verdict in latest.values():
        label = right_label(prediction, verdict)
        if prediction.task != task:
            left_out["is of another task"] += 1
        elif label is None:
            left_out["its right diagnosis is not known"] += 1
        elif prediction.text is None:
            left_out["its text was not kept (serve.py --keep-text)"] += 1
        else:
            yield Case(
                case_id=case_id(prediction),
                text=prediction.text,
                label=labels.get(label, label),
                subgroups=prediction.subgroups,
                group=group_of(prediction),
                source=SOURCE,
            )


def case_id(prediction: StoredPrediction) -> str:
    """How the case is called as a row. It is published with a successor's answers: a prediction's own id is its
    asker's, and may tell who the patient is."""
    return f"{SOURCE}-{prediction.text_hmac[-SHOWN:]}"


def group_of(prediction: StoredPrediction) -> str | None:
    """What the cases of a patient have in common; None where no patient was named."""
    patient = prediction.patient_hmac
    return patient and f"patient-{patient[-SHOWN:]}"


def named(case: Case, labels: Mapping[str, str]) -> Case:
    """``case`` with its label by name: what a successor's task, which knows no ids, calls it."""
    return replace(case, label=labels.get(case.label, case.label))
