"""A model with canned answers, as it is served: what is tested is everything around it."""

from __future__ import annotations

from typing import Any

from osler.runs import Calibration
from osler.runs.results import Abstention, CalibrationMeasures
from osler.scoring import Answer
from osler.serving.diagnosis import ModelName
from osler.serving.model import ServedModel

LABELS = {
    "OMIM:154700": "Marfan syndrome",
    "OMIM:130000": "Ehlers-Danlos syndrome, classic type, 1",
    "OMIM:163950": "Noonan syndrome 1",
}
SURE, UNSURE = (0.9, 0.08, 0.02), (0.4, 0.35, 0.25)


class Canned:
    """Sure of Marfan syndrome where a text speaks of a lens, and unsure elsewhere."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, case: Any) -> list[int]:
        return list(range(len(case.text.split())))

    def behind(self, case: Any) -> int:
        return 0

    def answer(self, tokens: Any, cases: Any) -> list[Answer]:
        self.asked += [case.text for case in cases]
        return [
            Answer(ranked=tuple(LABELS), probabilities=SURE if "lens" in case.text else UNSURE, parsed=True)
            for case in cases
        ]


def canned(name: str = "canned", threshold: float | None = 0.7, version: str = "1.0.0") -> ServedModel:
    """That model; without a ``threshold`` it never abstains."""
    abstention = Abstention(target_accuracy=0.9, threshold=threshold, validation=None, coverage=None, accuracy=None)
    fitted = Calibration(before=CalibrationMeasures(reliability=()), temperature=1.0, abstention=abstention)
    return ServedModel(
        name=ModelName(name=name, version=version, recipe_sha256="a" * 64, weights_sha256="b" * 64),
        task="made_up",
        labels=LABELS,
        context=200,
        fitted=fitted,
        texts=None,
        scorer=Canned(),  # type: ignore[arg-type]
        model=None,
        adapter=None,
    )
