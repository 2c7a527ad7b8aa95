"""Direct preference optimisation of a run's model: right labels preferred to its own confident errors.

The run's model knows the rows it was trained on by heart, so its errors on them say little. The training cases are cut
into folds instead, and those of each are answered by a model trained as the run was on all the others.
Source: Rafailov et al. (2023), arXiv:2305.18290.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from osler.data import IGNORED, TrainingData
from osler.errors import InputError
from osler.recipe import Recipe
from osler.runs import Run
from osler.statistics import log_linear
from osler.storage import read_json
from osler.training.distillation import asked, kept
from osler.training.trainer import configured, train_in_float32

FILE = "preferences.json"  # in the run directory

Pair = dict[str, list[int]]  # the tokens of "prompt_ids", "chosen_ids", "rejected_ids"


def earlier_run(recipe: Recipe) -> Run:
    """The run whose model is the base of ``preferences:``.

    Raises:
        InputError: ``base.model`` is of no run, or of one that has learnt something else; or ``train:`` has what TRL's
            ``DPOConfig`` has not.
    """
    names = {field.name for field in dataclasses.fields(DPOConfig)}
    if odd := [key for key in recipe.train if key not in names]:
        raise InputError(
            f"{recipe.path}: train.{odd[0]}: not of TRL's DPOConfig, which preferences: needs; leave it out"
        )
    run = Run(Path(recipe.base.model).expanduser().parent)
    if not (run.finished and Path(recipe.base.model).expanduser().is_dir()):
        raise InputError(
            f"{recipe.path}: base.model: {recipe.base.model} is not the model of a finished run, which preferences:"
            " starts from: its merged one (scripts/evaluate.py RUN --merged writes RUN/merged), or RUN/adapter where"
            " it has no lora:"
        )
    of = run.recipe()
    if of.task != recipe.task or of.head is not None or of.stage is not None:
        raise InputError(f"{recipe.path}: base.model: {run.folder} has not learnt to name the diagnoses of task:")
    return run


def find_pairs(
    recipe: Recipe,
    run: Run,
    data: TrainingData,
    learnt_from: str,
    train: Callable[[Recipe, Run, Collection[str]], None],
) -> list[Pair]:
    """The pairs to learn from, kept in the run directory, as are the trainings of the folds; none without
    ``preferences:``.

    Args:
        train: trains a recipe in a run directory without the rows of some units.

    Raises:
        InputError: no answer is wrong and as sure as ``preferences.confidence``.
    """
    preferences = recipe.preferences
    if preferences is None:
        return []

    state = PartialState()

    def make() -> dict[str, Any]:
        earlier = earlier_run(recipe).recipe()
        quiet = {key: value for key, value in earlier.train.items() if key != "report_to"}
        units = [row.unit for row in data.rows]
        folds = log_linear.grouped_folds(units, preferences.folds)
        pairs, wrong = [], 0
        for fold in np.unique(folds):
            own = np.flatnonzero(folds == fold)
            part = Run(run.folder / "folds" / str(fold))
            there = part.finished
            state.wait_for_everyone()  # as in kept()
            if not there:
                if state.is_main_process:
                    print(f"fold {fold}      trained on {len(units) - len(own):,} rows of {len(units):,}", flush=True)
                train(dataclasses.replace(earlier, train=quiet), part, {units[i] for i in own})
                state.wait_for_everyone()  # the main process writes what the others now ask
            labels, logp = asked(part, recipe, [data.rows[i] for i in own])
            for i, of_row in zip(own, logp, strict=True):
                said, row = labels[int(of_row.argmax())], data.rows[i]
                wrong += said != row.label
                if said != row.label and np.exp(of_row.max()) >= preferences.confidence:
                    pairs.append(_pair(data, int(i), said))
        return {"rows": len(units), "wrong": wrong, "pairs": pairs}

    content = kept(run.folder / FILE, learnt_from, make)
    if not content["pairs"]:
        raise InputError(
            f"{recipe.path}: preferences.confidence: of {content['wrong']:,} wrong answers to {content['rows']:,} rows"
            f" none is as sure as {preferences.confidence:g}; lower it"
        )
    found: list[Pair] = content["pairs"]
    if state.is_main_process:
        print(
            f"pairs       {len(found):,} of {content['wrong']:,} wrong answers to {content['rows']:,} rows", flush=True
        )
    return found


def _pair(data: TrainingData, row: int, said: str) -> Pair:
    example, answers = data.examples[row], data.completions[0]
    prompt = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == IGNORED]
    return {"prompt_ids": prompt, "chosen_ids": answers[data.rows[row].label], "rejected_ids": answers[said]}


def _length(pair: Pair) -> int:
    return len(pair["prompt_ids"]) + max(len(pair["chosen_ids"]), len(pair["rejected_ids"]))


def described(recipe: Recipe, run: Run) -> dict[str, int] | None:
    """What the manifest says of the pairs; None where there are none."""
    if recipe.preferences is None:
        return None
    content = read_json(run.folder / FILE)
    return {"rows": content["rows"], "wrong": content["wrong"], "pairs": len(content["pairs"])}


class PreferenceTrainer(DPOTrainer):
    """TRL's, on pairs that are tokens already. The reference is the base without the adapter."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


def build_preference_trainer(
    recipe: Recipe, run: Run, model: Any, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]
) -> PreferenceTrainer:
    """The trainer of a recipe with ``preferences:``, ready to ``train()``."""
    assert recipe.preferences is not None
    args = configured(recipe, run, DPOConfig, beta=recipe.preferences.beta, remove_unused_columns=False)
    # What train.train_sampling_strategy: group_by_length goes by.
    rows = [{**pair, args.length_column_name: _length(pair)} for pair in pairs]
    trainer = PreferenceTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", **(recipe.lora or {})),
    )
    train_in_float32(trainer.model)
    return trainer
