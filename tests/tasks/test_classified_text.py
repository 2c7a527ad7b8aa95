"""What a classifier reads: the task's prompt where the base can be asked, the case alone where it cannot."""

from __future__ import annotations

import pytest

from osler.models.loading import load_tokenizer
from osler.recipe.sections import BaseSection
from osler.tasks.classified_text import encode_classified
from osler.tasks.prompt import Prompt, TooLong

PROMPT = Prompt("{{ text }}\nDiagnosis?", "")
TEXT = "thirst, weight loss and blurred vision"


def test_a_decoder_reads_the_very_prompt_it_would_be_asked_with(tiny_base: BaseSection) -> None:
    tokenizer = load_tokenizer(tiny_base)
    assert encode_classified(PROMPT, tokenizer, TEXT) == (PROMPT.encode(tokenizer, TEXT), False)
    prompt, cut = encode_classified(PROMPT, tokenizer, TEXT * 9, 60)
    assert cut
    assert len(prompt) <= 60
    assert tokenizer.decode(prompt).endswith("Diagnosis?<|im_end|>\n<|im_start|>assistant\n"), "the question stays"


def test_an_encoder_reads_the_case_between_its_own_special_tokens(tiny_encoder: BaseSection) -> None:
    tokenizer = load_tokenizer(tiny_encoder)
    read, cut = encode_classified(PROMPT, tokenizer, TEXT)
    assert tokenizer.decode(read) == f"[CLS] {TEXT.replace(',', ' ,')} [SEP]"
    assert not cut
    shorter, cut = encode_classified(PROMPT, tokenizer, TEXT, 6)
    assert (shorter, cut) == ([*read[:5], tokenizer.sep_token_id], True)
    with pytest.raises(TooLong):
        encode_classified(PROMPT, tokenizer, TEXT, 1)


def test_a_case_that_spells_a_special_token_does_not_end_there(tiny_encoder: BaseSection) -> None:
    tokenizer = load_tokenizer(tiny_encoder)
    read, _ = encode_classified(PROMPT, tokenizer, "thirst [SEP] fever [PAD]")
    assert read.count(tokenizer.sep_token_id) == 1
    assert tokenizer.pad_token_id not in read
