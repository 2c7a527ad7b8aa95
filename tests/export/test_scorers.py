"""Labels scored from logits that any software gives: the numbers are those of Osler's own pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import PreTrainedModel

from osler.export.scorers import Timed, label_log_probabilities
from osler.models.loading import load_base
from osler.recipe.sections import BaseSection
from osler.scoring.answer import Answer
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.tasks.case import Case

LABELS = {"1": [20, 21, 22, 2], "2": [20, 21, 23, 2], "3": [20, 30, 2], "4": [40, 2], "5": [20, 21, 23, 24, 2]}
PROMPTS = [[5, 6, 7, 8, 9], [50, 51, 52]]


class Plain:
    """A call of the model for every branch."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def logits(self, prompt: Sequence[int], branches: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        with torch.inference_mode():
            rows = [self.model(input_ids=torch.tensor([[*prompt, *branch]])).logits[0] for branch in branches]
        return [row[len(prompt) - 1 :].float() for row in rows]


@pytest.mark.parametrize("normalised", [True, False])
def test_any_runtimes_logits_give_the_log_probabilities_of_the_trie(tiny_base: BaseSection, normalised: bool) -> None:
    model = load_base(tiny_base).float()
    layout = Layout(LabelTrie(LABELS), normalised)
    expected = score(model, PROMPTS, [layout] * 2, "shared")
    for prompt, logp in zip(PROMPTS, expected, strict=True):
        torch.testing.assert_close(label_log_probabilities(Plain(model), prompt, layout), logp, atol=2e-5, rtol=1e-5)


def test_tokens_are_counted_once_a_case() -> None:
    class Instant:
        def encode(self, case: Case) -> list[int]:
            return [1, 2]

        def behind(self, case: Case) -> int:
            return 0

        def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
            return [Answer(("a",), (1.0,)) for _ in prompts]

    timed = Timed(Instant(), nodes=7)
    cases = [Case("1", "x", "a"), Case("2", "y", "a")]
    timed.answer([timed.encode(case) for case in cases], cases)
    assert timed.tokens == 2 * (2 + 7)
    assert timed.seconds > 0
