"""Free text written by a model, and what is made of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from osler.models.loading import load_base, load_tokenizer
from osler.recipe.sections import BaseSection
from osler.scoring import generation
from osler.scoring.generation import Generator, read
from osler.scoring.normaliser import Normaliser
from osler.tasks.case import Case
from osler.tasks.prompt import Prompt
from osler.terminology.diseases import Concept, Terminology

TERMS = Terminology([Concept("1", ("Gout",), ("podagra",)), Concept("2", ("Migraine",)), Concept("3", ("Asthma",))], {})
LABELS = {"G": "gout", "M": "migraine"}


def test_a_greedy_answer_is_ranked_as_it_was_written() -> None:
    answer = read(["1. Podagra\n2. Migraine"], Normaliser(LABELS, TERMS))
    assert answer.ranked == ("G", "M")
    assert answer.probabilities is None
    assert answer.text == "1. Podagra\n2. Migraine"
    assert answer.parsed


def test_a_text_without_a_diagnosis_is_not_parsed() -> None:
    answer = read(["I am sorry, but I cannot help with that."], Normaliser(LABELS, TERMS))
    assert not answer.parsed
    assert answer.ranked == ()


def test_samples_vote_and_the_share_of_votes_is_the_probability() -> None:
    texts = ["Diagnosis: migraine", "1. Gout\n2. Migraine", "1. Gout\n2. Asthma", "I do not know."]
    answer = read(texts, Normaliser(LABELS, TERMS))
    assert answer.ranked == ("G", "M", "text:asthma")
    assert answer.probabilities == pytest.approx((2 / 3, 1 / 3, 0.0)), "a sample that cannot be read has no vote"


def test_without_labels_an_answer_is_compared_with_its_own_case(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(None, None, Prompt("{{ text }}", ""), {}, TERMS)  # type: ignore[arg-type]
    monkeypatch.setattr(generator, "write", lambda prompts: [["Podagra"], ["Podagra"]])
    rows = [Case(case_id=label, text="", label=label) for label in ("Gouty arthritis", "Gout")]
    wrong, right = generator.answer([[1], [2]], rows)
    assert right.ranked == ("Gout",)
    assert wrong.ranked != ("Gouty arthritis",)


@pytest.fixture(scope="module")
def model(tiny_base: BaseSection) -> PreTrainedModel:
    return load_base(tiny_base)


@pytest.mark.parametrize("samples", [1, 3])
def test_what_is_written_depends_on_the_prompts_alone(
    model: PreTrainedModel, tiny_base: BaseSection, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "MAX_NEW_TOKENS", 5)
    generator = Generator(model, load_tokenizer(tiny_base), Prompt("{{ text }}", ""), LABELS, TERMS, samples)
    prompts = [[5, 6, 7, 8], [12, 13]]
    first = generator.write(prompts)
    assert [len(texts) for texts in first] == [samples, samples]
    assert generator.write(prompts) == first
    if samples == 1:
        assert generator.write(prompts[1:]) == first[1:], "padding makes no difference"


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("samples", [1, 3])
def test_what_the_base_would_rather_write_makes_no_difference(
    tiny_base: BaseSection, tmp_path: Path, samples: int, adapter: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "MAX_NEW_TOKENS", 12)
    folder = tmp_path / "base"
    shutil.copytree(tiny_base.model, folder)
    wishes = {"num_beams": 4, "no_repeat_ngram_size": 2, "repetition_penalty": 5.0, "min_p": 0.9, "do_sample": True}
    wishes |= {"suppress_tokens": list(range(20, 200)), "min_new_tokens": 12, "length_penalty": 3.0}
    (folder / "generation_config.json").write_text(json.dumps(wishes))
    texts = []
    for base in (tiny_base, replace(tiny_base, model=str(folder))):
        network = load_base(base)
        if adapter:
            network = get_peft_model(network, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
        texts.append(
            Generator(network, load_tokenizer(base), Prompt("{{ text }}", ""), LABELS, TERMS, samples).write(
                [[5, 6, 7]]
            )
        )
    assert texts[0] == texts[1]
    assert network.generation_config.num_beams == 4, "a model that is saved later keeps what its base says"
