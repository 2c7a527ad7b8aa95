"""A recipe's YAML is changed where its values are, and is otherwise as somebody wrote it."""

from __future__ import annotations

import pytest
import yaml

from osler.search.winner import edited

RECIPE = """\
# Tiny.
schema: 1
version: 1.0.0
lora: {r: 16, lora_alpha: 32} # small
augment: {}
data:
train: # trl.SFTConfig
  learning_rate: 1.0e-3 # of the QLoRA paper
  optim: adamw_torch
  # Steps, not passes.
  max_steps: 30

# How long?
search:
  metric: accuracy
  minutes: 60
  space:
    lora.r: [8, 16]
# Where it goes.
publish: {license: apache-2.0}
"""


def test_values_are_replaced_and_added_and_the_search_is_gone() -> None:
    texts = {
        "version": "2.0.0",
        "lora.r": "8",
        "lora.use_dora": "true",
        "augment.typos": "0.1",
        "data.balance": "0.5",
        "train.learning_rate": "0.000312",
        "train.eval_steps": "5",
        "mixture.temperature": "2",
        "patience": "3",
    }
    assert (
        edited(RECIPE, texts)
        == """\
# Tiny.
schema: 1
version: 2.0.0
lora: {r: 8, lora_alpha: 32, use_dora: true} # small
augment: {typos: 0.1}
data: {balance: 0.5}
train: # trl.SFTConfig
  learning_rate: 0.000312
  optim: adamw_torch
  # Steps, not passes.
  max_steps: 30
  eval_steps: 5

# Where it goes.
publish: {license: apache-2.0}
mixture: {temperature: 2}
patience: 3
"""
    )


@pytest.mark.parametrize("text", ["train: {a: 1}\nsearch: {b: 2}", "search:\n  b: 2\ntrain:\n  a: 1"])
def test_also_at_the_end_and_without_a_last_line_break(text: str) -> None:
    assert yaml.safe_load(edited(text, {"train.a": "[x, y]"})) == {"train": {"a": ["x", "y"]}}
