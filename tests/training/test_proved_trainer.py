"""Whatever the architecture: what is trained on is the model's own loss, or training is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, tiny
from datasets import Dataset
from plain_trie import decisions
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig

from osler.data import IGNORED
from osler.errors import InputError
from osler.models.loading import load_tokenizer
from osler.recipe.sections import BaseSection
from osler.training.proved_trainer import ProvedTrainer
from osler.training.trainer import LabelTrieTrainer

EOS = 2
LABELS = {"a": [5, 6, 7, EOS], "b": [5, 6, 9, EOS], "c": [5, 10, EOS], "d": [30, 31, EOS]}
PROMPTS = [[11, 12, 13, 14, 15, 16], [22, 23, 24], [40, 41, 42, 43, 44, 45, 46, 47, 38, 39], [17]]
WEIGHT = 0.25  # of the completion in the label-trie loss
# Not causal, several tokens a position, no padding, router losses of a model without routers.
REFUSED_BY_BOTH = {"cpmant", "prophetnet", "xlnet", "flint"}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: BaseSection) -> PreTrainedTokenizerFast:
    return load_tokenizer(tiny_base)


def trainer(kind: type[ProvedTrainer], architecture: str, folder: Path, tokenizer: Any) -> ProvedTrainer:
    rows = [
        {
            "input_ids": prompt + tokens,
            "attention_mask": [1] * len(prompt + tokens),
            "labels": [IGNORED] * len(prompt) + tokens,
            "label_index": n,
        }
        for n, (prompt, tokens) in enumerate(zip(PROMPTS, LABELS.values(), strict=True))
    ]
    config = SFTConfig(
        output_dir=str(folder),
        dataset_kwargs={"skip_prepare_dataset": True},
        per_device_train_batch_size=len(rows),
        use_cpu=True,
        bf16=False,
        report_to="none",
        **{checkpointing: False},
    )
    trie = {"completions": [LABELS], "completion_weight": WEIGHT} if kind is LabelTrieTrainer else {}
    return kind(
        model=tiny(architecture),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        **trie,
    )


checkpointing = (
    "activation_checkpointing"
    if "activation_checkpointing" in SFTConfig.__dataclass_fields__
    else "gradient_checkpointing"
)


def plain_losses(architecture: str) -> tuple[float, float]:
    """The mean loss of a token, and that of a row over the trie with its share of the other, one call a row."""
    model, tokens, decided = tiny(architecture), [], []
    for prompt, (label, sequence) in zip(PROMPTS, LABELS.items(), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + sequence]), use_cache=False).logits[0, len(prompt) - 1 :]
        logp = logits.log_softmax(-1)
        tokens += [-float(logp[i, token]) for i, token in enumerate(sequence)]
        decided += [-float(logits[d, c].log_softmax(-1)[right]) for d, c, right in decisions(LABELS, label)]
    completion = sum(tokens) / len(tokens)
    return completion, sum(decided) / len(LABELS) + WEIGHT * completion


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_is_what_the_model_says_of_each_row_alone(
    architecture: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    refused = set()
    for kind in (ProvedTrainer, LabelTrieTrainer):
        made = trainer(kind, architecture, tmp_path, tokenizer)
        batch = made.data_collator([made.train_dataset[i] for i in range(len(PROMPTS))])
        made.model.eval()
        made.aux_loss_enabled = False  # what TRL adds for mixtures of experts
        try:
            loss = float(made.compute_loss(made.model, dict(batch)).detach())
        except InputError:
            refused.add(kind)
        else:
            assert loss == pytest.approx(plain_losses(architecture)[kind is LabelTrieTrainer], abs=1e-5)
    assert (LabelTrieTrainer in refused) == (architecture in REFUSED_BY_BOTH)
    assert not refused or architecture not in ("llama", "qwen3", "gemma3_text", "mistral", "phi3", "gpt_oss", "smollm3")
