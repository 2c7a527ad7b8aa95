"""What becomes of every setting of ``SFTConfig`` and ``LoraConfig`` in Osler: honoured, owned or refused, and why.

A key of the installed classes that is in no table here is unknown to a recipe: a newer release's setting is refused
until somebody has looked at what it does in our trainer. A test asks for a verdict on every key, docs/settings.md is
made of them, and what goes together is in :mod:`osler.recipe.setting_rules`.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

EVALUATES = "metric_for_best_model and eval_steps say what is evaluated while training, on validation, and when"
RESUMES = "a killed run would not go on as if nothing had happened"
COLUMNS = "the rows are tokenised by Osler, and all their columns are used"
CHANGES_BASE = "it goes with an init_lora_weights that Osler refuses"

# Honoured: what a recipe may set, and what it does.
HONOURED: dict[str, str] = {
    "train.activation_checkpointing": "recomputes activations in the backward pass; off unless written",
    "train.activation_checkpointing_kwargs": "use_reentrant, preserve_rng_state, determinism_check, debug",
    "train.activation_offloading": "moves activations to the host's memory; not with use_cpu, nor for a classifier",
    "train.adam_beta1": "of the optimizers with Adam's moments",
    "train.adam_beta2": "of the optimizers with Adam's moments",
    "train.adam_epsilon": "of the optimizers that have it",
    "train.average_tokens_across_devices": "how processes weigh the completion loss; the other losses count cases",
    "train.bf16": "mixed precision; off unless written",
    "train.data_seed": "the order of rows under train_sampling_strategy: random; the seed draws everything else",
    "train.dataloader_drop_last": "leaves out a last batch that is not full",
    "train.dataloader_multiprocessing_context": "how worker processes start; needs dataloader_num_workers",
    "train.dataloader_num_workers": "processes that make batches",
    "train.dataloader_persistent_workers": "workers live from pass to pass; needs dataloader_num_workers",
    "train.dataloader_pin_memory": "of batches that go to a GPU",
    "train.dataloader_prefetch_factor": "batches made ahead; needs dataloader_num_workers",
    "train.ddp_backend": "with several processes",
    "train.ddp_broadcast_buffers": "with several processes",
    "train.ddp_bucket_cap_mb": "with several processes",
    "train.ddp_find_unused_parameters": "with several processes",
    "train.ddp_static_graph": "with several processes",
    "train.ddp_timeout": "with several processes",
    "train.debug": "underflow_overflow stops at the first value that is not finite",
    "train.disable_tqdm": "no progress bar",
    "train.eval_steps": "the steps from evaluation to evaluation, and from checkpoint to checkpoint",
    "train.fp16": "mixed precision; not with use_cpu",
    "train.full_determinism": "deterministic kernels, slower",
    "train.gradient_accumulation_steps": "batches added up to one step",
    "train.gradient_checkpointing": "activation_checkpointing in the older releases that Python 3.10 installs",
    "train.gradient_checkpointing_kwargs": "activation_checkpointing_kwargs in these older releases",
    "train.include_num_input_tokens_seen": "counts tokens in train_log.jsonl",
    "train.label_smoothing_factor": "of the completion loss and a classifier's; the label_trie loss has no smoothing",
    "train.learning_rate": "the highest one of the schedule",
    "train.log_level": "what transformers prints",
    "train.log_level_replica": "what transformers prints on other processes",
    "train.log_on_each_node": "with several nodes",
    "train.logging_first_step": "a line for the first step in train_log.jsonl",
    "train.logging_steps": "under logging_strategy: steps, the steps from line to line; 10 unless written",
    "train.logging_strategy": "when a line is added to train_log.jsonl",
    "train.lr_scheduler_kwargs": "what the schedule of lr_scheduler_type takes; other names are refused",
    "train.lr_scheduler_type": "all schedules but the two that follow an evaluation",
    "train.max_grad_norm": "clips gradients; 0 does not",
    "train.max_length": "the end of a longer text is cut off, never the question or the answer",
    "train.max_steps": "how many steps; where it is above 0, num_train_epochs does not count",
    "train.metric_for_best_model": "accuracy, macro_f1 or log_loss on validation; the best checkpoint is kept",
    "train.neftune_noise_alpha": "noise on the embeddings while training",
    "train.num_train_epochs": "passes over the training rows",
    "train.optim": "those that torch and bitsandbytes have; the others need packages that Osler does not install",
    "train.optim_args": "what the optimizer takes beside learning rate and weight decay; other names are refused",
    "train.packing": "several rows in one, each attending to itself only; not with label_trie, nor for a classifier",
    "train.packing_strategy": "bfd, bfd_split; wrapped cuts a case from its answer, so only under stage: pretrain",
    "train.pad_to_multiple_of": "of batches; not for a classifier",
    "train.padding_free": "batches without padding; not with label_trie, nor for a classifier",
    "train.per_device_train_batch_size": "rows in a batch of one device",
    "train.project": "the project of a tracker in report_to",
    "train.report_to": "trackers by name, such as wandb; they have to be installed (pip install -e '.[tracking]')",
    "train.router_aux_loss_coef": "of a mixture of experts, beside the completion loss",
    "train.run_name": "the run's name in a tracker of report_to",
    "train.save_steps": "under save_strategy: steps, the steps from checkpoint to checkpoint",
    "train.save_strategy": "when a checkpoint is written: steps, epoch or no",
    "train.save_total_limit": "checkpoints that are kept; 2 unless written",
    "train.seed": "draws the simulated patients, the order of rows, dropout and the adapter's first values",
    "train.skip_memory_metrics": "false adds the memory used to train_log.jsonl",
    "train.tf32": "of matrix products on a GPU; not with use_cpu",
    "train.torch_compile": "compiles the model",
    "train.torch_compile_backend": "needs torch_compile",
    "train.torch_compile_mode": "needs torch_compile",
    "train.torch_empty_cache_steps": "of a GPU's memory",
    "train.trackio_bucket_id": "needs report_to: trackio",
    "train.trackio_space_id": "needs report_to: trackio",
    "train.trackio_static_space_id": "needs report_to: trackio",
    "train.train_sampling_strategy": "the order of rows; group_by_length shuffles its batches but under completion",
    "train.use_cpu": "true keeps a GPU idle, and says so; left out, the machine and accelerate's configuration decide",
    "train.warmup_steps": "steps, or a share below 1, of a rising learning rate; not with lr_scheduler_type: constant",
    "train.weight_decay": "of all weights but biases and norms",
    "lora.alpha_pattern": "lora_alpha by layer; a pattern has to match a layer with an adapter",
    "lora.bias": "trains the base's biases, too; a base without any is refused",
    "lora.ensure_weight_tying": "keeps an embedding and a head that are one, where modules_to_save names one of them",
    "lora.exclude_modules": "layers without an adapter; each has to be there, and some have to be left",
    "lora.init_lora_weights": "true, false, gaussian, orthogonal (not on nf4): those that leave the base as it is",
    "lora.layer_replication": "layers used again, in the base's own number at most",
    "lora.layers_pattern": "the name before the number in layers_to_transform",
    "lora.layers_to_transform": "numbers of layers, which have to be there; with target_modules as a list",
    "lora.lora_alpha": "the adapter's scale, times 1/r",
    "lora.lora_bias": "a bias in the adapter",
    "lora.lora_dropout": "on the adapter's input while training",
    "lora.modules_to_save": "layers trained whole and saved with the adapter; each has to be there",
    "lora.r": "the adapter's rank",
    "lora.rank_pattern": "r by layer; a pattern has to match a layer with an adapter",
    "lora.target_modules": "layers with an adapter; each has to be there, and the head cannot have one",
    "lora.target_parameters": "parameters with an adapter; each has to be there",
    "lora.use_dora": "magnitude and direction apart",
    "lora.use_rslora": "scales by 1/√r",
}
# Owned: Osler decides them itself. Patterns, because releases add to them.
OWNED: dict[str, str] = {
    r"train\.dataset_\w+": "the task decides what the training data looks like",
    r"train\.(push_to_hub\w*|hub_\w+)": "scripts/publish.py pushes once the results are in, see publish:",
    r"train\.(fsdp\w*|deepspeed|parallelism_config|accelerator_config|local_rank)": "see accelerate_configs/, a recipe "
    "runs on machines of all sizes",
    r"train\.(eos_token|pad_token|chat_template_path)": "the task's prompt and the base's own tokens, nothing is added",
    r"lora\.trainable_token_indices": "the base's own tokens stay as they are, nothing is added",
    r"train\.(completion_only_loss|assistant_only_loss)": "the loss is always on the completion only",
    r"train\.loss_type": "see loss:",
    r"train\.model_init_kwargs": "see base:",
    r"train\.output_dir": "the run folder is runs/<name>/<version>",
    r"train\.(remove_unused_columns|length_column_name)": COLUMNS,
    r"train\.truncation_mode": "the end of a long text is cut off, never the question or the answer",
    r"train\.shuffle_dataset": "train.train_sampling_strategy says the order of rows",
    r"train\.use_cache": "training keeps no cache",
    r"train\.logging_nan_inf_filter": "a loss that is not finite is never hidden",
    r"\w+\.trust_remote_code": "nothing that was downloaded is executed",
    r"lora\.(task_type|peft_type|inference_mode|auto_mapping|peft_version)": "always LoRA on a causal language model",
    r"lora\.(base_model_name_or_path|revision)": "see base:",
    r"lora\.fan_in_fan_out": "PEFT takes it from the layer",
}
# Refused: without effect in our trainer, or with an effect that a run's files would not show.
REFUSED: dict[str, str] = {
    r"train\.(eval_(?!steps$)\w+|per_device_eval_batch_size|prediction_loss_only|include_for_metrics|batch_eval_metrics"
    r"|bf16_full_eval|fp16_full_eval|label_names)": EVALUATES,
    r"train\.(load_best_model_at_end|greater_is_better)": EVALUATES,
    r"train\.(do_train|do_eval|do_predict|resume_from_checkpoint)": "transformers itself does not read it",
    r"train\.(use_liger_kernel|liger_kernel_config)": "TRL deprecates it",
    r"train\.save_only_model": f"without the optimizer's state {RESUMES}; save_total_limit says how many are kept",
    r"train\.ignore_data_skip": f"with other rows {RESUMES}",
    r"train\.dataloader_in_order": f"with rows in another order {RESUMES}",
    r"train\.enable_jit_checkpoint": "it ends a run early that then passes for finished; save_steps makes checkpoints",
    r"train\.restore_callback_states_from_checkpoint": "Osler's callbacks have no state",
    r"train\.save_on_each_node": "the nodes share one run folder",
    r"train\.auto_find_batch_size": "it trains with another batch size than is written; make it smaller in the recipe",
    r"train\.optim_target_modules": "only for optimizers that need packages which Osler does not install",
    r"lora\.(eva_config|corda_config|loftq_config|lora_ga_config)": CHANGES_BASE,
    r"lora\.kasa_config": "it changes the base, so the saved adapter would not be the trained model",
    r"lora\.alora_invocation_tokens": "scoring shares the prompt between labels, and would not invoke it",
    r"lora\.(arrow_config|use_bdlora|velora_config)": "not tried with Osler's loss, scoring and merging",
    r"lora\.(use_qalora|qalora_group_size)": "only on GPTQ, and base.quantization knows nf4 only",
    r"lora\.megatron_(config|core)": "only on Megatron's layers",
    r"lora\.(runtime_config|monteclora_config)": "PEFT does not build it from a mapping",
}


class Verdict(NamedTuple):
    """What becomes of a setting, and why, or what it does."""

    kind: Literal["honoured", "owned", "refused"]
    reason: str


def verdict(key: str) -> Verdict | None:
    """The verdict on a key such as ``train.seed``; None on one that nobody has looked at."""
    if key in HONOURED:
        return Verdict("honoured", HONOURED[key])
    kinds: tuple[tuple[Literal["owned", "refused"], dict[str, str]], ...] = (("owned", OWNED), ("refused", REFUSED))
    for kind, reasons in kinds:
        for pattern, reason in reasons.items():
            if re.fullmatch(pattern, key):
                return Verdict(kind, reason)
    return None


def refusal(key: str) -> str | None:
    """Why a recipe may not set a key, in the words of an error; None if it may, or if nobody has looked at it."""
    found = verdict(key)
    if found is None or found.kind == "honoured":
        return None
    return f"{'not for a recipe to set' if found.kind == 'owned' else 'refused'}: {found.reason}"
