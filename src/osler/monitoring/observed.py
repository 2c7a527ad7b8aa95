"""Cases as monitoring sees them: what a model was asked, what it answered and whether that was right, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from osler.feedback import StoredPrediction, Verdict, by_prediction
from osler.statistics import Floats, Ints

Places = Ints | slice


@dataclass(frozen=True)
class Observed:
    """Cases in the order they were asked; every column has one entry a case.

    Attributes:
        tokens, unknown_share, confidence: NaN where it is not known. ``confidence`` is the probability of the first
            diagnosis.
        abstained: 1 where the first diagnosis was too unsure to be told, else 0.
        right: 1 where the first diagnosis is right, 0 where it is wrong, NaN where nobody has said.
        language, label: None where it could not be recognised or read.
        findings: ids of HPO.
        subgroups: attribute to value.
        disputed: how many cases raters disagree on, with nothing that settles it; they count as not judged.
    """

    tokens: Floats
    unknown_share: Floats
    confidence: Floats
    abstained: Floats
    right: Floats
    language: tuple[str | None, ...]
    label: tuple[str | None, ...]
    findings: tuple[tuple[str, ...], ...]
    subgroups: tuple[Mapping[str, str], ...]
    disputed: int = 0

    @classmethod
    def of(cls, predictions: Sequence[StoredPrediction], verdicts: Iterable[Verdict] = ()) -> Observed:
        """Predictions of one model, in their order, with what raters say of them."""
        opinions = by_prediction(verdicts)
        judged = [_judged(opinions.get(one.id, ())) for one in predictions]
        first = [one.diagnoses[0] if one.diagnoses else None for one in predictions]
        return cls(
            tokens=_floats(one.tokens for one in predictions),
            unknown_share=_floats(one.unknown_share for one in predictions),
            confidence=_floats(one.probability if one else None for one in first),
            abstained=_floats(one.abstained for one in predictions),
            right=_floats(judged),
            language=tuple(one.language for one in predictions),
            label=tuple(one.label if one else None for one in first),
            findings=tuple(one.findings for one in predictions),
            subgroups=tuple(one.subgroups for one in predictions),
            disputed=sum(one.id in opinions and now is None for one, now in zip(predictions, judged, strict=True)),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Which cases are known to be right or wrong."""
        return ~np.isnan(self.right)

    def take(self, places: Places) -> Observed:
        """Some of the cases, in the order of ``places``, which may name one several times."""
        numbers = np.arange(len(self))[places].tolist()
        return Observed(
            tokens=self.tokens[places],
            unknown_share=self.unknown_share[places],
            confidence=self.confidence[places],
            abstained=self.abstained[places],
            right=self.right[places],
            language=tuple(self.language[number] for number in numbers),
            label=tuple(self.label[number] for number in numbers),
            findings=tuple(self.findings[number] for number in numbers),
            subgroups=tuple(self.subgroups[number] for number in numbers),
        )

    def subgroup(self, attribute: str, value: str) -> npt.NDArray[np.bool_]:
        """Which cases have this value."""
        return np.array([own.get(attribute) == value for own in self.subgroups], dtype=bool)


def _judged(verdicts: Sequence[Verdict]) -> bool | None:
    """What settles it, or else what all raters say; None where they disagree, and where there are none.

    Unlike :func:`osler.feedback.settle`, which is about the right label: raters who find an answer wrong and differ on
    what is right have judged it all the same, and to leave such cases out would flatter the model.
    """
    settled = [one.right for one in verdicts if one.adjudicated] or [one.right for one in verdicts]
    return settled[0] if settled and len(set(settled)) == 1 else None


def _floats(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
