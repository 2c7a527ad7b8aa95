"""A task and a recipe for a prepared dataset, made from what was found in it and from the nearest shipped recipe."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import Recipe, dump_yaml, load_recipe, read_task
from osler.storage import checkout, write_atomically

PROMPT = "{{ text }}\nDiagnosis?"


def write(folder: Path, name: str, report: Mapping[str, Any], cleaning: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``tasks/NAME/`` and ``recipes/NAME/qlora-v1.yaml`` into the prepared ``folder``; returns the recipe.

    Raises:
        InputError: no shipped recipe to start from.
    """
    labels = list(report["labels"])
    task = folder / "tasks" / name
    content = {
        "schema": 1,
        "name": name,
        "version": 1,
        "source": {
            "kind": "prepared",
            "prepared_from": report["source"],
            "folder": os.path.relpath(folder, task),
            "files": {
                split: {"name": f"{split}.jsonl", "sha256": report["files"][f"{split}.jsonl"]}
                for split in report["splits"]
            },
        },
        "splits": {
            "validation": f"{report['splits']['validation']['rows']} rows, for choosing; never trained on",
            "test": f"{report['splits']['test']['rows']} held-out rows",
        },
        "labels": labels,
        "system": "",
        "prompt": "prompt.jinja",
        "preparation": {"cleaning": [dict(step) for step in cleaning]},
        **({"license": report["license"]} if report["license"] else {}),
    }
    head = f"# A text → one of {len(labels)} diagnoses. Made by scripts/prepare_data.py: read it, mend what is wrong.\n"
    write_atomically(task / "task.yaml", head + dump_yaml(content))
    write_atomically(task / "prompt.jinja", PROMPT)
    write_atomically(task / "README.md", _readme(name, report))
    path = folder / "recipes" / name / "qlora-v1.yaml"
    write_atomically(path, _recipe(name, len(labels), path, report))
    return path


def check_name(name: str) -> None:
    """Raise :class:`InputError` where a task cannot be called so."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"--name {name}: small letters, digits and underscores, a letter first")


def next_commands(recipe: Path, folder: Path) -> str:
    """What to type next."""
    run = shlex.quote(str(folder / "runs" / recipe.stem))
    return (
        "next:\n  accelerate launch --config_file accelerate_configs/cpu.yaml"
        f" scripts/train.py {shlex.quote(str(recipe))} --output {run}\n  python scripts/evaluate.py {run}"
    )


def _nearest(n_labels: int) -> Recipe:
    """Of the shipped recipes that train on texts alone, the one whose task has the number of labels nearest to it."""
    root = checkout.ROOT
    found = []
    for path in sorted((root / "recipes").rglob("*.yaml")):
        recipe = load_recipe(path)
        task = read_task(root / "tasks" / recipe.task.name)
        if task.source.trains_on == "texts":
            found.append((abs(len(task.labels or ()) - n_labels), path, recipe))
    if not found:
        raise InputError(f"{root / 'recipes'}: no shipped recipe trains on texts; write one by hand")
    return min(found, key=lambda entry: entry[:2])[2]


def _recipe(name: str, n_labels: int, path: Path, report: Mapping[str, Any]) -> str:
    nearest = _nearest(n_labels)
    content = nearest.to_dict()
    content |= {"name": f"{name.replace('_', '-')}-qlora", "version": "1.0.0", "task": {"name": name, "version": 1}}
    content["evaluation"] |= {
        "splits": [split for split in ("test", "validation") if report["splits"][split]["rows"]],
        "baselines": ["base_model", "tfidf_svm", "tfidf_char_svm", "majority"],
    }
    content["publish"] = {"license": report["license"] or "other", "private": True}
    return (
        f"# {nearest.base.model.rpartition('/')[2]} · QLoRA (NF4) · {name}, {n_labels} diagnoses."
        f" Made from {nearest.name} by scripts/prepare_data.py.\n"
        f"#   accelerate launch --config_file accelerate_configs/cpu.yaml scripts/train.py {shlex.quote(str(path))}\n"
        "# Override any value:  … train.num_train_epochs=3 --output ANOTHER_FOLDER\n"
        "# Hardware: two CPU cores are enough for a few thousand short texts. Not run yet.\n" + dump_yaml(content)
    )


def _readme(name: str, report: Mapping[str, Any]) -> str:
    rows = {split: of["rows"] for split, of in report["splits"].items()}
    return f"""# {name}

A text → one of {len(report["labels"])} diagnoses: {rows["train"]:,} rows to train on, {rows["validation"]:,} to choose
on, {rows["test"]:,} held out. Made by `scripts/prepare_data.py` from `{report["source"]}`; what became of each is in
[data_report.html](../../data_report.html), what the dataset is in [its card](../../README.md).

{report["split_by"]}

## Known problems

*Nobody has said yet.* This is not clinical evidence.
"""
