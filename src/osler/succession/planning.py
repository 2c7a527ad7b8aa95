"""A successor before its training: its task, its recipe, and what is asked of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import TEXT_BASELINES, Recipe, dump_yaml, find_tasks, read_task
from osler.runs import Run, check_trained, tuned_name
from osler.storage import read_model, sha256_file, write_atomically, write_model
from osler.succession.additions import Division, Settled, divide, named
from osler.succession.decision import Contestant, Plan, Rules
from osler.succession.gate import NEW, TEST
from osler.tasks import Case, load_task

PLAN = "plan.json"
VALIDATION = "validation"


def plan_successor(run: Run, settled: Iterable[Settled], output: Path, rules: Rules) -> Plan:
    """Write ``output``: the successor's task with its data, its recipe, and last ``plan.json``.

    Everything that the champion learnt from is learnt again beside what is new: what is not repeated is forgotten.

    Raises:
        InputError: the run is not finished or not evaluated, its cases are no texts with labels, its data is not on
            this machine, nothing was settled that can be used, or there is something in ``output``.
    """
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: is not empty and holds no {PLAN}; name another folder")
    recipe = run.recipe()
    champion = contestant(run, recipe)
    tasks = find_tasks(run.folder)
    file = read_task(tasks / recipe.task.name)
    if recipe.stage or recipe.head == "reranker" or file.scorer or file.source.has_images:
        raise InputError(f"{run.folder}: only a model that gives a text one of its labels can have a successor")
    task = load_task(tasks / recipe.task.name, recipe.task.panel)
    tested = tested_split(run, recipe)
    from osler.data import load_training_rows

    old: dict[str, Sequence[Case]] = {"train": load_training_rows(recipe, task).rows, TEST: task.source.split(tested)}
    if VALIDATION in task.splits:
        old[VALIDATION] = task.source.split(VALIDATION)
    for split, cases in old.items():
        if not cases:
            raise InputError(f"{run.folder}: its {split} cases are not on this machine (tasks/{task.name}/README.md)")
    labels = run.read_panel().labels
    division = divide(
        {split: [named(case, labels) for case in cases] for split, cases in old.items()},
        settled,
        recipe.task.name,
        labels,
    )
    names = list(dict.fromkeys([*labels.values(), *(case.label for rows in division.splits.values() for case in rows)]))
    folder = output / "tasks" / recipe.task.name
    _write_task(tasks / recipe.task.name, folder, recipe, names, division, output)
    version = f"{int(recipe.version.split('.')[0]) + 1}.0.0"
    base, why = _start(run, recipe, labels, names)
    write_atomically(recipe_path(output), _recipe(recipe, version, file.version + 1, run, base, why))
    plan = Plan(
        schema=1,
        champion=champion,
        task=recipe.task.name,
        task_version=file.version + 1,
        rules=Rules(**rules.model_dump()),  # all of them are written, also those that were left at their defaults
        start="base" if base is None else "last run",
        start_reason=why,
        rows={split: len(rows) for split, rows in division.splits.items()},
        added=division.added,
        left_out=division.left_out,
        data_sha256={split: sha256_file(_data_path(output, split)) for split in division.splits},
        cases_sha256={split: {case.case_id: case.sha256 for case in division.splits[split]} for split in (TEST, NEW)},
        planned_at=datetime.now(timezone.utc),
    )
    write_model(output / PLAN, plan)
    return plan


def noted(plan: Plan, store: str) -> dict[str, Any]:
    """What the ledger says of the successor's data; ``store`` is the id of where the new cases are from."""
    names = {"rows", "added", "left_out", "data_sha256"}
    champion = f"{plan.champion.name}@{plan.champion.version}"
    return plan.model_dump(include=names) | {"store": store, "champion": champion}


def render(plan: Plan) -> str:
    """What is planned, for a terminal."""
    champion, asked = plan.champion, plan.rules
    lines = [f"successor of {champion.name}@{champion.version}: {plan.task}, version {plan.task_version}"]
    lines.append(f"  starts from the {plan.start}: {plan.start_reason}")
    for split, n in plan.rows.items():
        what = {"train": "learnt", TEST: "the champion's test, unchanged", NEW: "new cases to be judged on"}
        new = f", {plan.added[split]:,} of them new" if split in plan.added and split != NEW else ""
        lines.append(f"  {split:11}{n:6,} {what.get(split, 'to select and calibrate with')}{new}")
    lines += [f"  {'left out':11}{n:6,} settled cases: {reason}" for reason, n in plan.left_out.items()]
    lines.append(
        f"  asked: accuracy at most {asked.margin:g} below the champion's on {TEST}, {asked.new_margin:g} on {NEW}; no"
        " subgroup or label lost; calibrated"
    )
    return "\n".join(lines)


def commands(output: Path, run: Run) -> str:
    """What trains and evaluates the successor elsewhere."""
    recipe, folder = shlex.quote(str(recipe_path(output))), shlex.quote(str(run.folder))
    return (
        f"next:\n  accelerate launch scripts/train.py {recipe} --output {folder}\n"
        f"  accelerate launch scripts/evaluate.py {folder}\nthen the same command again, without --plan"
    )


