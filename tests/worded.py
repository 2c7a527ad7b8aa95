"""A model whose answers follow from the words of a text, so that what explains them is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from project import GOLDEN

from osler.explanation.subject import Subject
from osler.statistics import Floats
from osler.terminology import Ontology, read_ontology

PALMS, SOLES, HUMMING, NIGHT = "HP:9000011", "HP:9000012", "HP:9000020", "HP:9000021"


@dataclass(frozen=True)
class Toy(Subject):
    """Words → what each adds to the score of a label; a label's score is their sum."""

    words: Mapping[str, Mapping[str, float]]
    asked: list[str]

    def ask(self, texts: Sequence[str]) -> Floats:
        self.asked.extend(texts)
        rows = []
        for text in texts:
            scores = dict.fromkeys(self.labels, 0.0)
            for word, adds in self.words.items():
                for label, score in adds.items():
                    scores[label] += score * (word in text.lower())
            total = math.log(sum(map(math.exp, scores.values())))
            rows.append([score - total for score in scores.values()])
        return np.array(rows)


def toy(words: Mapping[str, Mapping[str, float]], labels: Sequence[str] = ("lamp", "hum")) -> Toy:
    """A model of ``labels``."""
    nothing: dict = dict(scorer=None, temper=list, context=None, prompt=None, tokenizer=None, model=None)  # noqa: C408
    return Toy(labels={label: label for label in labels}, words=words, asked=[], **nothing)


def ontology() -> Ontology:
    return read_ontology(GOLDEN / "mini.obo")
