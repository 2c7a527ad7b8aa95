"""The keys of a file, from the JSON schema of its type, as a table in Markdown."""

from __future__ import annotations

import json
import re
from typing import Any

ROLE = re.compile(r":\w+:`~?|``")  # of a docstring; in Markdown, a backtick


def schema_table(schema: dict[str, Any]) -> str:
    """Markdown: the keys of a file and what they hold; then the types that stand inside it."""
    rows = []
    for key, value in schema["properties"].items():
        rows.append(f"| `{key}` | {_shown(value)}{'' if key in schema.get('required', ()) else '; may be left out'} |")
    inside = []
    for name, kind in schema.get("$defs", {}).items():
        if keys := ", ".join(f"`{key}`" for key in kind.get("properties", ())):
            inside.append(f"* `{name}`: {' '.join(ROLE.sub('`', kind['description']).split())} Keys: {keys}.")
    return "\n".join(["| key | value |", "|---|---|", *rows, *(["", *inside] if inside else [])])


def _shown(value: dict[str, Any]) -> str:
    """A type of JSON Schema in a few words."""
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2]
    if choices := value.get("enum", [value["const"]] if "const" in value else []):
        return ", ".join(f"`{json.dumps(choice)}`" for choice in choices)
    if options := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_shown(option) for option in options)
    if value.get("type") == "array":
        return f"list of {_shown(value['items'])}" if "items" in value else "list"
    if value.get("type") == "object":
        values = value.get("additionalProperties")
        return f"mapping of names to {_shown(values)}" if isinstance(values, dict) else "mapping"
    return str(value.get("type", "anything"))
