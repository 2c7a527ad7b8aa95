"""Scores and losses of tiny models of every architecture, beside what each model says when it is asked alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from architectures import tiny
from datasets import Dataset
from plain_trie import decisions
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig

from osler.data import IGNORED
from osler.errors import InputError
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.scoring.proof import prove
from osler.training.proved_trainer import ProvedTrainer
from osler.training.trainer import LabelTrieTrainer

EOS = 2
LABELS = {"a": [5, 6, 7, 8, EOS], "b": [5, 6, 9, EOS], "c": [5, 10, EOS], "d": [30, 31, 32, 33, 34, EOS]}
# The longest one is longer than the windows of the tiny models.
PROMPTS = [[11, 12, 13, 14, 15, 16], [22, 23, 24], [40, 41, 42, 43, 44, 45, 46, 47, 38, 39, 37], [17]]
WEIGHT = 0.25  # of the completion in the label-trie loss
LOSSES: dict[str, type[ProvedTrainer]] = {"completion": ProvedTrainer, "label_trie": LabelTrieTrainer}


class Difference(NamedTuple):
    """How a number was computed (the way, or the loss), and how far it is off; None where the model is refused."""

    how: str
    off: float | None


def score_difference(architecture: str) -> Difference:
    """The largest difference of a label's probability from that of calls for one label each."""
    model = tiny(architecture)
    try:
        way = prove(model)
    except InputError:
        return Difference("refused", None)
    found = score(model, PROMPTS, [Layout(LabelTrie(LABELS), normalised=False)] * len(PROMPTS), way)
    alone = [[_log_probability(model, prompt, tokens) for tokens in LABELS.values()] for prompt in PROMPTS]
    return Difference(way, float((torch.stack(found).softmax(-1) - torch.tensor(alone).softmax(-1)).abs().max()))


@torch.no_grad()
def _log_probability(model: Any, prompt: list[int], tokens: list[int]) -> float:
    logp = model(torch.tensor([prompt + tokens]), use_cache=False).logits[0].log_softmax(-1)
    return float(logp[range(len(prompt) - 1, len(prompt) + len(tokens) - 1), tokens].sum())


def loss_difference(architecture: str, loss: str, folder: Path, tokenizer: PreTrainedTokenizerBase) -> Difference:
    """The difference of the first batch's loss from that of calls for one row each."""
    trainer = _trainer(LOSSES[loss], architecture, folder, tokenizer)
    model: Any = trainer.model
    trainer.aux_loss_enabled = False  # what TRL adds for mixtures of experts
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(PROMPTS))])  # type: ignore[index]
    model.eval()
    try:
        found = float(trainer.compute_loss(model, dict(batch)).detach())
    except InputError:
        return Difference("refused", None)
    return Difference(loss, abs(found - _plain_losses(architecture)[loss]))


def _trainer(
    kind: type[ProvedTrainer], architecture: str, folder: Path, tokenizer: PreTrainedTokenizerBase
) -> ProvedTrainer:
    rows = [
        {
            "input_ids": prompt + tokens,
            "attention_mask": [1] * len(prompt + tokens),
            "labels": [IGNORED] * len(prompt) + tokens,
            "label_index": n,
        }
        for n, (prompt, tokens) in enumerate(zip(PROMPTS, LABELS.values(), strict=True))
    ]
    names = ("activation_checkpointing", "gradient_checkpointing")  # the second one before transformers 5.21
    settings = {next(name for name in names if name in SFTConfig.__dataclass_fields__): False}
    config = SFTConfig(
        output_dir=str(folder),
        dataset_kwargs={"skip_prepare_dataset": True},
        per_device_train_batch_size=len(rows),
        use_cpu=True,
        bf16=False,
        report_to="none",
        **settings,
    )
    trie = {"completions": [LABELS], "completion_weight": WEIGHT} if kind is LabelTrieTrainer else {}
    dataset = Dataset.from_list(rows)
    return kind(model=tiny(architecture), args=config, train_dataset=dataset, processing_class=tokenizer, **trie)


@torch.no_grad()
def _plain_losses(architecture: str) -> dict[str, float]:
    """The mean loss of a token; and that of a row over the trie, with its share of the other. One call a row."""
    model, tokens, decided = tiny(architecture), [], []
    for prompt, (label, sequence) in zip(PROMPTS, LABELS.items(), strict=True):
        logits = model(torch.tensor([prompt + sequence]), use_cache=False).logits[0, len(prompt) - 1 :]
        logp = logits.log_softmax(-1)
        tokens += [-float(logp[i, token]) for i, token in enumerate(sequence)]
        decided += [-float(logits[d, c].log_softmax(-1)[right]) for d, c, right in decisions(LABELS, label)]
    completion = sum(tokens) / len(tokens)
    return {"completion": completion, "label_trie": sum(decided) / len(LABELS) + WEIGHT * completion}
