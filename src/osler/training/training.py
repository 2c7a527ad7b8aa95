"""Trains a recipe with TRL's ``SFTTrainer``: a recipe and its data in, a run directory out."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from transformers.trainer_callback import ProgressCallback
from trl import SFTTrainer

from osler.data import TrainingData, build_training_data
from osler.errors import InputError
from osler.models import base_folder, check_architecture, load_base, load_tokenizer
from osler.recipe import Recipe, find_tasks
from osler.runs import Environment, Manifest, Run, describe_environment, peak_memory_bytes, repeated_counts
from osler.storage import fingerprint, plain, read_record, validated, write_model
from osler.tasks import chat_template_sha256, load_task
from osler.training import plan
from osler.training.progress import ELAPSED, Bar, Progress
from osler.training.trainer import build_trainer

# How the three that write report a full disk: Python (OSError), safetensors' Rust and torch's zip writer.
DISK_FULL = re.compile(r"No space left|File too large|Disk quota|StorageFull|code: 2[78]\b|failed writing file")


def train(recipe: Recipe, run: Run) -> None:
    """Train ``recipe`` in its run directory, from the last whole checkpoint if there is one.

    Writes ``data_report.json`` before training and ``manifest.json`` last: a run with a manifest is a finished run.

    Raises:
        InputError: the base, the task or its data cannot be used as the recipe says, or the disk is full.
    """
    environment = describe_environment()  # before hours pass in which somebody commits or upgrades
    tokenizer, data = _prepare(recipe)
    run.open(recipe)  # nothing is written before the data has been read and found right
    model = load_base(recipe.base)
    loaded = {"architecture": type(model).__name__, "parameters": plan.parameters(model)}
    trainer = build_trainer(recipe, run, model, tokenizer, data)
    main_process = trainer.is_world_process_zero()
    if main_process:
        print(plan.describe(trainer, data), flush=True)
        write_model(run.data_report_path, data.report)
    try:
        figures = _fit(trainer, run)
    except Exception as error:
        if not DISK_FULL.search(f"{error!r} {error}"):
            raise
        raise InputError(
            f"{run.folder}: the disk has no room for what had to be saved ({error}); the last whole checkpoint is"
            f" {run.last_checkpoint_path() or 'none'}: free some space and start the same command again"
        ) from error
    if main_process:
        if earlier := run.set_aside():
            print(f"predictions and results of an earlier training are in {earlier} now")
        hashes = {
            "adapter_sha256": fingerprint(run.adapter_path),
            "chat_template_sha256": chat_template_sha256(tokenizer),
        }
        write_model(run.manifest_path, _manifest(recipe, run, data, environment, loaded, {**figures, **hashes}))
        print(
            f"trained {figures['steps']:,} steps in {figures['train_seconds'] / 60:.1f} minutes,"
            f" {figures['peak_memory_bytes']['host'] / 1e9:.1f} GB at most; the adapter is in {run.adapter_path}"
        )


def show_plan(recipe: Recipe) -> None:
    """Print what :func:`train` would train, and write nothing. Raises :class:`InputError` as it does."""
    tokenizer, data = _prepare(recipe)
    with tempfile.TemporaryDirectory() as folder:  # a trainer makes its output folder when it is built
        trainer = build_trainer(recipe, Run(Path(folder)), load_base(recipe.base), tokenizer, data)
        if trainer.is_world_process_zero():
            print(plan.describe(trainer, data), flush=True)


def _prepare(recipe: Recipe) -> tuple[PreTrainedTokenizerBase, TrainingData]:
    tokenizer = load_tokenizer(recipe.base)
    check_architecture(recipe)
    for key in ("activation_offloading", "fp16", "tf32"):
        if recipe.train.get(key) and not torch.accelerator.is_available():
            raise InputError(f"{recipe.path}: train.{key}: only on a GPU, and there is none here; leave it out")
    task = load_task(find_tasks(recipe.path) / recipe.task.name, recipe.task.panel)
    return tokenizer, build_training_data(recipe, task, tokenizer)


def _fit(trainer: SFTTrainer, run: Run) -> dict[str, Any]:
    """Train from the last whole checkpoint, if there is one, to the end; save the adapter and its tokenizer."""
    checkpoint = run.last_checkpoint_path()
    # The time before a kill counts, up to the checkpoint.
    started = time.monotonic() - (
        read_record(checkpoint / ELAPSED, "train_seconds")["train_seconds"] if checkpoint else 0
    )
    trainer.add_callback(Progress(run, started))
    if trainer.pop_callback(ProgressCallback):  # a recipe may have said disable_tqdm
        trainer.add_callback(Bar())
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - started
    staging = run.folder / ".adapter"
    trainer.save_model(str(staging))  # a collective call under FSDP: on every rank
    if trainer.is_world_process_zero():
        for leftover in ("training_args.bin", "README.md"):  # a pickle; and a card that says little, some of it wrong
            (staging / leftover).unlink(missing_ok=True)
        shutil.rmtree(run.adapter_path, ignore_errors=True)
        staging.rename(run.adapter_path)
    return {
        "train_seconds": round(seconds, 1),
        "resumed_from_step": int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
        "steps": trainer.state.global_step,
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": plain(peak_memory_bytes()),
    }


def _manifest(
    recipe: Recipe,
    run: Run,
    data: TrainingData,
    environment: Environment,
    loaded: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Manifest:
    base, task, report = recipe.base, recipe.task, data.report
    content = {
        "schema": 1,
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "sha256": recipe.sha256,
            "run_sha256": recipe.run_sha256,
        },
        "environment": plain(environment),
        "base": {
            "model": base.model,
            "revision": base.revision,
            "weights": base.weights,
            "fingerprint": fingerprint(base_folder(base)),
            **loaded,
        },
        "task": {"name": task.name, "version": task.version, "panel": task.panel},
        "seed": recipe.seed,
        **repeated_counts(report),
        "augmentation": report.augmentation and plain(report.augmentation),
        "mixture": report.mixture
        and {
            name: {
                "rows": part.rows,
                "tokens": part.tokens.total,
                "completion_tokens": part.tokens.completion,
            }
            for name, part in report.mixture.tasks.items()
        },
        **figures,
    }
    return validated(Manifest, content, str(run.manifest_path))
