"""TRL's trainer with Osler's loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate.utils import parse_flag_from_env
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, SFTConfig, SFTTrainer, pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from osler.data import IGNORED, TrainingData
from osler.errors import InputError, one_line
from osler.models import Images, logits_at
from osler.recipe import Recipe
from osler.runs import Run
from osler.scoring import LabelTrie
from osler.tasks import Case
from osler.training.label_trie_loss import LabelTrieLoss
from osler.training.proved_trainer import ProvedTrainer
from osler.training.sampling import with_shuffled_batches

C = TypeVar("C", SFTConfig, DPOConfig)


class LabelIndexCollator:
    """Makes batches as ``collate`` does, with the columns ``label_index`` and, where there is one, ``weight`` of the
    examples, (batch,), beside."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        indices = torch.tensor([example["label_index"] for example in examples])
        batch = {**self._collate(examples), "label_index": indices}
        return batch | row_weights(examples)


def row_weights(examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """``weight``, (batch,), of examples that have one, and nothing of others."""
    if "weight" not in examples[0]:
        return {}
    return {"weight": torch.tensor([example["weight"] for example in examples])}


class ImageCollator:
    """Makes batches as TRL does of texts, with what the model gets of the image of each example's ``row`` beside.

    TRL's own for images renders the chat template for every case, takes control tokens in a text for such, and cuts
    rows off at their end, where the answer is; of a case without these it makes the same batch.
    """

    def __init__(self, padding: int, images: Images, rows: Sequence[Case]) -> None:
        self._collate, self._images, self._rows = DataCollatorForLanguageModeling(padding), images, rows

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self._collate(examples)
        shown = [image for example in examples if (image := self._rows[example["row"]].image)]
        return batch | self._images.inputs(shown, batch["input_ids"])


class LabelTrieTrainer(ProvedTrainer):
    """Trains with the loss normalised over the label trie.

    For each example: :class:`LabelTrieLoss` of its label, plus ``completion_weight`` times the ordinary mean token loss
    of the completion. The mean over labels' tokens, most of which decide nothing, would drown the decisions
    (``docs/decisions/training.md``).

    ``completions`` are those of each task that is learnt, label → tokens; the dataset has a column ``label_index``, as
    :class:`LabelTrieLoss` counts.
    """

    def __init__(
        self, *args: Any, completions: Sequence[Mapping[str, Sequence[int]]], completion_weight: float, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.data_collator = LabelIndexCollator(self.data_collator)
        self._trie_loss = LabelTrieLoss([LabelTrie(panel) for panel in completions]).to(self.accelerator.device)
        self._completion_weight = completion_weight
        # What is logged of each micro-batch stays on the device until it is: reading it would wait for the device.
        self._counts: dict[str, list[torch.Tensor]] = {"train": [], "eval": []}
        # Ours is a mean over the examples of a micro-batch: Trainer has to divide it by the accumulation steps.
        self.loss_is_scaled_for_ga = False  # type: ignore[assignment]

    def _loss(self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False, *_: Any) -> Any:
        """The mean loss over the examples of ``inputs``: ids, attention mask and labels, each (batch, length), label
        indices, (batch,), and where they are weighted ``weight``, (batch,)."""
        head = self._whole.get_output_embeddings()
        read = {name: tensor for name, tensor in inputs.items() if name not in ("labels", "label_index", "weight")}
        loss, counts = self._loss_from(inputs, lambda *places: logits_at(model, head, *places, **read, use_cache=False))
        tokens = self.accelerator.gather_for_metrics(inputs["attention_mask"].sum()).sum()
        self._counts["train" if model.training else "eval"].append(torch.stack([*counts, tokens]))
        return (loss, {"loss": loss}) if return_outputs else loss

    def _loss_of_logits(self, logits: torch.Tensor, row: dict[str, torch.Tensor]) -> torch.Tensor:
        return self._loss_from(row, lambda rows, columns: logits[columns])[0]

    def _loss_from(
        self, inputs: Mapping[str, torch.Tensor], logits_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The loss, and what is logged of it; ``logits_of`` gives the logits at rows and columns of the batch."""
        labels, label_indices, weights = inputs["labels"], inputs["label_index"], inputs.get("weight")
        rows, columns = self._trie_loss.positions((labels != IGNORED).int().argmax(1) - 1, label_indices)
        decisions = len(rows)
        if self._completion_weight:
            completion = (labels[:, 1:] != IGNORED).nonzero()
            rows, columns = torch.cat([rows, completion[:, 0]]), torch.cat([columns, completion[:, 1]])
        logits = logits_of(rows, columns)
        summed, right, decided = self._trie_loss(logits[:decisions], label_indices, weights)
        loss = summed / len(labels)
        counts = (loss.detach(), right, decided)
        if self._completion_weight:
            following = labels[rows[decisions:], columns[decisions:] + 1]
            completion_loss = weighted_mean_loss(
                logits[decisions:].float(), following, None if weights is None else weights[rows[decisions:]]
            )
            loss = loss + self._completion_weight * completion_loss
        return loss, counts

    def _prove(self, model: torch.nn.Module, inputs: dict[str, Any]) -> None:
        super()._prove(model, {name: tensor for name, tensor in inputs.items() if name != "weight"})
        self._counts["eval"].clear()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL's, with ``trie_loss``, ``decision_accuracy`` and ``num_tokens``: means over the micro-batches since
        the last time, and the tokens trained on so far."""
        model: Any = self.model
        mode = "train" if model.training else "eval"
        if self._counts[mode]:
            losses, right, decisions, tokens = torch.stack(self._counts[mode]).T.tolist()
            self._counts[mode].clear()
            if mode == "train":
                self._total_train_tokens += int(sum(tokens))
            self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
            self._metrics[mode]["trie_loss"] = losses
            self._metrics[mode]["decision_accuracy"] = [n / max(1, of) for n, of in zip(right, decisions, strict=True)]
        super().log(logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return with_shuffled_batches(super()._get_train_sampler(train_dataset))


def weighted_mean_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, smoothing: float = 0.0
) -> torch.Tensor:
    """The mean cross-entropy over (n,), each times its weight. The sum of the weights does not divide it, as it does in
    torch: a batch of small groups has to count for more than one of large groups."""
    if weights is None:
        return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    losses = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return (losses * weights).mean()


def sft_config(recipe: Recipe, run: Run) -> SFTConfig:
    """The recipe's ``train:`` as the configuration of TRL's ``SFTTrainer``, see :func:`configured`."""
    return configured(recipe, run, SFTConfig, dataset_kwargs={"skip_prepare_dataset": True})


def configured(recipe: Recipe, run: Run, kind: type[C], **further: Any) -> C:
    """The recipe's ``train:`` as a configuration of TRL, with what Osler decides itself added.

    TRL switches mixed precision and activation checkpointing on by default; here both are off unless the recipe says
    otherwise, so that what is not written does not happen. Where it says nothing of ``use_cpu``, the machine decides.

    Raises:
        InputError: TRL refuses it on this machine.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    # transformers renamed it in 5.21; Python 3.10 stops at 5.20. Delete the old name with Python 3.10.
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    settings = {
        "bf16": False,
        checkpointing: False,
        "report_to": "none",
        "save_total_limit": 2,
        "logging_steps": 10,
        "logging_nan_inf_filter": False,  # it would log the mean of the losses before in place of a NaN
        "use_cpu": not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"),
        **recipe.train,
    }
    if "eval_steps" in settings:  # what is evaluated is saved: osler.training.selection
        settings["save_steps"] = settings["eval_steps"]
    try:
        config = kind(output_dir=str(run.checkpoints_path), **{**settings, **further})
    except (ValueError, ImportError) as error:
        raise InputError(f"{recipe.path}: train: TRL refuses it here: {one_line(str(error))}") from None
    if config.mixed_precision != "no" and not (config.bf16 or config.fp16):
        raise InputError(
            f"{recipe.path}: accelerate's configuration says mixed_precision: {config.mixed_precision}, of which the"
            f" recipe knows nothing: write train.{config.mixed_precision}: true, or mixed_precision: 'no' there"
        )
    return config


def build_trainer(
    recipe: Recipe,
    run: Run,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: TrainingData,
    images: Images | None = None,
) -> SFTTrainer:
    """The trainer of a recipe, ready to ``train()``. The data is tokenised already, so TRL must not touch it.
    ``images`` is how the base reads those of its rows, None where they have none."""
    examples = Dataset.from_list(data.examples)
    config = sft_config(recipe, run)
    if config.packing and config.max_length:
        # Position ids that begin anew keep packed rows from attending to one another.
        examples = pack_dataset(examples, config.max_length, config.packing_strategy)
    if recipe.loss.name == "label_trie":
        examples = examples.add_column("label_index", data.label_indices)
        if data.loss_weights is not None:
            examples = examples.add_column("weight", data.loss_weights)
    arguments: dict[str, Any] = {
        "model": model,
        "args": config,
        "train_dataset": examples,
        "processing_class": tokenizer,
        "peft_config": LoraConfig(task_type="CAUSAL_LM", **recipe.lora) if recipe.lora is not None else None,
    }
    if images is not None:
        arguments["train_dataset"] = examples.add_column("row", list(range(len(data.rows))))
        arguments["data_collator"] = ImageCollator(tokenizer.pad_token_id, images, data.rows)
    if recipe.loss.name == "label_trie":
        weight = recipe.loss.completion_weight or 0.0
        trainer: SFTTrainer = LabelTrieTrainer(**arguments, completions=data.completions, completion_weight=weight)
    else:
        trainer = ProvedTrainer(**arguments)
    if recipe.lora is not None:
        train_in_float32(model)
    return trainer


def train_in_float32(model: Any) -> None:
    """Make what is trained of ``model`` float32.

    TRL trains a quantised base's adapter in bf16, and PEFT loads it back as float32: the resumed run diverges from the
    straight one, and at these learning rates bf16 loses small updates. float32 is right for both.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
