"""The trainer of ``head: classifier``: transformers' own, with the cross-entropy of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedTokenizerBase, Trainer, set_seed
from trl import SFTConfig

from osler.data import TrainingData
from osler.errors import InputError
from osler.models import load_classifier
from osler.recipe import Recipe
from osler.runs import Run
from osler.scoring import BOUND, LABEL, padded
from osler.training.proved_trainer import HALF_PRECISION_BOUND
from osler.training.sampling import with_shuffled_batches
from osler.training.trainer import row_weights, sft_config, train_in_float32, weighted_mean_loss


class ClassifierTrainer(Trainer):
    """Trains with the mean cross-entropy over the cases of a batch, smoothed by ``label_smoothing_factor``, each times
    its ``weight`` where it has one.

    The loss is taken here and not by the model: several models pass over how many batches a step adds up
    (transformers 5.23). Before the first step, a case read in a batch is held against the same case read alone.
    """

    _proved = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Ours is a mean over the cases of a micro-batch: Trainer has to divide it by the accumulation steps.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The loss of ``inputs``: ids and attention mask, (batch, length), and labels: indices, (batch,), or their
        probabilities, (batch, labels).

        Raises :class:`InputError` where the model lets the padding of a batch change what it says.
        """
        if not self._proved:
            self._proved = True
            self._prove(model, inputs)
        logits = _logits(model, inputs)
        smoothing = self.args.label_smoothing_factor
        loss = weighted_mean_loss(logits, inputs["labels"], inputs.get("weight"), smoothing)
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss

    @torch.no_grad()
    def _prove(self, model: torch.nn.Module, inputs: dict[str, Any]) -> None:
        lengths = inputs["attention_mask"].sum(1)
        shortest, length = int(lengths.argmin()), int(lengths.min())
        alone = {name: inputs[name][shortest, None, :length] for name in ("input_ids", "attention_mask")}
        training = model.training
        model.eval()  # dropout differs from one call to the next
        expected = _logits(model, alone)[0]
        off = float((_logits(model, inputs)[shortest] - expected).abs().max())
        model.train(training)
        half = self.args.bf16 or self.args.fp16 or next(model.parameters()).dtype != torch.float32
        # A head that has learnt nothing says next to nothing: then the bound is a share of what it says.
        bound = (HALF_PRECISION_BOUND if half else BOUND) * min(1.0, float(expected.abs().max()))
        if not off <= bound:
            name = type(self.accelerator.unwrap_model(self.model)).__name__
            raise InputError(
                f"base.model: {name} says something else of a case in a batch than of it alone (off by {off:.2g}): it"
                " does not pass over padding; take another base"
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return with_shuffled_batches(super()._get_train_sampler(train_dataset))


def _logits(model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
    """The outputs of the head in float32, (batch, labels)."""
    logits: torch.Tensor = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    return logits.float()


def load_untrained(recipe: Recipe, data: TrainingData) -> Any:
    """The base under a head that is still to be trained; the recipe's seed draws it."""
    set_seed(recipe.seed)
    trained = None if recipe.lora is None else recipe.lora.get("modules_to_save") or ()
    labels = list(data.report.labels) if recipe.head == "classifier" else [LABEL]
    return load_classifier(recipe.base, labels, trained=trained)


def adapted(recipe: Recipe, run: Run, model: Any) -> tuple[Any, SFTConfig]:
    """``model`` with the recipe's adapter, if it has one, and the settings to train with."""
    config = sft_config(recipe, run)
    set_seed(config.seed)  # draws the adapter
    if recipe.lora is not None:
        if config.gradient_checkpointing:
            model.enable_input_require_grads()
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **recipe.lora))
        train_in_float32(model)
    return model, config


def build_classifier_trainer(
    recipe: Recipe,
    run: Run,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: TrainingData,
    targets: Sequence[Sequence[float]] | None = None,
) -> ClassifierTrainer:
    """The trainer of a recipe with a head, ready to ``train()``. ``targets`` are what is learnt in place of the rows'
    labels: a probability for each label."""
    model, config = adapted(recipe, run, model)
    config.remove_unused_columns = False  # the model knows no weight
    padding: Any = tokenizer.pad_token_id
    examples = Dataset.from_list(data.examples)
    if targets is not None:
        examples = examples.remove_columns("labels").add_column("labels", targets)
    if data.loss_weights is not None:
        examples = examples.add_column("weight", data.loss_weights)

    def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        labels = torch.tensor([example["labels"] for example in examples])
        labels = labels[:, 0] if targets is None else labels
        read = padded([example["input_ids"] for example in examples], padding)
        return {**read, "labels": labels, **row_weights(examples)}

    return ClassifierTrainer(
        model=model,
        args=config,
        train_dataset=examples,
        processing_class=tokenizer,
        data_collator=collate,
    )
