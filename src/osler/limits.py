"""What the values of a recipe may be once their types are right: ranges, patterns, and what goes together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from osler.schema import Problem, check, join, show

if TYPE_CHECKING:
    from osler.recipe import Recipe

# What the installed sources do not say.
RANGES = {
    "> 0": "train.learning_rate train.num_train_epochs train.logging_steps train.eval_steps train.save_steps",
    ">= 0": "data.simulated_per_label data.real_repeats train.adam_epsilon train.dataloader_num_workers"
    " train.max_grad_norm train.neftune_noise_alpha train.warmup_steps train.weight_decay",
    ">= 1": "evaluation.resamples lora.r lora.lora_alpha train.dataloader_prefetch_factor train.eval_accumulation_steps"
    " train.gradient_accumulation_steps train.max_length train.pad_to_multiple_of train.per_device_eval_batch_size"
    " train.per_device_train_batch_size train.save_total_limit train.torch_empty_cache_steps",
    ">= -1": "train.max_steps",
    "0 to 1": "lora.lora_dropout loss.completion_weight train.adam_beta1 train.adam_beta2 train.label_smoothing_factor",
    "0 to 4294967295": "train.seed train.data_seed",  # numpy's seeds have 32 bits
}
PATTERNS = {
    "name": (r"[a-z0-9]+(-[a-z0-9]+)*", "a kebab-case name"),
    "version": (r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?", "a semantic version such as 1.0.0"),
    "base.revision": (r"[0-9a-f]{40}", "the 40 hex digits of a commit: pin it, branches and tags move"),
    "publish.license": (r"[a-z0-9][a-z0-9.-]*", "a licence identifier of the Hub such as apache-2.0"),
}


def check_values(document: dict[str, Any]) -> None:
    """Check a recipe's ranges and patterns. Raises :class:`~osler.schema.Problem` for the first value outside them."""

    def value(key: str) -> Any:
        section, _, name = key.rpartition(".")
        return (document.get(section) or {} if section else document).get(name)

    for allowed, keys in RANGES.items():
        for key in keys.split():
            number = value(key)
            if isinstance(number, (int, float)) and not isinstance(number, bool) and not _inside(number, allowed):
                raise Problem(key, f"{show(number)} is out of range; allowed: {allowed}")
    for key, (pattern, meaning) in PATTERNS.items():
        text = value(key)
        if text is not None and not re.fullmatch(pattern, text, re.ASCII):
            raise Problem(key, f"{show(text)} is not allowed; expected {meaning}")
    for key in ("logging_steps", "eval_steps", "save_steps", "warmup_steps"):
        steps = value(f"train.{key}")
        if isinstance(steps, float) and steps > 1 and not steps.is_integer():
            raise Problem(f"train.{key}", f"{steps} is out of range; allowed: whole steps, or a share below 1")


def _inside(number: float, allowed: str) -> bool:
    if " to " in allowed:
        low, high = allowed.split(" to ")
        return int(low) <= number <= int(high)
    sign, bound = allowed.split()
    return number > int(bound) if sign == ">" else number >= int(bound)


def check_combinations(recipe: Recipe, defaults: Mapping[str, Any]) -> None:
    """Refuse values that are each allowed and together impossible. Most of these TRL finds after loading the model.

    ``defaults`` are those of ``train:``. Raises :class:`~osler.schema.Problem`.
    """

    def refuse(key: str, impossible: Any, text: str) -> None:
        if impossible:
            raise Problem(key, text)

    loss, train = recipe.loss, {**defaults, **recipe.train}
    packing, length, trie = train["packing"], train["max_length"], loss.name == "label_trie"
    evaluated, saved, scheduler = train["eval_strategy"], train["save_strategy"], train["lr_scheduler_type"]
    refuse("base.quantization", recipe.base.quantization and recipe.lora is None, "nf4 needs a lora: section to train")
    refuse("loss.completion_weight", loss.completion_weight is not None and not trie, "only with loss.name: label_trie")
    for split, reason in (recipe.allow_overlap or {}).items():
        check(split, Literal[recipe.evaluation.splits], join("allow_overlap", split))
        refuse(join("allow_overlap", split), not reason.strip(), "says no reason; why may its cases stay in training?")
    refuse("data", recipe.data and recipe.data.empty, "neither simulated nor real patients to train on")
    for key in ("packing", "eval_packing", "padding_free"):
        refuse(f"train.{key}", trie and train[key], "not with loss.name: label_trie, which needs one case a row")
    refuse("train.packing", packing and length is None, "needs a train.max_length to pack to")
    refuse("train.padding_free", train["padding_free"] and not packing and length, "needs train.max_length: null")
    refuse("train.bf16", train["bf16"] and train["fp16"], "not together with train.fp16")
    if train["load_best_model_at_end"]:
        text = f"needs the same train.eval_strategy and train.save_strategy, not {evaluated} and {saved}"
        refuse("train.load_best_model_at_end", evaluated == "no" or saved not in (evaluated, "best"), text)
    if scheduler in ("reduce_lr_on_plateau", "greedy"):
        refuse("train.lr_scheduler_type", evaluated == "no", f"{scheduler} needs a train.eval_strategy")
    if train["dataloader_prefetch_factor"]:
        refuse("train.dataloader_prefetch_factor", not train["dataloader_num_workers"], "needs dataloader_num_workers")
