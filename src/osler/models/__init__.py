"""Base models: their weights, how they are loaded with or without an adapter, and how an adapter is merged into one."""

from osler.models.base_weights import base_config, base_folder
from osler.models.images import PIXELS, TYPES, Images, load_images
from osler.models.loading import (
    add_tuned,
    choose_device_map,
    context_length,
    idle_accelerators,
    labels_of,
    load_base,
    load_classifier,
    load_tokenizer,
    load_tuned,
    quantisation,
)
from osler.models.logits import logits_at, outputs_of_head
from osler.models.merging import load_merged, merge_run
from osler.models.precision import in_float32, without_autocast
from osler.models.targets import TASK_TYPES, check_architecture, head_of, without_weights

__all__ = [
    "PIXELS",
    "TASK_TYPES",
    "TYPES",
    "Images",
    "add_tuned",
    "base_config",
    "base_folder",
    "check_architecture",
    "choose_device_map",
    "context_length",
    "head_of",
    "idle_accelerators",
    "in_float32",
    "labels_of",
    "load_base",
    "load_classifier",
    "load_images",
    "load_merged",
    "load_tokenizer",
    "load_tuned",
    "logits_at",
    "merge_run",
    "outputs_of_head",
    "quantisation",
    "without_autocast",
    "without_weights",
]
