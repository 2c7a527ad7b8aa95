"""What a recipe needs is counted from its base's configuration, and what is said of it is what was counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from project import ROOT, script
from transformers import AutoConfig

from osler.models import base_config, without_weights
from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection
from osler.training import fake_step, planner
from osler.training.hardware import HARDWARE, Hardware

# Of the safetensors' metadata on the Hub's pages.
PUBLISHED = {
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 4_300_079_472,
    "gpt-oss-20b": 20_914_757_184,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "qwen3-8b": 8_190_735_360,
    "smollm2-1.7b": 1_711_376_384,
    "smollm2-360m": 361_821_120,
    "smollm3-3b": 3_075_098_624,
    "phi-4-mini": 3_836_021_760,
    "smolvlm-256m": 256_484_928,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_configuration_has_the_parameters_of_its_model(name: str) -> None:
    config = AutoConfig.from_pretrained(ROOT / "recipes" / name)
    assert sum(p.numel() for p in of_its_class(config).parameters()) == PUBLISHED[name]
