"""Markdown that says what is meant: whatever text a label, a file or its author brings is shown, never obeyed.

Text is escaped unless it is :class:`Markdown` already, which only this module and our own templates make. Joining
pieces gives plain text again, so what is forgotten is escaped twice, not left as it came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What is markup wherever it stands; of brackets only what makes a link or a tag: [0.2, 0.4] and p < 0.05 stay as they
# are.
_INLINE = re.compile(r"[\\`*~|]|<(?=[\w/!?])|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
# What begins a heading, a quotation, a list or a definition.
_FIRST = re.compile(r"^( ?\d*)([#>=[]|[.)+-](?=[ -]|$))")
_WHITE = re.compile(r"\s+")


class Markdown(str):
    """Text in Markdown, to be taken as it is."""


def escaped(text: object) -> Markdown:
    """Any text as one line of Markdown that shows it; :class:`Markdown` as it is."""
    if isinstance(text, Markdown):
        return text
    line = _WHITE.sub(" ", str(text))
    line = _INLINE.sub(lambda match: "&lt;" if match[0] == "<" else f"\\{match[0]}", line)
    return Markdown(_FIRST.sub(r"\1\\\2", line))


def code(text: object) -> Markdown:
    """Any text as code in a line."""
    line = _WHITE.sub(" ", str(text))
    ticks = _fence(line, 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{ticks}{space}{line}{space}{ticks}")


def bold(text: object) -> Markdown:
    return Markdown(f"**{escaped(text)}**")


def fenced(text: str, language: str) -> Markdown:
    """Lines of code as a block."""
    fence = _fence(text, 3)
    return Markdown(f"{fence}{language}\n{text.rstrip()}\n{fence}")


def _fence(text: str, least: int) -> str:
    """More backticks than ``text`` has in a row."""
    return "`" * max([least, *(len(run) + 1 for run in re.findall("`+", text))])


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> Markdown:
    """A table; whatever the cells hold, it stays one."""
    head, *body = (f"| {' | '.join(map(_cell, row))} |" for row in [header, *rows])
    return Markdown("\n".join([head, "|" + "---|" * len(header), *body]))


def _cell(content: object) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", escaped(content).strip())  # in code, too, which is not escaped
