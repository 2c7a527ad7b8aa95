"""Trains a recipe with TRL's ``SFTTrainer``, or a classifier with transformers': a recipe and its data in, a run
directory out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedTokenizerBase, Trainer
from transformers.trainer_callback import ProgressCallback

from osler.data import TrainingData, build_training_data, describe_panel
from osler.errors import FailedError, InputError
from osler.governance import project_ledger
from osler.models import (
    Images,
    base_folder,
    check_architecture,
    context_length,
    load_base,
    load_images,
    load_tokenizer,
)
from osler.recipe import BaseSection, Recipe, find_tasks
from osler.runs import (
    Environment,
    Manifest,
    Run,
    checkpoints,
    describe_environment,
    note_model,
    peak_memory_bytes,
    repeated_counts,
)
from osler.storage import fingerprint, model_fingerprint, plain, sha256_file, validated, write_model
from osler.tasks import Conversation, Task, chat_template_sha256, load_task
from osler.tracking import Tracking, tracked
from osler.training import plan, preferences
from osler.training.batches import Batches
from osler.training.classifier_trainer import build_classifier_trainer, load_untrained
from osler.training.distillation import check_teacher, described, targets
from osler.training.hardware import check_here
from osler.training.progress import Bar, Finite, NothingLeft, Progress, Terminated
from osler.training.reranker_trainer import build_reranker_trainer
from osler.training.sampling import draw_balanced
from osler.training.saving import STAGING, save
from osler.training.selection import select_checkpoint
from osler.training.trainer import build_trainer

# How the three that write report a full disk: Python (OSError), safetensors' Rust and torch's zip writer.
DISK_FULL = re.compile(r"No space left|File too large|Disk quota|StorageFull|code: 2[78]\b|failed writing file")


def train(recipe: Recipe, run: Run, without: Collection[str] = ()) -> None:
    """Train ``recipe`` in its run directory, from the last whole checkpoint if there is one, ``without`` some units.

    Writes ``data_report.json`` before training and ``manifest.json`` last: a run with a manifest is a finished run.

    Raises:
        InputError: the base, the task or its data cannot be used as the recipe says, another process is at work in the
            run directory, or the disk is full.
        FailedError: a loss or a weight is no finite number any more.
    """
    environment = describe_environment()  # before hours pass in which somebody commits or upgrades
    tokenizer, task, data, conversation, images = _prepare(recipe, without)
    learnt_from = _learnt_from(recipe, data)
    # Nothing is written before the data has been read and found right.
    with _opened(recipe, run, learnt_from) as (checkpoint, tracking):
        learnt = targets(recipe, run, task, data, learnt_from)
        pairs = preferences.find_pairs(recipe, run, data, learnt_from, train)
        model = _load(recipe, data)
        loaded = {"architecture": type(model).__name__, "parameters": plan.parameters(model)}
        trainer = _trainer(recipe, run, model, tokenizer, data, images, learnt, pairs)
        tracking.attach(trainer)
        main_process = trainer.is_world_process_zero()
        if main_process:
            print(plan.describe(recipe, trainer, data, show_text=False), flush=True)
            write_model(run.data_report_path, data.report)
            if recipe.stage is None:  # a corpus has nothing to ask for
                write_model(run.panel_path, describe_panel(task, data))
        _check_steps(recipe, trainer, len(data.examples))
        _check_context(recipe, model, data)
        select_checkpoint(recipe, trainer, task, tokenizer, images)
        try:
            figures = _fit(recipe, trainer, run, data, checkpoint, learnt_from, images)
        except Exception as error:
            if not DISK_FULL.search(f"{error!r} {error}"):
                raise
            raise InputError(
                f"{run.folder}: the disk has no room for what had to be saved ({error}); the last whole checkpoint is"
                f" {checkpoints.newest_whole(run.checkpoints_path)[0] or 'none'}: free some space and start the same"
                " command again"
            ) from error
        if main_process:
            figures |= _asked_with(tokenizer, conversation)
            figures |= {"teacher": described(recipe, run), "preferences": preferences.described(recipe, run)}
            _finish(run, _manifest(recipe, run, data, environment, loaded, figures))
            files = (run.folder / "recipe.yaml", run.manifest_path)
            tracking.log("training", {path.name: path.read_text(encoding="utf-8") for path in files})


def show_plan(recipe: Recipe, show_text: bool = False) -> None:
    """Print what :func:`train` would train, and write nothing. Raises :class:`InputError` as it does.

    Args:
        show_text: whether the text of a training row is printed, too.
    """
    tokenizer, _, data, _, images = _prepare(recipe)
    with tempfile.TemporaryDirectory() as folder:  # a trainer makes its output folder when it is built
        trainer = _trainer(recipe, Run(Path(folder)), _load(recipe, data), tokenizer, data, images)
        if trainer.is_world_process_zero():
            print(plan.describe(recipe, trainer, data, show_text), flush=True)
            if (teacher := recipe.teacher) is not None:
                named = [*teacher.systems, *([teacher.run] if teacher.run else [])]
                print(f"teacher     {', '.join(named)}: asked before the first step")
            if recipe.preferences is not None:
                print(
                    f"first       {recipe.preferences.folds} trainings more find the pairs; these steps are of all rows"
                )
        _check_steps(recipe, trainer, len(data.examples))


def _load(recipe: Recipe, data: TrainingData) -> Any:
    return load_base(recipe.base) if recipe.head is None else load_untrained(recipe, data)


def _trainer(
    recipe: Recipe,
    run: Run,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: TrainingData,
    images: Images | None,
    learnt: Sequence[Sequence[float]] | None = None,
    pairs: Sequence[preferences.Pair] = (),
) -> Trainer:
    if pairs:
        return preferences.build_preference_trainer(recipe, run, model, tokenizer, pairs)
    trainer: Trainer
    if recipe.head is None:
        trainer = build_trainer(recipe, run, model, tokenizer, data, images)
    elif recipe.head == "reranker":
        trainer = build_reranker_trainer(recipe, run, model, tokenizer, data)
    else:
        trainer = build_classifier_trainer(recipe, run, model, tokenizer, data, learnt)
    if data.row_weights is not None and data.loss_weights is None:
        draw_balanced(trainer, data.row_weights)
    return trainer


def _prepare(
    recipe: Recipe, without: Collection[str] = ()
) -> tuple[PreTrainedTokenizerBase, Task, TrainingData, Conversation | None, Images | None]:
    check_here(recipe)
    tokenizer = load_tokenizer(recipe.base)
    check_architecture(recipe)
    for key in ("activation_offloading", "fp16", "tf32"):
        if recipe.train.get(key) and not torch.accelerator.is_available():
            raise InputError(f"{recipe.path}: train.{key}: only on a GPU, and there is none here; leave it out")
    task = load_task(find_tasks(recipe.path) / recipe.task.name, recipe.task.panel)
    images = load_images(recipe.base, tokenizer) if task.has_images else None
    asks = recipe.stage is None and (recipe.head is None or tokenizer.chat_template)
    conversation = task.prompt.conversation(tokenizer, images.placeholder if images else None) if asks else None
    if conversation and not conversation.own_system_turn and (task.prompt.system or "").strip():
        print("the base takes no system turn: the task's stands at the head of the user turn", flush=True)
    check_teacher(recipe, task)
    if recipe.preferences is not None:
        preferences.earlier_run(recipe)
    return tokenizer, task, build_training_data(recipe, task, tokenizer, images, without), conversation, images


@contextmanager
def _opened(recipe: Recipe, run: Run, learnt_from: str) -> Iterator[tuple[Path | None, Tracking]]:
    """The run directory, opened and locked by the main process for all of them, and its trackers; gives the checkpoint
    to go on from.

    Raises :class:`InputError` in every process where the main one may not have it.
    """
    state = PartialState(cpu=recipe.train.get("use_cpu", False))
    with ExitStack() as stack:
        opened: list[Any] = [None, None]  # why not; the checkpoint
        tracking = Tracking(recipe, run)  # of a process that is not the main one, nothing is open
        if state.is_main_process:
            try:
                stack.enter_context(run.locked("training"))
                if run.finished:
                    raise InputError(f"{run.folder}: another process has trained it meanwhile")
                run.open(recipe)
                opened[1] = _take_up(run, learnt_from)
                tracking = stack.enter_context(tracked(recipe, run, anew=opened[1] is None))
            except InputError as error:
                opened[0] = str(error)
        broadcast_object_list(opened)
        refused, checkpoint = opened
        if refused:
            raise InputError(refused)
        yield checkpoint, tracking


def _learnt_from(recipe: Recipe, data: TrainingData) -> str:
    """A hash of what the recipe's own hash does not cover: the examples' tokens, their images, and a base in a local
    folder."""
    digest = hashlib.sha256(json.dumps(data.examples).encode())
    digest.update("".join(row.image.sha256 for row in data.rows if row.image).encode())
    if Path(recipe.base.model).expanduser().is_dir():
        digest.update(fingerprint(base_folder(recipe.base)).encode())
    if recipe.teacher is not None and recipe.teacher.run is not None:
        digest.update(Run(Path(recipe.teacher.run)).ancestor().adapter_sha256.encode())
    return digest.hexdigest()


def _take_up(run: Run, learnt_from: str) -> Path | None:
    """The checkpoint to go on from; what a kill, a full disk or a broken one left of newer ones is deleted.

    Raises :class:`InputError` where it was trained on something else.
    """
    whole, damaged = checkpoints.newest_whole(run.checkpoints_path)
    for path, damage in damaged.items():
        print(f"{path}: {damage}: deleted; training goes on from {whole.name if whole else 'the start'}", flush=True)
        shutil.rmtree(path)
    shutil.rmtree(run.folder / STAGING, ignore_errors=True)
    if whole is None:
        return None
    saved, now = checkpoints.read(whole), PartialState().num_processes
    if saved.learnt_from != learnt_from:
        raise InputError(
            f"{whole}: was trained on other rows, with another prompt or on another base than there are now; bring"
            " those back, or train with an --output of its own"
        )
    if saved.processes != now:
        print(
            f"{whole}: was trained by {saved.processes:,} processes, and goes on in {now:,}: from here on a step has"
            f" {now / saved.processes:g} times as many rows, and they come in another order",
            flush=True,
        )
    return whole


def _check_steps(recipe: Recipe, trainer: Trainer, rows: int) -> None:
    """Raise :class:`InputError` where the rows do not fill a batch, and batches that are not full are dropped."""
    if not len(trainer.get_train_dataloader()):
        raise InputError(
            f"{recipe.path}: train.dataloader_drop_last: not one batch is full, so there is no step: "
            f"{rows:,} rows, {trainer.accelerator.num_processes} ×"
            f" {trainer.args.per_device_train_batch_size:,} in a batch; lower train.per_device_train_batch_size"
        )


def _check_context(recipe: Recipe, model: Any, data: TrainingData) -> None:
    """Raise :class:`InputError` where a row is longer than the base reads."""
    context = context_length(model)
    if context is not None and context < data.report.tokens.max:
        raise InputError(
            f"{recipe.path}: train.max_length: a row has {data.report.tokens.max:,} tokens, and {recipe.base.model}"
            f" reads {context:,}; lower it to that"
        )


def _fit(
    recipe: Recipe,
    trainer: Trainer,
    run: Run,
    data: TrainingData,
    checkpoint: Path | None,
    learnt_from: str,
    images: Images | None,
) -> dict[str, Any]:
    """Train from ``checkpoint``, if there is one, to the end; save the adapter and its tokenizer."""
    # The time before a kill counts, up to the checkpoint.
    started = time.monotonic() - (checkpoints.read(checkpoint).train_seconds if checkpoint else 0)
    finite = Finite(run, trainer.args.learning_rate, Batches(trainer, data))
    trainer.add_callback(Progress(run, started, learnt_from))
    trainer.add_callback(finite)
    bar = Bar()
    if trainer.pop_callback(ProgressCallback):  # a recipe may have said disable_tqdm
        trainer.add_callback(bar)
    with suppress(NothingLeft), closing(bar), Terminated() as terminated:
        trainer.add_callback(terminated)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if terminated.asked and trainer.state.global_step < trainer.state.max_steps:
        raise FailedError(
            f"{run.folder}: stopped by SIGTERM after step {trainer.state.global_step:,}, with a checkpoint; the same"
            " command goes on from there"
        )
    if not trainer.state.global_step:
        raise FailedError(f"{run.folder}: not one step was made: check train.max_steps and train.num_train_epochs")
    finite.check_last_update(trainer)
    seconds = time.monotonic() - started
    save(recipe, trainer, run, images)
    return {
        "train_seconds": round(seconds, 1),
        "resumed_from_step": checkpoints.step(checkpoint) if checkpoint else None,
        "steps": trainer.state.global_step,
        "selected": _selected(recipe, trainer),
        "processes": trainer.accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": plain(peak_memory_bytes()),
    }


def _selected(recipe: Recipe, trainer: Trainer) -> dict[str, Any] | None:
    metric, state = recipe.train.get("metric_for_best_model"), trainer.state
    return metric and {"metric": metric, "step": state.best_global_step, "value": state.best_metric}


def _asked_with(tokenizer: PreTrainedTokenizerBase, conversation: Conversation | None) -> dict[str, Any]:
    """How cases are put to the model, for the manifest."""
    return {
        "chat_template_sha256": chat_template_sha256(tokenizer),
        "conversation": conversation
        and {name: getattr(conversation, name) for name in ("own_system_turn", "content_parts", "opening")},
    }


def _made_by(base: BaseSection) -> dict[str, Any] | None:
    """The run whose whole model is the base, if there is one: the stage before this one."""
    run = Run(Path(base.model).expanduser().parent)
    return plain(run.ancestor()) if Path(base.model).expanduser().is_dir() and run.finished else None


def _finish(run: Run, manifest: Manifest) -> None:
    """Make the run a finished one: set aside what was made of an earlier training, and write the manifest."""
    if earlier := run.set_aside():
        print(f"predictions and results of an earlier training are in {earlier} now")
    write_model(run.manifest_path, manifest)
    if (ledger := project_ledger(find_tasks(run.folder).parent)) is not None:
        note_model(ledger, run)
    print(
        f"trained {manifest.steps:,} steps in {manifest.train_seconds / 60:.1f} minutes,"
        f" {manifest.peak_memory_bytes.host / 1e9:.1f} GB at most; the adapter is in {run.adapter_path}"
    )


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
            "run": _made_by(base),
            **loaded,
        },
        "task": {"name": task.name, "version": task.version, "panel": task.panel},
        "seed": recipe.seed,
        **repeated_counts(report),
        "augmentation": report.augmentation and plain(report.augmentation),
        "balance": report.balance and plain(report.balance),
        "mixture": report.mixture
        and {
            name: {
                "rows": part.rows,
                "tokens": part.tokens.total,
                "completion_tokens": part.tokens.completion,
            }
            for name, part in report.mixture.tasks.items()
        },
        "adapter_sha256": model_fingerprint(run.adapter_path),
        "panel_sha256": sha256_file(run.panel_path) if run.panel_path.is_file() else None,
        **figures,
    }
    return validated(Manifest, content, str(run.manifest_path))
