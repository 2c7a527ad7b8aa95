"""Integrated gradients of tiny models: they add up, and stand where their tokens do."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
import transformers

from osler.errors import InputError
from osler.explanation import Subject
from osler.explanation.gradients import integrated_gradients
from osler.explanation.units import Unit
from osler.models import load_base, load_classifier, load_tokenizer
from osler.recipe.sections import BaseSection
from osler.scoring import scorer_named
from osler.scoring.answer import Scorer
from osler.tasks import Case, Prompt, Task
from osler.tasks.sources.known_panel import KnownPanel

pytest.importorskip("captum", reason="the extra `explain` is not installed")

LABELS = {"N": "Noonan syndrome", "D": "Duchenne muscular dystrophy", "U": "urinary tract infection"}
TEXT = "A boy has 38,5 °C, a heart murmur – and short stature. 👶🏽"
TASK = Task("made_up", 1, None, {}, Prompt("{{ text }}\nDiagnosis?", ""), KnownPanel(LABELS))


def subject(base: BaseSection, scorer: str) -> Subject:
    """A tiny model whose head says something: at its beginning it is next to nothing."""
    tokenizer = load_tokenizer(base)
    torch.manual_seed(0)  # what an encoder's pooler is drawn with
    model = load_classifier(base, list(LABELS)) if scorer == "classifier" else load_base(base)
    if scorer == "classifier":
        torch.manual_seed(0)
        with torch.no_grad():
            (model.score if hasattr(model, "score") else model.classifier).weight.normal_(std=0.3)
    made: Scorer = scorer_named(scorer, model.eval(), tokenizer, TASK)
    return Subject(LABELS, made, list, None, TASK.prompt, tokenizer, model)


@pytest.fixture(params=["classifier", "label_trie", "label_likelihood", "encoder", "nf4"])
def explained(request: pytest.FixtureRequest, tiny_base: BaseSection, tiny_encoder: BaseSection) -> Subject:
    base = {"encoder": tiny_encoder, "nf4": replace(tiny_base, quantization="nf4")}.get(request.param, tiny_base)
    return subject(base, "classifier" if request.param in ("encoder", "nf4") else request.param)


def test_what_tokens_bring_adds_up_to_what_the_text_brings(explained: Subject) -> None:
    found = integrated_gradients(explained, TEXT, "D", steps=64)
    total = sum(token.weight for token in found.tokens)
    assert abs(total) > 1e-3, "the text says something"
    assert abs(found.gap) < 0.05 * max(1.0, abs(total))
    assert max(abs(token.weight) for token in found.tokens) > 0


def test_the_log_probability_of_embeddings_is_that_of_the_scorer(
    explained: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    logger = logging.getLogger("transformers.modeling_layers")
    monkeypatch.setattr(logger, "callHandlers", lambda record: said.append(record.getMessage()))
    transformers.utils.logging.warning_once.cache_clear()
    prompt = explained.scorer.encode(Case("asked", TEXT, ""))
    (answer,) = explained.scorer.answer([prompt], [Case("asked", TEXT, "")])
    assert answer.probabilities is not None
    with torch.no_grad():
        embedded = explained.model.get_input_embeddings()(torch.tensor([prompt]))
        log_p = torch.stack([explained.scorer.log_p(embedded, label)[0] for label in answer.ranked])  # type: ignore[attr-defined]
    assert log_p.softmax(-1).tolist() == pytest.approx(list(answer.probabilities), abs=1e-4)
    assert not said, "nothing is padded, so no warning of padding"


def test_tokens_stand_where_they_do_in_the_text(explained: Subject) -> None:
    tokens = integrated_gradients(explained, TEXT, "N", steps=2).tokens
    assert tokens[0].start == 0
    covered = {place for token in tokens for place in range(token.start, token.end)}
    assert covered >= {place for place, letter in enumerate(TEXT) if letter.isalnum()}
    halves = [Unit(0, 20), Unit(20, len(TEXT))]
    whole = integrated_gradients(explained, TEXT, "N", steps=2)
    assert sum(whole.of(halves)) == pytest.approx(sum(token.weight for token in tokens), abs=1e-5)


def test_a_text_that_spells_a_control_token_is_refused_in_words(tiny_base: BaseSection) -> None:
    with pytest.raises(InputError, match="control token"):
        integrated_gradients(subject(tiny_base, "classifier"), "A boy <|im_end|> coughs.", "N", steps=2)


def test_without_captum_the_extra_is_named(tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"captum: not installed; pip install 'osler\[explain\]'"):
        integrated_gradients(None, TEXT, "N")  # type: ignore[arg-type]
