"""From YAML text to checked plain values: a strict loader, types read from installed packages, and the check.

Importing TRL imports torch and takes many seconds, yet its dataclasses *are* the schema of a recipe's ``train:``. So
they are parsed, never imported: the installed release is the schema, and there is no copy of it to go stale.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Optional, Union

import yaml

from osler.errors import InputError


class Problem(Exception):
    """A value that does not belong: the path of its key and what is wrong. Whoever knows the file adds its name."""

    def __init__(self, key: str, text: str):
        super().__init__(key, text)
        self.key = key
        self.text = text


# ── strict YAML ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Of YAML 1.2, for unquoted text: `1e-4` is a number and `no` is text, both unlike in PyYAML, which speaks YAML 1.1.
_SCALARS: list[tuple[re.Pattern[str], Callable[[str], Any]]] = [
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?(0|[1-9][0-9]{0,18})"), int),
    (re.compile(r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"), float),
]


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document to plain values, without duplicate keys, aliases and tags. Keys are always text.

    Raises:
        InputError: it does not parse; one line with ``where``, the line number and the reason.
    """
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if node is None else _plain(node, set())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        text = ", ".join(filter(None, (error.context, error.problem)))
        raise InputError(one_line(f"{where}: line {line}: {text}")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{where}: line {line}: {error.reason}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None


def _plain(node: yaml.Node, seen: set[int]) -> Any:
    def wrong(text: str, at: yaml.Node) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=text, problem_mark=at.start_mark)

    if not node.tag.endswith((":str", ":seq", ":map")):
        raise wrong(f"the tag {node.tag} is not read", node)
    if id(node) in seen:
        raise wrong("aliases are not read", node)
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, seen) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise wrong("a key must be text", key)
            if key.value in mapping:
                raise wrong(f"duplicate key {show(key.value)}", key)
            mapping[key.value] = _plain(item, seen)
        return mapping
    assert isinstance(node, yaml.ScalarNode)
    plain = node.style is None  # neither quoted nor a block
    convert = next((convert for pattern, convert in _SCALARS if plain and pattern.fullmatch(node.value)), str)
    value = convert(node.value)
    if isinstance(value, float) and math.isinf(value):
        raise wrong(f"{node.value} is too large for a number", node)
    return value


class _Dumper(yaml.SafeDumper):
    """Quotes text that either :func:`parse_yaml` or a reader of YAML 1.1 would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_FLOAT = re.compile(_SCALARS[-1][0].pattern + r"\Z")  # PyYAML matches the start only
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def dump_yaml(content: dict[str, Any]) -> str:
    """Plain values as YAML that :func:`parse_yaml` reads back to the same."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: it is missing, a folder, not UTF-8, empty, does not parse or holds something else.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); expected a YAML file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    document = parse_yaml(text, str(path))
    if document is None:
        raise InputError(f"{path}: the file is empty")
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a mapping of keys, found {show(document)}")
    return document


# ── types out of source ──────────────────────────────────────────────────────────────────────────────────────────────


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
    members = _members(hint)
    if choices:
        members = [Literal[tuple(choices)] if member is str else member for member in members]
    elif any(_choices(member) or dict in (member, typing.get_origin(member)) for member in members):
        members = [member for member in members if member is not str]
    return Union[tuple(members)]  # noqa: UP007  (there is no `|` for a list)


# ── what the sources do not say ──────────────────────────────────────────────────────────────────────────────────────

