"""What training leaves in the run directory: the adapter, or the whole model, as others load it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import Trainer

from osler.models import Images
from osler.recipe import BaseSection, Recipe
from osler.runs import Run
from osler.storage import read_json, write_json

STAGING = ".adapter"  # in the run directory: the adapter while it is being saved


def save(recipe: Recipe, trainer: Trainer, run: Run, images: Images | None) -> None:
    """Save the adapter or the whole model, with its tokenizer, into the run directory, whole or not at all.

    A collective call: every process has its part of a sharded model.
    """
    staging = run.folder / STAGING
    _write(recipe, trainer, staging)
    if trainer.is_world_process_zero():
        for leftover in ("training_args.bin", "README.md"):  # a pickle; and a card that says little, some of it wrong
            (staging / leftover).unlink(missing_ok=True)
        if recipe.lora is not None:
            _name_base(staging / "adapter_config.json", recipe.base)
        if recipe.lora is not None and recipe.head is not None:
            _name_labels(staging, trainer)
        if images is not None:
            images.save(staging)
        shutil.rmtree(run.adapter_path, ignore_errors=True)
        staging.rename(run.adapter_path)


def _write(recipe: Recipe, trainer: Trainer, folder: Path) -> None:
    """``Trainer.save_model`` saves nothing of a model whose checkpoints are in shards (transformers 5.23)."""
    if not trainer.is_fsdp_enabled:
        trainer.save_model(str(folder))
        return
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=recipe.lora is not None)
    weights = get_model_state_dict(trainer.model_wrapped, options=options)
    if trainer.is_world_process_zero():
        model: Any = trainer.accelerator.unwrap_model(trainer.model)
        tied = getattr(model, "all_tied_weights_keys", {})  # gathered, they are copies, and would be saved twice
        trainer._save(str(folder), state_dict={key: weights[key] for key in weights if key not in tied})


def _name_base(path: Path, base: BaseSection) -> None:
    """Name the base in PEFT's ``adapter_config.json`` as others can get it, and write lists of names in order.

    PEFT writes where the base lies on this machine, and sets in an order that changes with every process.
    """
    config = {
        key: sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
        for key, value in read_json(path).items()
    }
    write_json(path, {**config, "base_model_name_or_path": base.model, "revision": base.revision})


def _name_labels(staging: Path, trainer: Trainer) -> None:
    """Write the classifier's configuration beside its adapter: nothing else says which output is which label."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    config = model.get_base_model().config
    content = {**config.to_diff_dict(), "architectures": [type(model.get_base_model()).__name__]}
    write_json(staging / "config.json", {key: content[key] for key in content if key != "quantization_config"})
