"""TRL's trainer with Osler's loss and order of batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.distributed.tensor import DTensor
from transformers import PreTrainedTokenizerBase
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTConfig, SFTTrainer, pack_dataset

from osler.data import IGNORED, TrainingData
from osler.recipe import Recipe
from osler.runs import Run
from osler.tasks import LabelTrie


class ShuffledBatches(LengthGroupedSampler):
    """Batches of rows of similar length, in random order.

    The library's order runs from the longest to the shortest rows of every fifty batches: what a row is about goes with
    its length, so the gradient drifts with it, and the same tokens teach less (``docs/decisions/training.md``).
    """

    def __iter__(self) -> Iterator[int]:
        indices = list(super().__iter__())
        batches = [indices[i : i + self.batch_size] for i in range(0, len(indices), self.batch_size)]
        whole = len(indices) // self.batch_size  # a last batch that is not full stays last, or all others would shift
        order = [*torch.randperm(whole, generator=self.generator).tolist(), *range(whole, len(batches))]
        return (index for batch in order for index in batches[batch])


class WithTasks:
    """Makes batches as ``collate`` does, with the ``task`` of each example: which of the panels its label is of."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._collate(examples), "task": torch.tensor([example["task"] for example in examples])}


class LabelTrieTrainer(SFTTrainer):
    """``SFTTrainer`` with the loss normalised over the label trie.

    For each example: minus the log-probability of its label, where the model only chooses among the trie's children at
    the nodes the label branches at, plus ``completion_weight`` times the ordinary mean token loss of the completion.
    The mean over labels' tokens, most of which decide nothing, would drown the decisions
    (``docs/decisions/training.md``).

    ``completions`` are those of each task that is learnt, label → tokens, and the column ``task`` of the dataset says
    which of them an example is of: two tasks may share a label, and decide about it between others.
    """

    def __init__(
        self, *args: Any, completions: Sequence[Mapping[str, Sequence[int]]], completion_weight: float, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.data_collator = WithTasks(self.data_collator)
        self._decisions = []
        for of_task in completions:
            trie = LabelTrie(of_task)
            self._decisions.append({tuple(tokens): trie.decisions(label) for label, tokens in of_task.items()})
        self._completion_weight = completion_weight
        # Ours is a mean over the examples of a micro-batch: Trainer has to divide it by the accumulation steps.
        self.loss_is_scaled_for_ga = False  # type: ignore[assignment]

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The mean loss over the examples of ``inputs``: ids, attention mask and labels, each batch × length, and the
        task of each example."""
        labels = inputs["labels"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            output_hidden_states=True,
            logits_to_keep=1,  # the vocabulary's logits are wanted at few positions, and computed below
        )
        states, weight = outputs.hidden_states[-1], self._head()
        trie_loss = states.new_zeros((), dtype=torch.float32)
        correct = decided = 0
        for row in range(len(labels)):
            positions = (labels[row] != IGNORED).nonzero().flatten()
            first = int(positions[0]) - 1  # the prompt's last token predicts the completion's first
            decisions = self._decisions[int(inputs["task"][row])]
            for depth, children, right in decisions[tuple(labels[row, positions].tolist())]:
                logits = torch.nn.functional.linear(states[row, first + depth], weight[children]).float()
                target = torch.tensor(right, device=logits.device)
                trie_loss = trie_loss + torch.nn.functional.cross_entropy(logits, target)
                correct += int(logits.argmax()) == right
                decided += 1
        loss = trie_loss / len(labels)
        mode = "train" if model.training else "eval"
        if mode == "train":
            seen = self.accelerator.gather_for_metrics(inputs["attention_mask"].sum()).sum().item()
            self._total_train_tokens += int(seen)
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        self._metrics[mode]["trie_loss"].append(loss.item())
        self._metrics[mode]["decision_accuracy"].append(correct / max(1, decided))
        if self._completion_weight:
            following = labels[:, 1:].flatten()
            asked = following != IGNORED
            logits = torch.nn.functional.linear(states[:, :-1].flatten(0, 1)[asked], weight).float()
            loss = loss + self._completion_weight * torch.nn.functional.cross_entropy(logits, following[asked])
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):
            return ShuffledBatches(sampler.batch_size, lengths=sampler.lengths)
        return sampler

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        if "task" not in columns:  # or it would be taken out of the batches as unused
            self._signature_columns = [*columns, "task"]  # type: ignore[assignment]

    def _head(self) -> torch.Tensor:
        weight = self.accelerator.unwrap_model(self.model).get_output_embeddings().weight
        return weight.full_tensor() if isinstance(weight, DTensor) else weight


def sft_config(recipe: Recipe, run: Run) -> SFTConfig:
    """The recipe's ``train:`` as TRL's configuration, with what Osler decides itself added.

    TRL switches mixed precision and activation checkpointing on by default; here both are off unless the recipe says
    otherwise, so that what is not written does not happen.
    """
    names = {field.name for field in dataclasses.fields(SFTConfig)}
    # transformers renamed it in 5.21; Python 3.10 stops at 5.20. Delete the old name with Python 3.10.
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    settings = {
        "bf16": False,
        checkpointing: False,
        "report_to": "none",
        "save_total_limit": 2,
        "logging_steps": 10,
        **recipe.train,
    }
    return SFTConfig(output_dir=str(run.checkpoints), dataset_kwargs={"skip_prepare_dataset": True}, **settings)


def trainer(recipe: Recipe, run: Run, model: Any, tokenizer: PreTrainedTokenizerBase, data: TrainingData) -> SFTTrainer:
    """The trainer of a recipe, ready to ``train()``: data is tokenised already, so TRL must not touch it."""
    examples = Dataset.from_list(
        [{**example, "task": of} for example, of in zip(data.examples, data.task_of, strict=True)]
    )
    config = sft_config(recipe, run)
    if (
        config.packing and config.max_length
    ):  # position ids that begin anew keep packed rows from attending to one another
        examples = pack_dataset(examples.remove_columns("task"), config.max_length, config.packing_strategy)
    arguments: dict[str, Any] = {
        "model": model,
        "args": config,
        "train_dataset": examples,
        "processing_class": tokenizer,
        "peft_config": LoraConfig(task_type="CAUSAL_LM", **recipe.lora) if recipe.lora is not None else None,
    }
    if recipe.loss.name == "label_trie":
        weight = recipe.loss.completion_weight or 0.0
        made: SFTTrainer = LabelTrieTrainer(**arguments, completions=data.completions, completion_weight=weight)
    else:
        made = SFTTrainer(**arguments)
    if recipe.lora is not None:
        # TRL trains a quantised base's adapter in bf16, and PEFT loads it back as float32: the resumed run diverges
        # from the straight one, and at these learning rates bf16 loses small updates. float32 is right for both.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return made
