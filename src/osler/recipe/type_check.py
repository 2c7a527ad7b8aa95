"""Plain values, as YAML gives them, against Python types: what does not fit is a :class:`Problem` that names its key.

Not pydantic, because these types are read from the source of TRL and PEFT (:mod:`osler.recipe.installed_types`), with
choices in their metadata, and a recipe's own sections are checked beside them in the same words.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from osler.errors import join, nearest, show


class Problem(Exception):
    """A value that does not belong: the path of its key and what is wrong. Whoever knows the file adds its name."""

    def __init__(self, key: str, text: str):
        super().__init__(key, text)
        self.key = key
        self.text = text


# ── values against types ─────────────────────────────────────────────────────────────────────────────────────────────


def check(value: Any, hint: Any, key: str = "") -> None:
    """Check a plain value (as YAML gives it) against a type; mappings are checked against dataclasses key by key.

    An ``int`` fits a ``float``, a ``bool`` is never a number, numbers are finite, tuples are written as lists.

    Raises:
        Problem: naming the deepest key at fault, what it holds, and what is allowed there.
    """
    members = members_of(hint)
    if isinstance(value, dict) and (record := record_type(hint)):
        required = {item.name for item in dataclasses.fields(record) if item.default is dataclasses.MISSING}
        check_keys(value, typing.get_type_hints(record), required, key)
    elif isinstance(value, dict) and (of_values := hint_of_values(hint)):
        for name, item in value.items():
            check(item, of_values, join(key, name))
    elif not any(_fits(value, member) for member in members):
        choices = [choice for member in members for choice in choices_of(member)]
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
    for key in types:
        if key in values:
            check(values[key], types[key], join(where, key))
    for key in types:  # last: whoever looks for all faults has to pass over a section that lacks a key
        if key in required and key not in values:
            raise Problem(join(where, key), f"missing; expected {describe(types[key])}")


def overlap(key: str, other: str) -> bool:
    """Whether two keys are one, or one of them is of a section that the other is."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def field_types(hint: Any) -> dict[str, Any]:
    """The types of the fields of a dataclass, also of one that may be null; nothing for other types."""
    record = record_type(hint)
    return typing.get_type_hints(record) if record else {}


def record_type(hint: Any) -> Any:
    """The dataclass that ``hint`` is, or may be; None where it is none."""
    return next((member for member in members_of(hint) if dataclasses.is_dataclass(member)), None)


def hint_of_values(hint: Any) -> Any:
    """What the values of the mapping ``hint`` are, where that is, or may be, a dataclass; else None."""
    mappings = (typing.get_args(member) for member in members_of(hint) if typing.get_origin(member) is dict)
    return next((arguments[1] for arguments in mappings if record_type(arguments[1])), None)


def members_of(hint: Any) -> list[Any]:
    union = typing.get_origin(hint) in (Union, types.UnionType)
    return list(typing.get_args(hint)) if union else [hint]


def choices_of(hint: Any) -> list[str]:
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

_WORDS = {
    Any: "anything",
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "text",
    type(None): "null",
}


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
