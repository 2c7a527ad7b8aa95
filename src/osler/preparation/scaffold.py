"""Write a task and a recipe for a prepared dataset, from its data report and the most similar shipped recipe."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from osler.errors import InputError
from osler.preparation.data_report import DataReport
from osler.recipe import Recipe, dump_yaml, load_recipe, read_task
from osler.rendering import NOT_STATED, code, escaped
from osler.storage import checkout, write_atomically

PROMPT = "{{ text }}\nDiagnosis?"


def write_task_and_recipe(
    folder: Path, name: str, report: DataReport, cleaning: Sequence[Mapping[str, object]]
) -> Path:
    """Write ``tasks/NAME/`` and ``recipes/NAME/qlora-v1.yaml`` into the prepared ``folder``. Returns the recipe's path.

    Args:
        cleaning: the cleaning steps as they are written in a task file.

    Raises:
        InputError: there is no shipped recipe to start from.
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
            "validation": f"{report['splits']['validation']['rows']} rows for model selection; never trained on",
            "test": f"{report['splits']['test']['rows']} held-out rows",
        },
        "labels": labels,
        "system": "",
        "prompt": "prompt.jinja",
        "preparation": {"cleaning": [dict(step) for step in cleaning]},
        **({"license": report["license"]} if report["license"] else {}),
    }
    head = f"# A text → one of {len(labels)} diagnoses. Made by scripts/prepare_data.py: check and correct it.\n"
    write_atomically(task / "task.yaml", head + dump_yaml(content))
    write_atomically(task / "prompt.jinja", PROMPT)
    write_atomically(task / "README.md", _readme(name, report))
    path = folder / "recipes" / name / "qlora-v1.yaml"
    write_atomically(path, _recipe(name, len(labels), path, folder, report))
    return path


def find_task_name(name: str | None, output: Path) -> str:
    """``name``, or that of the folder ``output``, as the name of a task.

    Raises:
        InputError: it cannot be one.
    """
    found = (name or output.resolve().name).replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", found):
        form = "lower-case letters, digits and underscores, beginning with a letter"
        if name is None:
            raise InputError(f"--output {output}: the task is named after it; give a --name of {form}")
        raise InputError(f"--name {name}: give one of {form}")
    return found


def next_commands(recipe: Path, folder: Path) -> str:
    """The commands that train and evaluate ``recipe``."""
    run = shlex.quote(str(folder / "runs" / recipe.stem))
    return (
        "next:\n  accelerate launch --config_file accelerate_configs/cpu.yaml"
        f" scripts/train.py {shlex.quote(str(recipe))} --output {run}\n  python scripts/evaluate.py {run}"
    )


def _most_similar_recipe(n_labels: int) -> Recipe:
    """The shipped recipe that runs on any machine, trains on texts and their labels, and whose task has the number of
    labels closest to ``n_labels``."""
    root = checkout.ROOT
    candidates = []
    for path in sorted((root / "recipes").rglob("*.yaml")):
        recipe = load_recipe(path)
        task = read_task(root / "tasks" / recipe.task.name)
        if task.source.trains_on == "texts" and task.scorer is None and recipe.train.get("use_cpu"):
            candidates.append((abs(len(task.labels or ()) - n_labels), path, recipe))
    if not candidates:
        raise InputError(f"{root / 'recipes'}: no shipped recipe trains on texts; write one by hand")
    return min(candidates, key=lambda entry: entry[:2])[2]


def _recipe(name: str, n_labels: int, path: Path, folder: Path, report: DataReport) -> str:
    template = _most_similar_recipe(n_labels)
    content = template.to_dict()
    content |= {"name": f"{name.replace('_', '-')}-qlora", "version": "1.0.0", "task": {"name": name, "version": 1}}
    content["evaluation"] |= {
        "splits": [split for split in ("test", "validation") if report["splits"][split]["rows"]],
        "baselines": ["base_model", "tfidf_svm", "tfidf_char_svm", "majority"],
    }
    del content["train"]["use_cpu"]  # the machine decides
    content["publish"] = {"license": report["license"] or "other", "private": True}
    return (
        f"# {template.base.model.rpartition('/')[2]} · QLoRA (NF4) · {name}, {n_labels} diagnoses."
        f" Made from {template.name} by scripts/prepare_data.py.\n"
        f"#   accelerate launch --config_file accelerate_configs/cpu.yaml scripts/train.py {shlex.quote(str(path))}"
        f" --output {shlex.quote(str(folder / 'runs' / path.stem))}\n"
        "# Override any value:  … train.num_train_epochs=3 --output ANOTHER_FOLDER\n"
        "# Hardware: two CPU cores are enough for a few thousand short texts. Not run yet.\n" + dump_yaml(content)
    )


def _readme(name: str, report: DataReport) -> str:
    rows = {split: counts["rows"] for split, counts in report["splits"].items()}
    return f"""# {name}

A text → one of {len(report["labels"])} diagnoses: {rows["train"]:,} rows for training, {rows["validation"]:,} for
validation, {rows["test"]:,} held out for testing. Made by `scripts/prepare_data.py` from {code(report["source"])}.
[data_report.html](../../data_report.html) shows what became of every row; [the card](../../README.md) describes the
dataset.

{escaped(report["split_by"])}

## Known problems

{NOT_STATED} This is not clinical evidence.
"""
