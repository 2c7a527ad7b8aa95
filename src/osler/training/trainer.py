"""TRL's trainer with Osler's loss and order of batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from datasets import Dataset
from peft import LoraConfig
from torch.distributed.tensor import DTensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTConfig, SFTTrainer, pack_dataset

from osler.data import IGNORED, TrainingData
from osler.errors import InputError, one_line
from osler.recipe import Recipe
from osler.runs import Run
from osler.scoring import LabelTrie, Layout


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


class LabelIndexCollator:
    """Makes batches as ``collate`` does, with the column ``label_index`` of the examples, (batch,), beside."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        indices = torch.tensor([example["label_index"] for example in examples])
        return {**self._collate(examples), "label_index": indices}


class LabelTrieLoss(torch.nn.Module):
    """Minus the log-probability of a label, where a model only chooses among the trie's children at branching nodes.

    ``tries`` are those of the tasks that are learnt. A label is given by its index among the labels of all of them, the
    first trie's first: two tasks may share a label, and decide about it between others.
    """

    tokens: torch.Tensor  # (choices,)
    groups: torch.Tensor  # (choices,): siblings have the same
    depths: torch.Tensor  # (choices,)
    paths: torch.Tensor  # (labels, longest): the choices on the way to each label

    def __init__(self, tries: Sequence[LabelTrie]) -> None:
        super().__init__()
        # Choice 0 pads the paths: it has no sibling, so it is certain and adds nothing.
        padding = torch.zeros(1, dtype=torch.long)
        tokens, groups, depths, paths = [padding], [padding], [padding], []
        choices = states = 1
        for layout in (Layout(trie, normalised=True) for trie in tries):
            n = len(layout.choice_tokens)
            tokens.append(layout.choice_tokens)
            groups.append(layout.choice_states + states)
            depths.append(layout.choice_depths)
            paths += [path[path < n] + choices for path in layout.paths]
            choices, states = choices + n, states + 1 + len(layout.node_tokens)
        self.register_buffer("tokens", torch.cat(tokens), persistent=False)
        self.register_buffer("groups", torch.cat(groups), persistent=False)
        self.register_buffer("depths", torch.cat(depths), persistent=False)
        self.register_buffer("paths", pad_sequence(paths, batch_first=True), persistent=False)

    def forward(
        self, states: torch.Tensor, weight: torch.Tensor, prompt_ends: torch.Tensor, label_indices: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss summed over the batch, in float32; how many decisions are right; how many there are.

        All decisions of a batch are one matrix product: each is taken among the choices of all tries, of which those
        that are no siblings are masked. Nothing waits for the device.

        Args:
            states: the last hidden states, (batch, length, hidden size).
            weight: the head's, (vocabulary, hidden size).
            prompt_ends: the position of each prompt's last token, (batch,).
            label_indices: (batch,).
        """
        paths = self.paths[label_indices]  # (batch, longest)
        rows = torch.arange(len(paths), device=paths.device)[:, None]
        deciding = states[rows, prompt_ends[:, None] + self.depths[paths]]
        logits = torch.nn.functional.linear(deciding, weight[self.tokens]).float()  # (batch, longest, choices)
        siblings = self.groups[paths][..., None] == self.groups
        logits = logits.masked_fill(~siblings, -torch.inf)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), paths.flatten(), reduction="sum")
        decided = paths > 0
        return loss, ((logits.argmax(-1) == paths) & decided).sum(), decided.sum()


class LabelTrieTrainer(SFTTrainer):
    """``SFTTrainer`` with the loss normalised over the label trie.

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

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The mean loss over the examples of ``inputs``: ids, attention mask and labels, each (batch, length), and
        label indices, (batch,)."""
        labels = inputs["labels"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            output_hidden_states=True,
            logits_to_keep=1,  # the vocabulary's logits are wanted at few positions, and computed below
        )
        states, weight = outputs.hidden_states[-1], self._head()
        prompt_ends = (labels != IGNORED).int().argmax(1) - 1
        summed, right, decisions = self._trie_loss(states, weight, prompt_ends, inputs["label_index"])
        loss = summed / len(labels)
        tokens = self.accelerator.gather_for_metrics(inputs["attention_mask"].sum()).sum()
        self._counts["train" if model.training else "eval"].append(
            torch.stack([loss.detach(), right, decisions, tokens])
        )
        if self._completion_weight:
            following = labels[:, 1:].flatten()
            asked = following != IGNORED
            logits = torch.nn.functional.linear(states[:, :-1].flatten(0, 1)[asked], weight).float()
            loss = loss + self._completion_weight * torch.nn.functional.cross_entropy(logits, following[asked])
        return (loss, outputs) if return_outputs else loss

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
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):
            return ShuffledBatches(sampler.batch_size, lengths=sampler.lengths)
        return sampler

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        if "label_index" not in columns:  # or it would be taken out of the batches as unused
            self._signature_columns = [*columns, "label_index"]  # type: ignore[assignment]

    def _head(self) -> torch.Tensor:
        weight = self.accelerator.unwrap_model(self.model).get_output_embeddings().weight
        return weight.full_tensor() if isinstance(weight, DTensor) else weight


def sft_config(recipe: Recipe, run: Run) -> SFTConfig:
    """The recipe's ``train:`` as TRL's configuration, with what Osler decides itself added.

    TRL switches mixed precision and activation checkpointing on by default; here both are off unless the recipe says
    otherwise, so that what is not written does not happen. Where it says nothing of ``use_cpu``, the machine decides.

    Raises:
        InputError: TRL refuses it on this machine.
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
        "logging_nan_inf_filter": False,
        "use_cpu": not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"),
        **recipe.train,
    }
    try:
        return SFTConfig(
            output_dir=str(run.checkpoints_path), dataset_kwargs={"skip_prepare_dataset": True}, **settings
        )
    except (ValueError, ImportError) as error:
        raise InputError(f"{recipe.path}: train: TRL refuses it here: {one_line(str(error))}") from None


def build_trainer(
    recipe: Recipe, run: Run, model: Any, tokenizer: PreTrainedTokenizerBase, data: TrainingData
) -> SFTTrainer:
    """The trainer of a recipe, ready to ``train()``. The data is tokenised already, so TRL must not touch it."""
    examples = Dataset.from_list(data.examples)
    config = sft_config(recipe, run)
    if config.packing and config.max_length:
        # Position ids that begin anew keep packed rows from attending to one another.
        examples = pack_dataset(examples, config.max_length, config.packing_strategy)
    if recipe.loss.name == "label_trie":
        examples = examples.add_column("label_index", data.label_indices)
    arguments: dict[str, Any] = {
        "model": model,
        "args": config,
        "train_dataset": examples,
        "processing_class": tokenizer,
        "peft_config": LoraConfig(task_type="CAUSAL_LM", **recipe.lora) if recipe.lora is not None else None,
    }
    if recipe.loss.name == "label_trie":
        weight = recipe.loss.completion_weight or 0.0
        trainer: SFTTrainer = LabelTrieTrainer(**arguments, completions=data.completions, completion_weight=weight)
    else:
        trainer = SFTTrainer(**arguments)
    if recipe.lora is not None:
        # TRL trains a quantised base's adapter in bf16, and PEFT loads it back as float32: the resumed run diverges
        # from the straight one, and at these learning rates bf16 loses small updates. float32 is right for both.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer
