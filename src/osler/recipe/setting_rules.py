"""What goes together in ``train:`` and ``lora:``: a value that would be without effect, or that a library would only
refuse once the model is loaded, is refused here, with the way out.

What these libraries say in functions, not in types, is written down here: which names an optimizer and a schedule take,
which package a tracker needs. Tests hold it against the installed functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from osler.errors import join, nearest, show

if TYPE_CHECKING:
    from osler.recipe.recipe import Recipe

BETAS = ("adam_beta1", "adam_beta2")
ADAM = (*BETAS, "adam_epsilon")
ADEMAMIX = ("beta1", "beta2", "beta3", "alpha", "eps", "t_alpha", "t_beta3")


class Optimizer(NamedTuple):
    """What an optimizer reads of ``train.adam_*``, and the names in ``train.optim_args``."""

    adam: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


OPTIMIZERS = {
    **dict.fromkeys(["adamw_torch", "adamw_torch_fused"], Optimizer(ADAM)),
    **dict.fromkeys(["adamw_bnb_8bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"], Optimizer(ADAM)),
    **dict.fromkeys(["lion_8bit", "lion_32bit", "paged_lion_8bit", "paged_lion_32bit"], Optimizer(BETAS)),
    **dict.fromkeys(
        ["ademamix", "ademamix_8bit", "paged_ademamix_8bit", "paged_ademamix_32bit"], Optimizer(ADAM, ADEMAMIX)
    ),
    **dict.fromkeys(["adafactor", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"], Optimizer()),
    "sgd": Optimizer((), ("momentum", "dampening", "nesterov")),
    "adagrad": Optimizer((), ("lr_decay", "eps")),
    "rmsprop": Optimizer((), ("momentum", "alpha", "eps", "centered")),
}
SWITCHES = ("nesterov", "centered")  # true or false; all other arguments are numbers

# What goes into train.lr_scheduler_kwargs. Not the two schedules that follow an evaluation.
SCHEDULES: dict[str, tuple[str, ...]] = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "cosine_with_min_lr": ("num_cycles", "min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"),
    "warmup_stable_decay": (
        "num_decay_steps",
        "num_stable_steps",
        "warmup_type",
        "decay_type",
        "min_lr_ratio",
        "num_cycles",
    ),
}
CURVES = ("linear", "cosine", "1-sqrt")  # of warmup_type and decay_type

# A tracker and the package it needs.
TRACKERS = {
    "clearml": "clearml",
    "codecarbon": "codecarbon",
    "comet_ml": "comet-ml",
    "dvclive": "dvclive",
    "mlflow": "mlflow-skinny",  # which mlflow brings
    "neptune": "neptune",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
}

# What TRL's trainer does with a language model's rows and loss; a classifier's trainer would pass over it.
NOT_OF_A_HEAD = (
    *("activation_offloading", "average_tokens_across_devices", "packing", "pad_to_multiple_of"),
    *("padding_free", "router_aux_loss_coef"),
)

METRICS = ("accuracy", "macro_f1", "log_loss")  # that a checkpoint is chosen by
CHECKPOINTING = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug")
REPLICATED = 1000  # layers that lora.layer_replication may ask for


def setting_problems(recipe: Recipe, train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The key and the text of everything wrong; ``train`` is the recipe's with the defaults."""
    yield from _loss(recipe, train)
    yield from _optimizer(recipe, train)
    yield from _schedule(recipe, train)
    yield from _needs(recipe, train)
    yield from _selection(recipe)
    yield from _machine(recipe, train)
    if recipe.lora is not None:
        yield from _lora(recipe, recipe.lora)


