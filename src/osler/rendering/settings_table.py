"""The tables of docs/settings.md: what becomes of every setting of TRL and PEFT in Osler."""

from __future__ import annotations

import dataclasses

from osler.recipe import installed, verdict


def settings_table(section: str) -> str:
    """A Markdown table of every key of the installed class behind a section of a recipe, with its verdict.

    Raises ``KeyError`` for a key that nobody has looked at.
    """
    rows = ["| key | verdict | what it does, or why not |", "|---|---|---|"]
    for key in sorted(f"{section}.{item.name}" for item in dataclasses.fields(installed(section))):
        found = verdict(key)
        if found is None:
            raise KeyError(f"{key}: give it a verdict in src/osler/recipe/verdicts.py")
        rows.append(f"| `{key}` | {found.kind} | {found.reason.replace('<', '&lt;')} |")
    return "\n".join(rows)
