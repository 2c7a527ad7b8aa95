"""The ledger as people read it: a line an entry, and a sheet a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from osler.governance.ledger import Entry


def render_entries(entries: Iterable[Entry]) -> str:
    """For a terminal: number, time, kind, subject and who answers for it."""
    lines = []
    for entry in entries:
        by = f"  ({entry.by})" if entry.by else ""
        lines.append(f"{entry.number:4} {entry.at:%Y-%m-%d %H:%M}  {entry.kind:9} {entry.subject}{by}")
    return "\n".join(lines)


def render_sheets(entries: Iterable[Entry]) -> str:
    """Markdown: what is in use, then every model and data set by its name, the newest entry first."""
    kept = list(entries)
    in_use = next((entry for entry in reversed(kept) if entry.kind == "in use"), None)
    lines = ["# Models and data", ""]
    lines.append(
        f"In use: **{in_use.subject}**, since {in_use.at:%Y-%m-%d}, {in_use.by}." if in_use else "None in use."
    )
    for subject in dict.fromkeys(entry.subject for entry in reversed(kept) if entry.kind != "started"):
        lines += ["", f"## {subject}", ""]
        lines += [line for entry in kept if entry.subject == subject for line in _lines(entry)]
    return "\n".join(lines)


def _lines(entry: Entry) -> Iterator[str]:
    yield f"* {entry.at:%Y-%m-%d} **{entry.kind}**{f', {entry.by}' if entry.by else ''} (entry {entry.number})"
    for name, value in entry.content.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {of}" for key, of in value.items())
        yield f"    * {name}: {value}"
