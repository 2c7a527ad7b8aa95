"""``monitoring.json``: what was seen of a model in use, window by window, and what is told as an alarm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from osler.runs import Estimate, PerturbedRecord
from osler.storage import Contract, FileContract

Count = Annotated[int, Field(ge=0)]
Feature = Literal["length", "wording", "language", "findings", "labels", "confidence", "abstention"]
Kind = Literal["drift", "change", "accuracy", "gap"]


class Shift(Contract):
    """How far a window's distribution is from that of the evaluation (population stability index), and the ``limit``
    that a window without shift exceeds as rarely as ``false_alarms`` of the report allow."""

    psi: Annotated[float, Field(ge=0)]
    limit: Annotated[float, Field(ge=0)]


class Accuracy(Contract):
    """How often first diagnoses are right, estimated and seen.

    Attributes:
        estimated: mean calibrated probability of the first diagnosis; null where probabilities are not calibrated.
        abstained: the share of answers that were too unsure to be told.
        judged: how many cases somebody has judged.
        realised: the share of those that is right; null where nobody judged one. It is of the judged cases alone.
    """

    estimated: Estimate | None
    abstained: Estimate
    judged: Count
    realised: Estimate | None


class Window(Contract):
    """``n`` cases in a row. ``drift`` has the features that are watched; it is empty for a window that is not full.
    ``groups``: attribute → value → the same of its cases, where they are enough."""

    n: Annotated[int, Field(ge=1)]
    begins: AwareDatetime
    ends: AwareDatetime
    drift: dict[Feature, Shift]
    accuracy: Accuracy
    groups: dict[str, dict[str, Accuracy]]


class Group(Contract):
    """The cases of the whole period with one ``value`` of an ``attribute``; ``accuracy`` is null where they are few.

    ``gap``: measure → its mean here minus that of the other cases. ``changed``: measure → the p value, adjusted by Holm
    over all groups and measures, of that gap being what it was in the evaluation; only of measures that both have.
    """

    attribute: str
    value: str
    n: Count
    accuracy: Accuracy | None
    gap: dict[str, Estimate]
    changed: dict[str, float]


class Swapped(Contract):
    """The same texts with the patient's sex, or age, exchanged; the label stays, the answer may not.

    Attributes:
        n, unchanged: texts in which something could be exchanged, and in which nothing could.
        flip_rate: of the ``n``, the share whose first diagnosis is another one; null where they are few.
        probability: the change of the probability of the first diagnosis, mean over the ``n``; null where the model
            gives none.
        judged: how many of the ``n`` have a right diagnosis that is settled; the accuracies are of these.
        evaluated: the same of the run's own evaluation; null where nobody asked for it.
        differs: measure → the p value, adjusted by Holm over both swaps and measures, of it being as in the evaluation.
    """

    swap: Literal["sex_swap", "age_swap"]
    n: Count
    unchanged: Count
    flip_rate: Estimate | None
    probability: Estimate | None
    judged: Count
    original_accuracy: Estimate | None
    accuracy: Estimate | None
    change: Estimate | None
    evaluated: PerturbedRecord | None
    differs: dict[str, float]


class Alarm(Contract):
    """Something to look at.

    Attributes:
        kind: ``drift`` of a window from the evaluation, ``change`` within the stream, ``accuracy`` below what is
            estimated, or a ``gap`` between subgroups, or after a swap, other than in the evaluation.
        about: the feature, or the subgroup with its measure.
        case: the number of the case, from 1, that raised it.
        at: when that case was asked.
        value, limit: what was seen, and what it would have had to be within; of a ``change``: the means since
            it, and before.
        text: the same for people.
    """

    kind: Kind
    about: str
    case: Annotated[int, Field(ge=1)]
    at: AwareDatetime
    value: float
    limit: float
    text: str


class FalseAlarms(Contract):
    """How many alarms a stream without shift raises in 10,000 cases by design: a ``budget`` for all detectors, and the
    shares of it. What was measured is in docs/decisions/monitoring.md."""

    budget: float
    shares: dict[Kind, float]


class ReferenceRecord(Contract):
    """What is compared with: ``n`` cases of a ``split``, what is ``not_watched`` and why; ``bias`` is their accuracy
    minus their mean calibrated probability, null where that is not known."""

    split: str
    n: Count
    not_watched: dict[Feature, str]
    bias: Estimate | None


class Monitoring(FileContract):
    """``monitoring.json``. ``window`` cases make a window; ``disputed`` is how many raters disagree on;
    ``swaps`` is null where they were not asked for."""

    model: str
    version: str
    task: str
    window: Annotated[int, Field(ge=1)]
    n: Annotated[int, Field(ge=1)]
    disputed: Count
    reference: ReferenceRecord
    false_alarms: FalseAlarms
    accuracy: Accuracy
    windows: tuple[Window, ...]
    groups: tuple[Group, ...]
    swaps: tuple[Swapped, ...] | None = None
    alarms: tuple[Alarm, ...]