def _loss(recipe: Recipe, train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if recipe.loss.name == "label_trie":
        for key in ("packing", "padding_free"):
            if train[key]:
                yield f"train.{key}", "not with loss.name: label_trie, which needs one case a row"
        if train["label_smoothing_factor"]:
            yield "train.label_smoothing_factor", "not with loss.name: label_trie, which has no smoothing; leave it out"
        for key in ("average_tokens_across_devices", "router_aux_loss_coef"):
            if recipe.train.get(key) is not None:
                yield f"train.{key}", "without effect under loss.name: label_trie; leave it out"
    if recipe.head is not None:
        for key in NOT_OF_A_HEAD:
            if recipe.train.get(key):
                yield f"train.{key}", f"not with head: {recipe.head}; leave it out"
        half = recipe.base.dtype != "float32" and not (train["bf16"] or train["fp16"])
        if half and recipe.lora is not None:  # the head is trained in float32, and gets what the base computes
            text = (
                f"{recipe.base.dtype} with head: {recipe.head} and lora: needs mixed precision; write train.bf16: true"
            )
            yield "base.dtype", text
    if train["packing"] and train["packing_strategy"] == "wrapped" and recipe.stage != "pretrain":
        yield "train.packing_strategy", "wrapped cuts a case from its answer, and lets cases see each other; write bfd"
    if train["packing"] and train["max_length"] is None:
        yield "train.packing", "needs a train.max_length to pack to"
    if train["padding_free"] and not train["packing"] and train["max_length"]:
        yield "train.padding_free", "needs train.max_length: null"
    if train["max_steps"] == 0:
        yield "train.max_steps", "0 is out of range; allowed: >= 1, or -1 where num_train_epochs decides"


def _optimizer(recipe: Recipe, train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = recipe.train.get("optim", "adamw_torch")
    optimizer = OPTIMIZERS[name]
    for key in ADAM:
        if key in recipe.train and key not in optimizer.adam:
            yield f"train.{key}", f"without effect: optim {name} does not read it; leave it out"
    text, values = train["optim_args"], dict[str, str]()
    for part in (text or "").replace(" ", "").split(",") if text is not None else ():
        argument, _, value = part.partition("=")
        if argument not in optimizer.arguments:
            takes = f"takes {', '.join(optimizer.arguments)}" if optimizer.arguments else "takes no arguments"
            yield "train.optim_args", f"{show(part)}: {name} {takes}{nearest(argument, optimizer.arguments)}"
            return
        fits = value in ("true", "false") if argument in SWITCHES else _number(value)
        if not fits or (argument.startswith("beta") and float(value) >= 1):
            wanted = "true or false" if argument in SWITCHES else "a number that it takes"
            yield "train.optim_args", f"{show(part)} is not allowed; expected {argument}= and {wanted}"
            return
        values[argument] = value
    if values.get("nesterov") == "true" and (
        float(values.get("momentum", 0)) == 0 or float(values.get("dampening", 0)) != 0
    ):
        yield "train.optim_args", "nesterov=true needs a momentum above 0, and no dampening"


def _number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d*)?([eE][-+]?\d{1,2})?", text, re.ASCII) is not None


def _schedule(recipe: Recipe, train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name, where = train["lr_scheduler_type"], "train.lr_scheduler_kwargs"
    values: Mapping[str, Any] = train["lr_scheduler_kwargs"] or {}
    if name == "constant" and train["warmup_steps"]:
        yield "train.warmup_steps", "without effect on lr_scheduler_type: constant; write constant_with_warmup"
    for key, value in values.items():
        place = join(where, key)
        if key not in SCHEDULES[name]:
            takes = f"takes {', '.join(SCHEDULES[name])}" if SCHEDULES[name] else "takes none"
            yield place, f"unknown key: lr_scheduler_type {name} {takes}{nearest(key, SCHEDULES[name])}"
        elif key.endswith("_type"):
            if value not in CURVES:
                yield place, f"{show(value)} is not allowed; expected one of {', '.join(CURVES)}"
        elif type(value) not in (int, float) or value < 0 or (key in ("timescale", "num_decay_steps") and value < 1):
            yield place, f"{show(value)} is not allowed; expected a number that is not negative"
    if "min_lr" in SCHEDULES[name] and ("min_lr" in values) == ("min_lr_rate" in values):
        yield where, f"{name} needs one of min_lr and min_lr_rate"
    if name == "warmup_stable_decay" and "num_decay_steps" not in values:
        yield where, f"{name} needs num_decay_steps"
    if name == "polynomial":
        end = values.get("lr_end", 1e-7)
        if type(end) in (int, float) and end >= train["learning_rate"]:
            yield join(where, "lr_end"), f"{end} is not below train.learning_rate"


def _needs(recipe: Recipe, train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is without effect, or refused, unless another setting is on."""
    trackers = trackers_of(recipe)
    checkpointing = train.get("activation_checkpointing") or recipe.train.get("gradient_checkpointing")
    needs = {
        "activation_checkpointing_kwargs": ("activation_checkpointing: true", checkpointing),
        "gradient_checkpointing_kwargs": ("gradient_checkpointing: true", checkpointing),
        "dataloader_multiprocessing_context": ("dataloader_num_workers", train["dataloader_num_workers"]),
        "dataloader_persistent_workers": ("dataloader_num_workers", train["dataloader_num_workers"]),
        "dataloader_prefetch_factor": ("dataloader_num_workers", train["dataloader_num_workers"]),
        "data_seed": ("train_sampling_strategy: random", train["train_sampling_strategy"] == "random"),
        "packing_strategy": ("packing: true", train["packing"]),
        "project": ("report_to, a tracker", trackers),
        "run_name": ("report_to, a tracker", trackers),
        "torch_compile_backend": ("torch_compile: true", train["torch_compile"]),
        "torch_compile_mode": ("torch_compile: true", train["torch_compile"]),
        **dict.fromkeys(
            ("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
            ("report_to: trackio", "trackio" in trackers),
        ),
    }
    for key, (needed, there) in needs.items():
        if recipe.train.get(key) and not there:
            yield f"train.{key}", f"without effect unless there is train.{needed}"
    for key in ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"):
        for name in recipe.train.get(key) or ():
            if name not in CHECKPOINTING:
                yield join(f"train.{key}", name), f"unknown key; valid keys: {', '.join(CHECKPOINTING)}"
    if train["bf16"] and train["fp16"] and not train["use_cpu"]:
        yield "train.bf16", "not together with train.fp16"


def _selection(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What goes with choosing a checkpoint on validation."""
    metric, every = recipe.train.get("metric_for_best_model"), recipe.train.get("eval_steps")
    if metric is None:
        for key, value in (("train.eval_steps", every), ("patience", recipe.patience)):
            if value is not None:
                yield key, "without effect unless there is train.metric_for_best_model"
        return
    if metric not in METRICS:
        yield "train.metric_for_best_model", f"{show(metric)} is not allowed; expected one of {', '.join(METRICS)}"
    if recipe.stage is not None:
        yield "train.metric_for_best_model", f"not with stage: {recipe.stage}, which diagnoses nobody; leave it out"
    if type(every) is not int or every < 1:
        yield "train.eval_steps", "train.metric_for_best_model needs it: the steps from one evaluation to the next"
    elif recipe.train.get("save_steps", every) != every or recipe.train.get("save_strategy", "steps") != "steps":
        yield "train.save_steps", "checkpoints are written where they are evaluated: leave it out"
    if recipe.patience is not None and recipe.patience < 1:
        yield "patience", f"{recipe.patience} is out of range; allowed: >= 1"


def _machine(recipe: Recipe, train: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    base = recipe.base
    for key in ("activation_offloading", "fp16", "tf32"):
        if train["use_cpu"] and train[key]:
            yield f"train.{key}", "only on a GPU; leave it out, or train.use_cpu"
    if train["fp16"] and base.dtype == "float16" and recipe.lora is None:
        yield "train.fp16", "cannot train the weights of base.dtype: float16; write base.dtype: float32"
    if base.attn_implementation == "flash_attention_2":
        if train["use_cpu"]:
            yield "base.attn_implementation", "flash_attention_2 is only for a GPU; write sdpa"
        elif base.dtype == "float32":
            yield "base.attn_implementation", "flash_attention_2 cannot compute in base.dtype: float32"


def _lora(recipe: Recipe, lora: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    targets, transformed = lora.get("target_modules"), lora.get("layers_to_transform")
    if targets == [] and not lora.get("target_parameters"):
        yield "lora.target_modules", "[] names nothing; expected layers, or all-linear"
    if transformed is not None and not isinstance(targets, list):
        yield "lora.layers_to_transform", f"needs lora.target_modules as a list of names, not {show(targets)}"
    if transformed == []:
        yield "lora.layers_to_transform", "[] names no layer; leave it out for all"
    if lora.get("layers_pattern") and transformed is None:
        yield "lora.layers_pattern", "without effect unless there is lora.layers_to_transform"
    if lora.get("ensure_weight_tying") and not lora.get("modules_to_save"):
        yield "lora.ensure_weight_tying", "without effect unless lora.modules_to_save names the embedding or the head"
    if lora.get("lora_bias") and lora.get("use_dora"):
        yield "lora.lora_bias", "not together with lora.use_dora"
    if lora.get("lora_bias") and lora.get("init_lora_weights", True) not in (True, False):
        yield "lora.lora_bias", "only with lora.init_lora_weights: true or false"
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern, value in (lora.get(key) or {}).items():
            if value < 1:
                yield join(f"lora.{key}", pattern), f"{value} is out of range; allowed: >= 1"
    if lora.get("init_lora_weights") == "orthogonal":
        if recipe.base.quantization:
            yield "lora.init_lora_weights", "orthogonal needs a base that is not quantised; write gaussian"
        for rank in (lora.get("r", 8), *(lora.get("rank_pattern") or {}).values()):
            if rank % 2:
                yield "lora.init_lora_weights", f"orthogonal needs an even rank, not {rank}"
    replicated = lora.get("layer_replication") or ()
    for pair in replicated:
        if not 0 <= pair[0] < pair[1]:
            yield "lora.layer_replication", f"{show(pair)} is no range of layers; expected [first, one after the last]"
    if sum(pair[1] - pair[0] for pair in replicated) > REPLICATED:
        yield "lora.layer_replication", f"asks for more than {REPLICATED} layers"
    for key, pattern in patterns(lora):
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            yield key, f"{show(pattern)} is text, so a regular expression, but not a valid one ({error})"


def patterns(lora: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The key and the text of what PEFT reads as regular expressions."""
    for key in ("target_modules", "exclude_modules"):
        text = lora.get(key)
        if isinstance(text, str) and text.replace("_", "-") != "all-linear":
            yield f"lora.{key}", text
    for key in ("rank_pattern", "alpha_pattern"):
        yield from ((f"lora.{key}", pattern) for pattern in lora.get(key) or {})
    named = lora.get("layers_pattern") or []
    yield from (("lora.layers_pattern", pattern) for pattern in ([named] if isinstance(named, str) else named))


def trackers_of(recipe: Recipe) -> tuple[str, ...]:
    """The trackers that a recipe reports to."""
    asked = recipe.train.get("report_to", "none")
    return tuple(asked) if isinstance(asked, list) else () if asked == "none" else (asked,)
