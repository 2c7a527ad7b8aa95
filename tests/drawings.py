"""Small images and tables of them, and the tiny models that read images."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from families import save_tiny
from PIL import Image

LABELS = ["bright", "dark"]


def png(grey: int, side: int = 24, mode: str = "L", **settings: Any) -> bytes:
    """A grey square with a lighter corner, as a file."""
    image = Image.new("L", (side, side + 8), grey)
    image.paste(255, (0, 0, 6, 6))
    file = io.BytesIO()
    image.convert(mode).save(file, settings.pop("format", "PNG"), **settings)
    return file.getvalue()


def write_task(folder: Path, **source: Any) -> Path:
    """tasks/squares below ``folder``: a grey square → bright or dark. ``source`` updates its section."""
    task = folder / "tasks" / "squares"
    task.mkdir(parents=True, exist_ok=True)
    (task / "prompt.jinja").write_text("{{ text }}\nBright or dark?")
    content = {
        "schema": 1,
        "name": "squares",
        "version": 1,
        "source": {
            "kind": "image_text",
            "table": "squares/table.csv",
            "columns": {"image": "file", "text": "note", "label": "shade"},
            "shares": {"train": 0.6, "validation": 0.2, "test": 0.2},
            **source,
        },
        "splits": {"validation": "a fifth", "test": "a fifth"},
        "labels": LABELS,
        "prompt": "prompt.jinja",
        "license": "apache-2.0",
    }
    (task / "task.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return task


def write_table(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """data/squares/table.csv below ``folder``."""
    path = folder / "data" / "squares" / "table.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_squares(folder: Path, n: int = 40) -> Path:
    """The table with ``n`` squares of different greys and sizes, each with its file; returns the task's folder."""
    (folder / "data" / "squares").mkdir(parents=True)
    rows = []
    for number in range(n):
        (folder / "data" / "squares" / f"{number}.png").write_bytes(png(60 + 4 * number, side=24 + 8 * (number % 2)))
        label = LABELS[number < n // 2]
        rows.append({"file": f"{number}.png", "note": f"A square, number {number % 3}.", "shade": label})
    write_table(folder, rows)
    return write_task(folder)


def tiny(base: str, tokenizer_folder: str, folder: Path) -> Path:
    """The tiny model of ``recipes/<base>``."""
    return save_tiny(base, Path(tokenizer_folder), folder)