def read_plan(output: Path) -> Plan | None:
    """The plan in ``output``; None where there is none."""
    path = output / PLAN
    return read_model(path, Plan) if path.is_file() else None


def recipe_path(output: Path) -> Path:
    """Where the successor's recipe is."""
    return output / "recipe.yaml"


def tested_split(run: Run, recipe: Recipe) -> str:
    """The first split that the run was evaluated on and not selected by. Raises :class:`InputError` where there is
    none."""
    tested = next((split for split in recipe.evaluation.splits if split != VALIDATION), None)
    if tested is None:
        raise InputError(f"{run.folder}: it was evaluated on {VALIDATION} alone: there is no test to keep")
    return tested


def contestant(run: Run, recipe: Recipe) -> Contestant:
    """A trained run by its hashes. Raises :class:`InputError` where it is not what it was trained as."""
    manifest = check_trained(run, recipe)
    return Contestant(
        name=recipe.name,
        version=recipe.version,
        run=os.path.relpath(run.folder),
        weights_sha256=manifest.adapter_sha256,
    )


def _write_task(
    old: Path, folder: Path, recipe: Recipe, labels: Sequence[str], division: Division, output: Path
) -> None:
    file = read_task(old)
    entries = {}
    for split, rows in division.splits.items():
        path = _data_path(output, split)
        write_atomically(path, "".join(f"{json.dumps(_row(case), ensure_ascii=False)}\n" for case in rows))
        entries[split] = {"name": path.name, "sha256": sha256_file(path)}
    n = {split: len(rows) for split, rows in division.splits.items()}
    content = {
        "schema": 1,
        "name": file.name,
        "version": file.version + 1,
        "source": {
            "kind": "prepared",
            "prepared_from": f"{file.name} {file.version} and verdicts of experts",
            "folder": os.path.relpath(output / "data", folder),
            "files": entries,
        },
        "splits": {
            TEST: f"the {n[TEST]:,} test cases of version {file.version}, unchanged",
            NEW: f"{n[NEW]:,} cases that experts settled, never trained on",
            VALIDATION: f"{n[VALIDATION]:,} cases for model selection, never trained on",
        },
        "labels": list(labels),
        **({"system": file.system} if file.system is not None else {}),
        "prompt": file.prompt,
        **({"license": file.license} if file.license else {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(old / file.prompt, folder / file.prompt)
    head = f"# Version {file.version} of this task with what experts settled since. Made by scripts/update.py.\n"
    write_atomically(folder / "task.yaml", head + dump_yaml(content))
    write_atomically(
        folder / "README.md",
        f"# {file.name}, version {file.version + 1}\n\nVersion {file.version} with what experts settled since; made by"
        f" `scripts/update.py` for the successor of {tuned_name(recipe)}. `plan.json` counts its cases.\n",
    )


def _data_path(output: Path, split: str) -> Path:
    return output / "data" / f"{split}.jsonl"


def _row(case: Case) -> dict[str, object]:
    return {
        "case_id": case.case_id,
        "text": case.text,
        "label": case.label,
        "subgroups": dict(case.subgroups),
        "group": case.group,
    }


def _start(run: Run, recipe: Recipe, labels: Mapping[str, str], names: Sequence[str]) -> tuple[Path | None, str]:
    """The champion's whole model, to go on from, or None for its base; and why. ``labels``: the champion's, id to name;
    ``names``: the successor's. Raises :class:`InputError` where a merged model is of other weights."""
    folder = run.adapter_path if recipe.lora is None else run.merged_path
    if not folder.is_dir():
        return None, f"{folder} is not there (scripts/evaluate.py {run.folder} --merged makes it)"
    run.weights(recipe)
    if recipe.head is not None:
        from osler.models import labels_of

        outputs = [labels.get(label, label) for label in labels_of(folder) or ()]
        if outputs != list(names):
            new = [name for name in names if name not in outputs]
            return None, f"the last run's head is of other labels (new: {', '.join(new[:3]) or 'none'})"
    return (
        folder,
        "its merged model is there, and the labels are the same; all old rows are learnt again beside the new",
    )


def _recipe(recipe: Recipe, version: str, task_version: int, run: Run, base: Path | None, why: str) -> str:
    content = recipe.to_dict()
    # The rows stand in files now: nothing is told in other words, mixed in, or asked of a teacher again.
    for section in ("data", "augment", "mixture", "teacher", "preferences", "search", "allow_overlap"):
        content.pop(section, None)
    content |= {"version": version, "task": {"name": recipe.task.name, "version": task_version}}
    if base is not None:
        # Rounded to 4 bits again, it would be another model (osler.models.merging).
        content["base"] |= {"model": str(base.resolve()), "revision": None, "weights": None, "quantization": None}
    baselines = [name for name in recipe.evaluation.baselines if name in ("majority", *TEXT_BASELINES)]
    content["evaluation"] |= {"splits": [TEST, NEW, VALIDATION], "baselines": baselines, "fused": False}
    head = (
        f"# The successor of {tuned_name(recipe)} ({run.folder.name}), with what experts settled since. Not run yet.\n"
        f"# It starts from the {'base' if base is None else 'last run'}: {why}.\n"
    )
    return head + dump_yaml(content)
