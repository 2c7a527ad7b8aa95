"""What all prompts begin with is read once, and no answer changes by it."""

from __future__ import annotations

import pytest
import torch

from osler.models import load_classifier, load_tokenizer
from osler.recipe import BaseSection
from osler.scoring.classifier import ClassifierScorer
from osler.tasks import Case, Task
from osler.tasks.prompt import Prompt
from osler.tasks.sources.known_panel import KnownPanel

LABELS = {"a": "allergy", "b": "bronchitis", "c": "common cold"}
TEXTS = ("A cough.", "A fever, a rash and a cough for three days.", "Long, slender fingers.")


def scorers(base: BaseSection) -> tuple[ClassifierScorer, ClassifierScorer]:
    """One that reads whole prompts, and one that shares their beginning."""
    model, tokenizer = load_classifier(base, list(LABELS)).eval(), load_tokenizer(base)
    with torch.no_grad():
        for parameter in model.score.parameters() if hasattr(model, "score") else model.classifier.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))  # otherwise all answers are nearly alike
    task = Task("made_up", 1, None, {}, Prompt("The patient says: {{ text }}\nDiagnosis?", ""), KnownPanel(LABELS))
    whole, sharing = (ClassifierScorer(model, tokenizer, task, alone=False) for _ in range(2))
    sharing.share_prefix()
    return whole, sharing


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], (*TEXTS, "no turn around it")])
def test_answers_are_those_of_whole_prompts(tiny_base: BaseSection, texts: tuple[str, ...]) -> None:
    whole, sharing = scorers(tiny_base)
    cases = [Case(str(number), text, "a") for number, text in enumerate(texts)]
    prompts = [whole.encode(case) for case in cases]
    if len(texts) > len(TEXTS):
        prompts[-1] = prompts[-1][3:]
    expected = whole.answer(prompts, cases)
    for _ in range(2):  # a pass leaves what was read as it is
        for one, other in zip(sharing.answer(prompts, cases), expected, strict=True):
            assert one.ranked == other.ranked
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_the_beginning_is_not_read_again(tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, sharing = scorers(tiny_base)
    case = Case("1", TEXTS[1], "a")
    prompt = whole.encode(case)
    read = []
    forward = sharing._model.forward
    monkeypatch.setattr(sharing._model, "forward", lambda **given: read.append(given) or forward(**given))
    sharing.answer([prompt], [case])
    assert 1 < read[0]["input_ids"].shape[1] < len(prompt) - 5


def test_an_encoder_reads_whole_prompts(tiny_encoder: BaseSection) -> None:
    whole, sharing = scorers(tiny_encoder)
    case = Case("1", TEXTS[1], "a")
    assert sharing._prefix is None
    assert sharing.answer([whole.encode(case)], [case]) == whole.answer([whole.encode(case)], [case])