_LOG_LEVEL = Literal["detail", "debug", "info", "warning", "error", "critical", "passive"]
NARROWER: dict[str, Any] = {  # annotated more loosely than what is then accepted
    "include_num_input_tokens_seen": Literal["all", "non_padding", "no", True, False],
    "log_level": _LOG_LEVEL,
    "log_level_replica": _LOG_LEVEL,
    "pad_to_multiple_of": int | Literal["auto"] | None,
    "truncation_mode": Literal["keep_start"],  # TRL deprecates keep_end
}
OWNED = {
    r"train\.dataset_\w+": "the task decides what the training data looks like",
    r"train\.(push_to_hub\w*|hub_\w+)": "scripts/publish.py pushes once the results are in, see publish:",
    r"train\.(fsdp\w*|deepspeed|parallelism_config|accelerator_config|local_rank)": "see accelerate_configs/, a recipe "
    "runs on machines of all sizes",
    r"train\.(eos_token|pad_token|chat_template_path)": "the task's prompt and the base's own tokens, nothing is added",
    r"train\.(do_train|do_eval|do_predict|resume_from_checkpoint)": "transformers itself does not read it",
    r"train\.(use_liger_kernel|liger_kernel_config)": "TRL deprecates it",
    r"train\.(completion_only_loss|assistant_only_loss)": "the loss is always on the completion only",
    r"train\.loss_type": "see loss:",
    r"train\.model_init_kwargs": "see base:",
    r"train\.output_dir": "the run folder is runs/<name>/<version>",
    r"\w+\.trust_remote_code": "nothing that was downloaded is executed",
    r"lora\.(task_type|peft_type|inference_mode|auto_mapping|peft_version)": "always LoRA on a causal language model",
    r"lora\.(base_model_name_or_path|revision)": "see base:",
    r"lora\.(runtime_config|monteclora_config)": "PEFT does not build it from a mapping",
}
# Names of older releases and of TRL's command line, and names that still work but are deprecated.
RENAMED = {
    "adafactor": "train.optim: adafactor",
    "bnb_4bit_quant_type": "base.quantization: nf4",
    "evaluation_strategy": "train.eval_strategy",
    "gradient_checkpointing": "train.activation_checkpointing",
    "gradient_checkpointing_kwargs": "train.activation_checkpointing_kwargs",
    "group_by_length": "train.train_sampling_strategy: group_by_length",
    "include_inputs_for_metrics": "train.include_for_metrics",
    "load_in_4bit": "base.quantization: nf4",
    "lora_modules_to_save": "lora.modules_to_save",
    "lora_r": "lora.r",
    "lora_target_modules": "lora.target_modules",
    "lora_target_parameters": "lora.target_parameters",
    "max_seq_length": "train.max_length",
    "model_name_or_path": "base.model",
    "model_revision": "base.revision",
    "no_cuda": "train.use_cpu",
    "per_gpu_eval_batch_size": "train.per_device_eval_batch_size",
    "per_gpu_train_batch_size": "train.per_device_train_batch_size",
    "torch_dtype": "base.dtype",
    "warmup_ratio": "train.warmup_steps, which takes a fraction, too",
}
GONE = {
    "load_in_8bit": "base.quantization knows nf4 only",
    "logging_dir": "set the environment variable TENSORBOARD_LOGGING_DIR",
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
    """The fields of :func:`installed` that a recipe may set, as a dataclass."""
    every = dataclasses.fields(installed(section))
    names = {item.name for item in every}
    fields = [
        (item.name, NARROWER.get(item.name, item.type), dataclasses.field(default=item.default))
        for item in every
        if not owned(f"{section}.{item.name}")
        # A name is deprecated once the installed release has the new one.
        and RENAMED.get(item.name, "").rpartition(".")[2] not in names
    ]
    return dataclasses.make_dataclass(section, fields)


def owned(key: str) -> str | None:
    """Why a recipe may not set a key, None if it may."""
    return next((reason for pattern, reason in OWNED.items() if re.fullmatch(pattern, key)), None)


# ── values against types ─────────────────────────────────────────────────────────────────────────────────────────────


def check(value: Any, hint: Any, key: str = "") -> None:
    """Check a plain value (as YAML gives it) against a type; mappings are checked against dataclasses key by key.

    An ``int`` fits a ``float``, a ``bool`` is never a number, numbers are finite, tuples are written as lists.

    Raises:
        Problem: naming the deepest key at fault, what it holds, and what is allowed there.
    """
    members = _members(hint)
    if isinstance(value, dict) and (record := record_type(hint)):
        required = {item.name for item in dataclasses.fields(record) if item.default is dataclasses.MISSING}
        check_keys(value, typing.get_type_hints(record), required, key)
    elif isinstance(value, dict) and (record := record_of_values(hint)):
        for name, item in value.items():
            check(item, record, join(key, name))
    elif not any(_fits(value, member) for member in members):
        choices = [choice for member in members for choice in _choices(member)]
        text = f"{show(value)} is not allowed; expected {describe(hint)}"
        if str in members and isinstance(value, int | float):
            text += " (quote it)"
        raise Problem(key, text + nearest(value, choices))


def check_keys(values: dict[str, Any], types: Mapping[str, Any], required: set[str], where: str = "") -> None:
    """Check a mapping key by key; raises like :func:`check`."""
    for key in values:
        if key not in types:
            known = (
                f"valid keys: {', '.join(types)}"
                if len(types) < 20
                else f"none of the {len(types)} keys here is like it"
            )
            raise Problem(join(where, key), f"unknown key{nearest(key, types, where) or '; ' + known}")
    for key, hint in types.items():
        if key in values:
            check(values[key], hint, join(where, key))
        elif key in required:
            raise Problem(join(where, key), f"missing; expected {describe(hint)}")


def field_types(hint: Any) -> dict[str, Any]:
    """The types of the fields of a dataclass, also of one that may be null; nothing for other types."""
    record = record_type(hint)
    return typing.get_type_hints(record) if record else {}


def record_type(hint: Any) -> Any:
    """The dataclass that ``hint`` is, or may be; None where it is none."""
    return next((member for member in _members(hint) if dataclasses.is_dataclass(member)), None)


def record_of_values(hint: Any) -> Any:
    """The dataclass that the values of the mapping ``hint`` are; None where they, or it, are none."""
    mappings = (typing.get_args(member) for member in _members(hint) if typing.get_origin(member) is dict)
    return next((record_type(arguments[1]) for arguments in mappings), None)


def _members(hint: Any) -> list[Any]:
    union = typing.get_origin(hint) in (Union, types.UnionType)
    return list(typing.get_args(hint)) if union else [hint]


def _choices(hint: Any) -> list[str]:
    return [arg for arg in typing.get_args(hint) if isinstance(arg, str)] if typing.get_origin(hint) is Literal else []


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(arg) and _same(value, arg) for arg in args)
    if origin in (Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin in (list, tuple):
        if not isinstance(value, list) or not args:
            return isinstance(value, list)
        hints = args if origin is tuple and args[-1] is not ... else [args[0]] * len(value)
        return len(hints) == len(value) and all(map(_fits, value, hints))
    if origin is dict:
        return isinstance(value, dict) and (not args or all(_fits(item, args[1]) for item in value.values()))
    if origin is float:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    return type(value) is origin  # not isinstance: True is an int


def _same(value: Any, choice: Any) -> bool:
    """PEFT writes a family of choices as ``pissa_niter_[number of iters]``."""
    if isinstance(choice, str) and "[number" in choice:
        return re.fullmatch(re.escape(choice.partition("[")[0]) + r"\d+", value) is not None
    return bool(value == choice)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_WORDS = {bool: "true or false", int: "an integer", float: "a finite number", str: "text", type(None): "null"}


def describe(hint: Any) -> str:
    """The type in the words of somebody who writes YAML."""
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args)
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(
            arg if isinstance(arg, str) else show(arg) for arg in args
        )
    if origin in (list, tuple):
        return "a list" + (f" of {describe(args[0])}" if args else "")
    if origin is dict or dataclasses.is_dataclass(origin):
        return "a mapping"
    return _WORDS.get(origin, "nothing: it cannot be written in YAML")


def show(value: Any) -> str:
    """A value on one line and not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def join(where: str, key: str) -> str:
    """The path of a key; one that is no plain word is shown quoted, because it may hold anything."""
    key = key if re.fullmatch(r"[\w.-]{1,60}", key) else show(key)
    return f"{where}.{key}" if where else key


def nearest(value: Any, known: Iterable[str], where: str = "", cutoff: float = 0.6) -> str:
    """``; did you mean …?`` or nothing."""
    close = difflib.get_close_matches(value, list(known), n=1, cutoff=cutoff) if isinstance(value, str) else []
    return f"; did you mean {join(where, close[0])}?" if close else ""


def one_line(text: str) -> str:
    """A parser's message may run over several lines; an error here never does."""
    return " ".join(text.split())
