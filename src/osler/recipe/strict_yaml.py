"""YAML read strictly, and written so that it reads back to the same.

On PyYAML's parser, by hand: ruamel.yaml knows YAML 1.2, too, but aliases, tags, dates and keys that are no text would
have to be refused by hand there as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from osler.errors import InputError, one_line, show

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
    except (ValueError, OverflowError):  # PyYAML makes characters of escapes without a look at their range
        escapes = re.finditer(r"\\U([0-9A-Fa-f]{8})", text)
        escape = next((match for match in escapes if int(match[1], 16) > 0x10FFFF), None)
        if escape is None:
            raise InputError(f"{where}: a number in it has too many digits") from None
        line = text.count("\n", 0, escape.start()) + 1
        raise InputError(f"{where}: line {line}: {escape[0]} is no character") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None


def _plain(node: yaml.Node, seen: set[int]) -> Any:
    def wrong(text: str, at: yaml.Node) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=text, problem_mark=at.start_mark)

    if isinstance(node, yaml.ScalarNode) and re.search(r"[\ud800-\udfff]", node.value):
        raise wrong("the text holds half a character, which no file can hold", node)
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
            _plain(key, seen)
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
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name a YAML file in it") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    document = parse_yaml(text, str(path))
    if document is None:
        raise InputError(f"{path}: the file is empty")
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a mapping of keys, found {show(document)}")
    return document
