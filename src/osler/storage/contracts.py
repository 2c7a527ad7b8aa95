"""What a file has to hold, as a frozen pydantic type; whatever does not fit it is one line that names file and key.

pydantic checks; :func:`parsed` puts its report into the words and the form of every other error here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from osler.errors import InputError, join, nearest, show
from osler.storage.files import no_number, repeated, write_atomically


class Contract(BaseModel):
    """A mapping in a file: every key is a field, nothing is converted, and nothing changes once it is read.

    Where a field may be one of several contracts, each has a ``kind: Literal[…]`` and the field a
    ``discriminator="kind"``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FileContract(Contract):
    """A whole file. ``schema`` says which reader reads it (an attribute of that name is pydantic's own)."""

    schema_number: Literal[1] = Field(alias="schema")

    @field_validator("schema_number", mode="before")
    @classmethod
    def _is_a_whole_number(cls, value: object) -> object:
        if type(value) is not int:  # to Python, true and 1.0 equal 1
            raise PydanticCustomError("whole_number", "1")
        return value


C = TypeVar("C", bound=BaseModel)


def read_model(path: Path, kind: type[C]) -> C:
    """Read a JSON file as a ``kind``.

    Raises:
        InputError: it cannot be read, is not JSON, or is no ``kind``: one line with the file, the key, what it holds
            and what is allowed there.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:  # what pydantic's reader would let pass
        json.loads(text, object_pairs_hook=_each_key_once, parse_constant=no_number)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        pass  # pydantic says where
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    except _RepeatedKey as error:
        raise InputError(f"{path}: the key {str(error)!r} is there twice") from None
    return parsed(kind, text, str(path))


class _RepeatedKey(Exception):
    """Of an object: readers of JSON do not agree which of two values holds."""


def _each_key_once(pairs: list[tuple[str, Any]]) -> None:
    if (twice := repeated([name for name, _ in pairs])) is not None:
        raise _RepeatedKey(twice)


def validated(kind: type[C], content: object, where: str) -> C:
    """Plain values, as YAML and JSON give them, as a ``kind``. Raises as :func:`read_model`, about ``where``."""
    return parsed(kind, json.dumps(content), where)


def parsed(kind: type[C], text: str | bytes, where: str) -> C:
    """A JSON text as a ``kind``. Raises as :func:`read_model`, about ``where``."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    if errors[0]["type"] == "json_invalid":
        raise InputError(f"{where}: not JSON: {errors[0]['ctx']['error']}")
    raise InputError(f"{where}: {_explanation(kind, errors, json.loads(text))}")


def plain(model: BaseModel) -> dict[str, Any]:
    """The content of a model as plain values, without the keys that nobody set."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def write_model(path: Path, model: BaseModel) -> None:
    """Write a model as JSON, in the order of its fields, whole or not at all."""
    write_atomically(path, json.dumps(plain(model), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


# ── pydantic's report in one line ────────────────────────────────────────────────────────────────────────────────────

KeyPath = tuple[str | int, ...]

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "a list",
    "model_type": "a mapping",
    "none_required": "null",
    "string_type": "text",
    "tuple_type": "a list",
}


def _explanation(kind: type[BaseModel], errors: Sequence[ErrorDetails], content: object) -> str:
    """Of several errors the one that explains the others: another schema, an unknown key (a misspelt one is missing,
    too), else the first."""
    placed = [(_key_path(error, content), error) for error in errors]
    path, error = min(placed, key=lambda item: (item[0] != ("schema",), item[1]["type"] != "extra_forbidden"))
    key = _dotted(path)
    if error["type"] == "extra_forbidden":
        known = list(dict.fromkeys(_keys(kind, path[:-1], content)))
        close = nearest(path[-1], known, _dotted(path[:-1]))
        return f"{key}: unknown key" + (close or f"; valid keys: {', '.join(known)}")
    if error["type"] in ("missing", "union_tag_not_found"):
        return f"{key}: missing"
    if error["type"] == "value_error":  # a validator of ours, in our words
        text = str(error["ctx"]["error"])
    else:
        same = [other for where, other in placed if where == path]
        value = error["ctx"]["tag"] if error["type"] == "union_tag_invalid" else error["input"]
        expected = " or ".join(dict.fromkeys(map(_expected, same)))
        text = f"{show(value)} is not allowed; expected {expected}{nearest(value, _choices(same))}"
    return f"{key}: {text}" if key else text


def _key_path(error: ErrorDetails, content: Any) -> KeyPath:
    """Where in ``content`` the error is. pydantic's own path names the members of unions in between."""
    path: list[str | int] = []
    passed = False  # whether the member of the union that we are in has been named
    for part in error["loc"]:
        named = isinstance(content, dict) and part == content.get("kind") and not passed
        missing = error["type"] == "missing" and part == error["loc"][-1]
        if not named and (missing or _has(content, part)):
            path.append(part)
            content = None if missing else content[part]
        passed = named
    return (*path, "kind") if error["type"].startswith("union_tag") else tuple(path)


def _has(content: Any, part: str | int) -> bool:
    return part in content if isinstance(content, dict) else isinstance(content, list) and isinstance(part, int)


def _dotted(path: KeyPath) -> str:
    key = ""
    for part in path:
        key = join(key, str(part))
    return key


def _keys(hint: Any, path: KeyPath, content: Any) -> Iterator[str]:
    """The keys that a mapping at ``path`` may have."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        fields = {field.alias or name: field for name, field in hint.model_fields.items()}
        kinds = get_args(fields["kind"].annotation) if "kind" in fields else ()
        if kinds and content.get("kind") not in kinds:
            return
        if not path:
            yield from fields
        elif path[0] in fields:
            yield from _keys(fields[str(path[0])].annotation, path[1:], content[path[0]])
    elif get_origin(hint) in (Union, UnionType):
        for member in get_args(hint):
            yield from _keys(member, path, content)
    elif get_origin(hint) is Annotated:
        yield from _keys(get_args(hint)[0], path, content)
    elif get_args(hint) and path:  # a list or a mapping of them
        values = [member for member in get_args(hint) if member is not ...]
        yield from _keys(values[-1], path[1:], content[path[0]])


def _expected(error: ErrorDetails) -> str:
    if error["type"] == "union_tag_invalid":
        return f"one of {error['ctx']['expected_tags']}".replace("'", "")
    if error["type"] == "literal_error":
        choices = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"one of {choices}" if ", " in choices else choices
    return _EXPECTED.get(error["type"]) or error["msg"].removeprefix("Input should be ")


def _choices(errors: Sequence[ErrorDetails]) -> list[str]:
    allowed = (error.get("ctx", {}) for error in errors)
    texts = (f"{ctx.get('expected')} {ctx.get('expected_tags')}" for ctx in allowed)
    return [choice for text in texts for choice in re.findall(r"'([^']*)'", text)]
