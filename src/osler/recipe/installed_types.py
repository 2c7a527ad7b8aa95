"""The types of a recipe's `train:` and `lora:`, read from the source of the installed TRL and PEFT.

Importing TRL imports torch and takes many seconds, yet its dataclasses *are* the schema of a recipe's ``train:``. So
they are parsed, never imported: the installed release is the schema, and there is no copy of it to go stale.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Optional, Union

from osler.errors import InputError
from osler.recipe.setting_rules import OPTIMIZERS, SCHEDULES, TRACKERS
from osler.recipe.type_check import choices_of, members_of
from osler.recipe.verdicts import EVALUATES, HONOURED


class Unwritable:
    """Stands for a type that no YAML value can have, such as a class from a file that was not parsed."""


class InstalledTypes(dict[str, Any]):
    """Names in an installed package's annotations and the types they stand for.

    A dataclass becomes a keyword-only dataclass with the same fields, types, metadata and literal defaults (``...``
    where the source computes the default); an enum becomes the ``Literal`` of its values. A class is built the first
    time it is asked for, because annotations refer to classes further down the file.

    Raises:
        InputError: a package is not installed.
    """

    def __init__(self, **files: Iterable[str]):
        super().__init__({t.__name__: t for t in (bool, int, float, str, list, tuple, dict)})
        self.update(Any=Any, Literal=Literal, Optional=Optional, Union=Union)
        self.nodes: dict[str, ast.ClassDef] = {}
        for package, names in files.items():
            spec = importlib.util.find_spec(package)  # a top-level name: finds the folder, imports nothing
            if spec is None or spec.origin is None:
                raise InputError(f"{package} is not installed: pip install {package}")
            for name in names:
                module = ast.parse((Path(spec.origin).parent / name).read_text(encoding="utf-8"))
                self.nodes.update((node.name, node) for node in module.body if isinstance(node, ast.ClassDef))

    def __missing__(self, name: str) -> Any:
        self[name] = Unwritable
        node = self.nodes.get(name)
        if node and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            bases = [base for base in map(self.__getitem__, _names(node.bases)) if base is not Unwritable]
            self[name] = dataclasses.make_dataclass(name, self._fields(node), bases=tuple(bases), kw_only=True)
        elif node and any(base.endswith("Enum") for base in _names(node.bases)):
            values = [_literal(entry.value) for entry in node.body if isinstance(entry, ast.Assign)]
            self[name] = Literal[tuple(values)]
        return self[name]

    def _fields(self, node: ast.ClassDef) -> Iterable[tuple[str, Any, Any]]:
        for entry in node.body:
            if not (isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name)):
                continue
            options = {"default": entry.value}
            if isinstance(entry.value, ast.Call):  # dataclasses.field(...)
                options = {keyword.arg or "": keyword.value for keyword in entry.value.keywords}
            if _literal(options.get("init")) is False:
                continue
            metadata = options.get("metadata")
            pairs = zip(metadata.keys, metadata.values, strict=True) if isinstance(metadata, ast.Dict) else ()
            known = {_literal(key): _literal(value) for key, value in pairs}
            known = {key: value for key, value in known.items() if value is not ...}
            # An annotation of an installed package, evaluated with nothing in reach but the names of types.
            hint = _narrow(eval(ast.unparse(entry.annotation), {"__builtins__": {}}, self), known.get("choices"))
            yield entry.target.id, hint, dataclasses.field(default=_literal(options.get("default")), metadata=known)


def _names(nodes: Iterable[ast.expr]) -> list[str]:
    return [ast.unparse(node).rpartition(".")[2] for node in nodes]


def _literal(node: ast.expr | None) -> Any:
    """The value of a literal expression, ``...`` for anything that would have to be run."""
    try:
        return ast.literal_eval(node) if node is not None else ...
    except ValueError:
        return ...


def _narrow(hint: Any, choices: Iterable[Any] | None) -> Any:
    """Text that has choices is one of them; text beside an enum or a mapping is how a command line writes that."""
    members = members_of(hint)
    if choices:
        members = [Literal[tuple(choices)] if member is str else member for member in members]
    elif any(choices_of(member) or dict in (member, typing.get_origin(member)) for member in members):
        members = [member for member in members if member is not str]
    return Union[tuple(members)]  # noqa: UP007  (there is no `|` for a list)


_LOG_LEVEL = Literal["detail", "debug", "info", "warning", "error", "critical", "passive"]
_TRACKER: Any = Literal[tuple(TRACKERS)]
_PATTERN = dict[str, int] | None
NARROWER: dict[str, Any] = {  # annotated more loosely than what is then accepted, or than what Osler honours
    "alpha_pattern": _PATTERN,
    "debug": Literal["", "underflow_overflow"] | list[Literal["underflow_overflow"]],
    "include_num_input_tokens_seen": Literal["all", "non_padding", "no", True, False],
    "init_lora_weights": Literal[True, False, "gaussian", "orthogonal"],
    "log_level": _LOG_LEVEL,
    "log_level_replica": _LOG_LEVEL,
    "lr_scheduler_type": Literal[tuple(SCHEDULES)],
    "optim": Literal[tuple(OPTIMIZERS)],
    "pad_to_multiple_of": int | Literal["auto"] | None,
    "rank_pattern": _PATTERN,
    "report_to": Literal["none", _TRACKER] | list[_TRACKER],
    "save_strategy": Literal["steps", "epoch", "no"],
    "torch_compile_backend": Literal["aot_eager", "cudagraphs", "eager", "inductor"] | None,
    "torch_compile_mode": Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] | None,
}
# Names of older releases and of TRL's command line, and names that still work but are deprecated.
RENAMED = {
    "adafactor": "train.optim: adafactor",
    "bnb_4bit_quant_type": "base.quantization: nf4",
    "gradient_checkpointing": "train.activation_checkpointing",
    "gradient_checkpointing_kwargs": "train.activation_checkpointing_kwargs",
    "group_by_length": "train.train_sampling_strategy: group_by_length",
    "load_in_4bit": "base.quantization: nf4",
    "lora_modules_to_save": "lora.modules_to_save",
    "lora_r": "lora.r",
    "lora_target_modules": "lora.target_modules",
    "lora_target_parameters": "lora.target_parameters",
    "max_seq_length": "train.max_length",
    "model_name_or_path": "base.model",
    "model_revision": "base.revision",
    "no_cuda": "train.use_cpu",
    "per_gpu_train_batch_size": "train.per_device_train_batch_size",
    "torch_dtype": "base.dtype",
    "warmup_ratio": "train.warmup_steps, which takes a fraction, too",
}
GONE = {
    "evaluation_strategy": EVALUATES,
    "include_inputs_for_metrics": EVALUATES,
    "load_in_8bit": "base.quantization knows nf4 only",
    "logging_dir": "set the environment variable TENSORBOARD_LOGGING_DIR",
    "per_gpu_eval_batch_size": EVALUATES,
    "overwrite_output_dir": "the run folder is runs/<name>/<version>",
    "processing_class": "the tokenizer comes with base.model",
    "save_safetensors": "safetensors is the only format",
    "tokenizer": "the tokenizer comes with base.model",
    "use_peft": "a lora: section says it",
}


def installed(section: str) -> Any:
    """The dataclass behind a section, from the source of the installed packages."""
    if section == "lora":
        return InstalledTypes(peft=["config.py", "tuners/lora/config.py"])["LoraConfig"]
    transformers = ["training_args.py", "trainer_utils.py", "debug_utils.py"]
    return InstalledTypes(transformers=transformers, trl=["trainer/base_config.py", "trainer/sft_config.py"])[
        "SFTConfig"
    ]


def settings(section: str) -> Any:
    """The fields of :func:`installed` that Osler honours, as a dataclass."""
    every = dataclasses.fields(installed(section))
    names = {item.name for item in every}
    fields = [
        (item.name, NARROWER.get(item.name, item.type), dataclasses.field(default=item.default))
        for item in every
        if f"{section}.{item.name}" in HONOURED
        # A name is deprecated once the installed release has the new one.
        and RENAMED.get(item.name, "").rpartition(".")[2] not in names
    ]
    return dataclasses.make_dataclass(section, fields)
