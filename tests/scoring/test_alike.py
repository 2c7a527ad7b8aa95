"""Prompts that share most of their tokens are answered as each is alone."""

from __future__ import annotations

import pytest
import torch

from osler.models import load_base, load_classifier, load_tokenizer
from osler.recipe.sections import BaseSection
from osler.scoring import scorer_named
from osler.scoring.alike import common_beginning, tree_size
from osler.tasks import Case, Prompt, Task
from osler.tasks.sources.known_panel import KnownPanel

LABELS = {"N": "Noonan syndrome", "D": "Duchenne muscular dystrophy", "U": "urinary tract infection"}
TASK = Task("made_up", 1, None, {}, Prompt("{{ text }}\nDiagnosis?", ""), KnownPanel(LABELS))
TEXTS = (
    "A boy with a heart murmur and fever.",
    "A boy with fever.",
    "A boy with a heart murmur.",
    "A boy with fever.",
    "",
)


@pytest.mark.parametrize("name", ["classifier", "encoder", "label_trie", "label_likelihood"])
def test_prompts_that_are_alike_get_the_answers_that_each_gets_alone(
    name: str, tiny_base: BaseSection, tiny_encoder: BaseSection
) -> None:
    base = tiny_encoder if name == "encoder" else tiny_base
    head = name in ("classifier", "encoder")
    model = load_classifier(base, list(LABELS)) if head else load_base(base)
    if head:
        with torch.no_grad():
            (model.score if name == "classifier" else model.classifier).weight.normal_()
    scorer = scorer_named("classifier" if head else name, model.eval(), load_tokenizer(base), TASK)
    prompts = [scorer.encode(Case("asked", text, "")) for text in TEXTS]
    alone = [scorer.answer([prompt], [Case("asked", "", "")])[0] for prompt in prompts]
    for together, one in zip(scorer.answer_alike(prompts), alone, strict=True):  # type: ignore[attr-defined]
        assert together.ranked == one.ranked
        assert together.probabilities == pytest.approx(one.probabilities, abs=1e-5)
    assert scorer.tokens_run(prompts) < sum(map(len, prompts)) + 5 * 30  # type: ignore[attr-defined]


def test_what_prompts_share_is_counted_once() -> None:
    prompts = [[1, 2, 3, 4], [1, 2, 4], [1, 2, 3, 4]]
    assert common_beginning(prompts) == 2
    assert common_beginning([[1, 2]]) == 1
    assert tree_size(prompts) == 5
