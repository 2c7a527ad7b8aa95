"""Commits, hashes, paths and names of a task file: texts that are checked when they are read."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from osler.errors import InputError, show
from osler.storage import wheels

SHA256 = r"[0-9a-f]{64}"
COMMIT = (r"[0-9a-f]{40}", "the 40 hex digits of a commit: pin it, branches and tags move")


def _commit(text: str) -> str:
    if not re.fullmatch(COMMIT[0], text, re.ASCII):
        raise ValueError(f"{show(text)} is not allowed; expected {COMMIT[1]}")
    return text


def _wheel_file(text: str) -> str:
    try:
        return wheels.parse(text).spec
    except InputError as error:
        raise ValueError(str(error)) from None


def _sha256(text: str) -> str:
    if not re.fullmatch(SHA256, text, re.ASCII):
        raise ValueError(f"{show(text)} is not allowed; expected 64 hex digits, as `sha256sum` prints them")
    return text


def _relative(text: str) -> str:
    plain = text and not re.search(r"[\0-\x1f\x7f\\:]", text) and str(PurePosixPath(text)) == text
    if not plain or text.startswith(("/", "~")) or ".." in PurePosixPath(text).parts or text == ".":
        raise ValueError(f"{show(text)} is not allowed; expected a path inside its folder, such as a/b.jsonl")
    return text


def _to_project(text: str) -> str:
    """A folder from the task's, which is ``tasks/NAME`` in its project, and out of the project none."""
    inside = re.sub(r"^\.\.(/\.\.)?(/|$)", "", text)
    if inside:
        _relative(inside)
    elif not text:
        raise ValueError(f"{show(text)} is not allowed; expected a folder, such as ../..")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise ValueError(f"{show(text)} is not allowed as a name; expected letters, digits, '_', '.' and '-'")
    return text


def _pattern(pattern: str) -> Any:
    """For the JSON Schema, which knows no validator."""
    return Field(json_schema_extra={"pattern": f"^{pattern}$"})


Commit = Annotated[str, AfterValidator(_commit), _pattern(COMMIT[0])]
Sha256 = Annotated[str, AfterValidator(_sha256), _pattern(SHA256)]
WheelFile = Annotated[str, AfterValidator(_wheel_file), _pattern("pypi:[^#]+#sha256=[0-9a-f]{64}")]
"""A file in a wheel on PyPI, see :mod:`osler.storage.wheels`."""
Name = Annotated[str, AfterValidator(_name)]
"""The name of a file, or a part of one."""
RelativePath = Annotated[str, AfterValidator(_relative)]
"""A path inside the folder that it is relative to. Links are refused where files are copied."""
ProjectPath = Annotated[str, AfterValidator(_to_project)]
"""A folder of the project, from the task's own."""
