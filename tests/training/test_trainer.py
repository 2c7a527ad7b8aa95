"""What a recipe may set under ``train:`` and ``lora:`` does train: no traceback is left for later."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from project import make

from osler.data.training_data import build_training_data
from osler.models import targets
from osler.models.loading import load_base, load_tokenizer
from osler.recipe import installed_types, type_check, verdicts
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs.run import Run
from osler.tasks.task import load_task
from osler.training.trainer import build_trainer

COMPLETION = {"name": "completion", "completion_weight": None}
# Together they set every key that is honoured, but for those in NOT_HERE.
RUNS: dict[str, dict[str, dict[str, Any]]] = {
    "a bit of everything": {
        "train": {
            "adam_beta1": 0.8,
            "adam_beta2": 0.99,
            "adam_epsilon": 1e-6,
            "bf16": True,
            "data_seed": 3,
            "dataloader_drop_last": True,
            "dataloader_pin_memory": False,
            "debug": "underflow_overflow",
            "disable_tqdm": True,
            "gradient_accumulation_steps": 2,
            "include_num_input_tokens_seen": "non_padding",
            "logging_first_step": True,
            "logging_strategy": "steps",
            "max_grad_norm": 0.5,
            "neftune_noise_alpha": 1,
            "num_train_epochs": 2,
            "optim": "adamw_torch",
            "pad_to_multiple_of": 8,
            "torch_empty_cache_steps": 1,
            "train_sampling_strategy": "random",
            "warmup_steps": 1,
            "weight_decay": 0.1,
            "log_level": "error",
            "save_total_limit": 1,
        },
        "lora": {
            "exclude_modules": ["v_proj"],
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"k_proj": 2},
            "use_rslora": True,
            "lora_dropout": 0.1,
            "init_lora_weights": "orthogonal",
            "bias": "none",
        },
    },
    "another schedule, rows by length": {
        "train": {
            "optim": "sgd",
            "optim_args": "momentum=0.9,nesterov=true",
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
            "train_sampling_strategy": "group_by_length",
            "full_determinism": True,
        },
        "lora": {
            "target_modules": ["q_proj", "up_proj"],
            "layers_to_transform": [1],
            "layers_pattern": "layers",
            "use_dora": True,
        },
    },
    "packed completions": {
        "loss": COMPLETION,
        "train": {
            "packing": True,
            "packing_strategy": "bfd_split",
            "label_smoothing_factor": 0.1,
            "optim": "adamw_8bit",
        },
        "lora": {"layer_replication": [[0, 2], [1, 2]], "lora_bias": True},
    },
    "completions without padding": {
        "loss": COMPLETION,
        "train": {
            "padding_free": True,
            "max_length": None,
            "dataloader_num_workers": 1,
            "dataloader_persistent_workers": True,
            "dataloader_prefetch_factor": 2,
            "dataloader_multiprocessing_context": "fork",
        },
        "lora": {"target_modules": None, "target_parameters": ["embed_tokens.weight"]},
    },
    "less memory": {
        "train": {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}},
        "lora": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    },
}


NOT_HERE = {
    "a GPU": ["activation_offloading", "fp16", "tf32"],
    "several processes": [
        "average_tokens_across_devices",
        "ddp_backend",
        "ddp_broadcast_buffers",
        "ddp_bucket_cap_mb",
        "ddp_find_unused_parameters",
        "ddp_static_graph",
        "ddp_timeout",
        "log_level_replica",
        "log_on_each_node",
    ],
    "a mixture of experts": ["router_aux_loss_coef"],
    "cases to choose by, as in test_selection": ["eval_steps", "metric_for_best_model"],
    "a tracker": [
        "project",
        "report_to",
        "run_name",
        "trackio_bucket_id",
        "trackio_space_id",
        "trackio_static_space_id",
    ],
    "time": ["skip_memory_metrics", "torch_compile", "torch_compile_backend", "torch_compile_mode"],
    "an older TRL": ["gradient_checkpointing", "gradient_checkpointing_kwargs"],
}


def known(sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """``sections`` in the names of the installed release."""
    train = dict(sections["train"])
    if "activation_checkpointing" not in type_check.field_types(installed_types.settings("train")):
        train = {key.replace("activation_checkpointing", "gradient_checkpointing"): train[key] for key in train}
    return {**sections, "train": train}


@pytest.mark.parametrize("sections", RUNS.values(), ids=RUNS)
def test_a_recipe_that_is_accepted_trains(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch, sections: dict[str, dict[str, Any]]
) -> None:
    sections = known(sections)
    sections["train"] |= {"max_steps": 2, "save_strategy": "no"}
    path = make(tmp_path, tiny_base, **sections)
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    recipe = load_recipe(path)
    targets.check_architecture(recipe)
    tokenizer = load_tokenizer(recipe.base)
    data = build_training_data(recipe, load_task(tmp_path / "tasks" / "made_up"), tokenizer)
    trainer = build_trainer(recipe, Run(tmp_path / "run"), load_base(recipe.base), tokenizer, data)
    (tmp_path / "run").mkdir(exist_ok=True)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        trainer.train()
    finally:
        torch.use_deterministic_algorithms(deterministic)
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


def test_every_honoured_setting_is_in_one_of_these_runs_or_needs_what_is_not_here() -> None:
    runs = [{"train": {}, "lora": {}}, *RUNS.values()]
    written = {f"{name}.{key}" for sections in runs for name in ("train", "lora") for key in sections.get(name, {})}
    made = {"learning_rate", "logging_steps", "max_length", "max_steps", "per_device_train_batch_size"}  # by make
    made |= {"save_steps", "save_strategy", "seed", "use_cpu"}
    elsewhere = {f"train.{key}" for keys in (made, *NOT_HERE.values()) for key in keys}
    assert set(verdicts.HONOURED) == written | elsewhere | {"lora.r", "lora.lora_alpha", "lora.target_modules"}
