"""The trainer of ``head: reranker``: the right candidate of each case against the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from osler.data import TrainingData
from osler.errors import InputError
from osler.models import in_float32
from osler.recipe import Recipe
from osler.runs import Run
from osler.scoring import BOUND, Candidates, candidate_scores
from osler.training.classifier_trainer import ClassifierTrainer, adapted
from osler.training.trainer import row_weights


class RerankerTrainer(ClassifierTrainer):
    """Trains with the mean cross-entropy of the right candidate among its case's, times its ``weight`` if it has one.

    Before the first step the scores of a case, whose candidates share one pass, are held against those of passes of
    their own.
    """

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The loss of ``inputs``: ``prompts`` and ``candidates`` by case, and ``labels``, (batch,).

        Raises :class:`InputError` where candidates do not get the scores that they get alone.
        """
        if not self._proved:
            self._proved = True
            self._prove(model, inputs)
        scores = candidate_scores(model, inputs["prompts"], inputs["candidates"])
        smoothing = self.args.label_smoothing_factor
        losses = [
            torch.nn.functional.cross_entropy(of[None], label[None], label_smoothing=smoothing)
            for of, label in zip(scores, inputs["labels"], strict=True)
        ]
        loss = (torch.stack(losses) * inputs.get("weight", 1)).mean()
        return (loss, {"loss": loss}) if return_outputs else loss

    @torch.no_grad()
    def _prove(self, model: torch.nn.Module, inputs: dict[str, Any]) -> None:
        prompts, candidates = inputs["prompts"][:1], inputs["candidates"][:1]
        training = model.training
        model.eval()
        with in_float32(self.accelerator.unwrap_model(model)):
            (alone,) = candidate_scores(model, prompts, candidates, "plain")
            (found,) = candidate_scores(model, prompts, candidates)
        model.train(training)
        off = float((found - alone).abs().max())
        if not off <= BOUND * min(1.0, float(alone.abs().max())) + 1e-7:
            name = type(self.accelerator.unwrap_model(self.model)).__name__
            raise InputError(
                f"base.model: {name} says something else of candidates that share a pass than of each alone (off by"
                f" {off:.2g}); take another base, or attn_implementation: eager"
            )


def build_reranker_trainer(
    recipe: Recipe, run: Run, model: Any, tokenizer: PreTrainedTokenizerBase, data: TrainingData
) -> RerankerTrainer:
    """The trainer of a recipe with ``head: reranker``, ready to ``train()``."""
    model, config = adapted(recipe, run, model)
    config.remove_unused_columns = False
    examples = Dataset.from_list(data.examples)
    if data.loss_weights is not None:
        examples = examples.add_column("weight", data.loss_weights)
    return RerankerTrainer(
        model=model,
        args=config,
        train_dataset=examples,
        processing_class=tokenizer,
        data_collator=collate,
    )


def collate(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``prompts`` and ``candidates`` of each case, and ``labels``, the places of the right ones, (batch,)."""
    split = [divided(example) for example in examples]
    return {
        "prompts": [parts[0] for parts in split],
        "candidates": [Candidates(parts[1:]) for parts in split],
        "labels": torch.tensor([example["labels"][0] for example in examples]),
        **row_weights(examples),
    }


def divided(example: Mapping[str, list[int]]) -> list[list[int]]:
    """The prompt of an example, then its candidates: ``input_ids`` cut into ``lengths``."""
    parts, start = [], 0
    for length in example["lengths"]:
        parts.append(example["input_ids"][start : start + length])
        start += length
    return parts
