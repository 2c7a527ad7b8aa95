"""The model that is explained, asked as evaluation and serving ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from osler.errors import InputError
from osler.statistics import Floats

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from osler.scoring import Answer, Scorer
    from osler.tasks import Prompt

BATCH = 16  # texts a pass, as in evaluation
LEAST = 1e-12  # of a probability, so that its logarithm is a number


@dataclass(frozen=True)
class Subject:
    """A model with labels of its own.

    Attributes:
        labels: label id → name, in the panel's order.
        scorer: what evaluation asks.
        temper: the probabilities of an answer, calibrated.
        context: tokens that the model reads; None where it does not say.
        prompt, tokenizer, model: what gradients need, besides.
    """

    labels: Mapping[str, str]
    scorer: Scorer
    temper: Callable[[Sequence[float]], Sequence[float]]
    context: int | None
    prompt: Prompt
    tokenizer: PreTrainedTokenizerBase
    model: Any

    def ask(self, texts: Sequence[str]) -> Floats:
        """(texts, labels) calibrated log-probabilities, natural; one pass for every :data:`BATCH` texts."""
        from osler.scoring import batches
        from osler.tasks import Case

        cases = [Case("asked", text, "") for text in texts]
        prompts = [self.scorer.encode(case) for case in cases]
        if self.context is not None and (longest := max(map(len, prompts), default=0)) >= self.context:
            raise InputError(
                f"a changed text has {longest:,} tokens with its prompt, and the model reads {self.context:,}"
            )
        rows = np.zeros((len(texts), len(self.labels)))
        for batch in batches(prompts, BATCH):
            answers = self.scorer.answer([prompts[i] for i in batch], [cases[i] for i in batch])
            rows[batch] = [self.log_p(answer) for answer in answers]
        return rows

    def log_p(self, answer: Answer) -> Floats:
        """(labels,) calibrated log-probabilities of an answer, in the order of ``labels``.

        Raises :class:`InputError` where it has none, or is of other labels.
        """
        if answer.probabilities is None or set(answer.ranked) != set(self.labels):
            raise InputError("the model gives its labels no probabilities, and only these are explained")
        tempered = dict(zip(answer.ranked, self.temper(answer.probabilities), strict=True))
        return np.log(np.maximum([tempered[label] for label in self.labels], LEAST))
