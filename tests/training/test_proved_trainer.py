"""Whatever the architecture: what is trained on is the model's own loss, or training is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures import ARCHITECTURES
from own_numbers import LOSSES, loss_difference
from transformers import PreTrainedTokenizerBase

from osler.models.loading import load_tokenizer
from osler.recipe.sections import BaseSection

# Not causal, several tokens a position, no padding, router losses of a model without routers.
REFUSED = {"cpmant", "prophetnet", "xlnet", "flint"}
RECIPES = {"llama", "qwen3", "gemma3_text", "mistral", "phi3", "gpt_oss", "smollm3"}  # what people train


@pytest.fixture(scope="module")
def tokenizer(tiny_base: BaseSection) -> PreTrainedTokenizerBase:
    return load_tokenizer(tiny_base)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_is_what_the_model_says_of_each_row_alone(
    architecture: str, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    off = {loss: loss_difference(architecture, loss, tmp_path, tokenizer).off for loss in LOSSES}
    assert all(difference is None or difference <= 1e-5 for difference in off.values()), off
    assert (off["label_trie"] is None) == (architecture in REFUSED)
    assert architecture not in RECIPES or off["completion"] is not None
