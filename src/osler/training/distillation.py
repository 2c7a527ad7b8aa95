"""What a recipe's ``teacher:`` says of the training cases, for a classifier to learn beside their labels.

Source: Hinton, Vinyals & Dean (2015), arXiv:1503.02531.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from tqdm import tqdm

from osler.baselines import load_baseline
from osler.data import TrainingData
from osler.errors import InputError
from osler.models import choose_device_map, load_tokenizer, load_tuned
from osler.recipe import Recipe, TeacherSection, find_tasks
from osler.runs import Run, Teacher
from osler.scoring import batches, scorer_named
from osler.statistics import Floats, log_linear
from osler.storage import plain, read_json, write_json
from osler.tasks import Case, Task, load_task

FOLDS = 5  # of the training cases: a classifier answers those of one, fitted on the others
FLOOR = 1e-6  # of a probability: a part that is wrong and too sure of itself can be outvoted
BATCH = 16  # cases that a run is asked at once
FILE = "teacher.json"  # in the run directory


def check_teacher(recipe: Recipe, task: Task) -> None:
    """Raise :class:`InputError` where ``teacher.run`` is no finished run over the labels of ``task``."""
    if recipe.teacher is None or recipe.teacher.run is None:
        return
    run, where = Run(Path(recipe.teacher.run)), f"{recipe.path}: teacher.run"
    if not run.finished:
        raise InputError(f"{where}: {run.folder} holds no finished run; train one first, over the same labels")
    of = run.recipe()
    if (
        of.task.name != task.name
        or of.task.panel != task.panel
        or set(run.read_data_report().labels) != set(task.labels)
    ):
        raise InputError(f"{where}: {run.folder} has learnt other labels than those of {task.name} {task.panel or ''}")


def targets(recipe: Recipe, run: Run, task: Task, data: TrainingData, learnt_from: str) -> list[list[float]] | None:
    """What is learnt of each row: the probabilities of the labels, in the order of ``task.labels``; None where the
    recipe has no teacher.

    The teacher is asked once, see :func:`kept`. A collective call.

    Raises:
        InputError: a classifier gives no probabilities for so few cases.
    """
    teacher = recipe.teacher
    if teacher is None:
        return None
    content = kept(run.folder / FILE, learnt_from, lambda: _taught(recipe, teacher, run, task, data.rows))
    said = np.array(content["probabilities"])
    labels = np.eye(len(task.labels))[_columns(task.labels, [row.label for row in data.rows])]
    mixed: list[list[float]] = (teacher.weight * said + (1 - teacher.weight) * labels).astype(np.float32).tolist()
    return mixed


def kept(path: Path, learnt_from: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The content of ``path``, which ``make`` gives where it is not there yet, or is of other data. A collective call:
    every process makes it, and the main one writes it."""
    state = PartialState()
    there = path.is_file() and read_json(path)["learnt_from"] == learnt_from
    state.wait_for_everyone()  # or a slow process finds what a fast one has written, and makes nothing with the others
    if not there:
        content = make()
        if state.is_main_process:
            write_json(path, {"learnt_from": learnt_from, **content})
        state.wait_for_everyone()
    found: dict[str, Any] = read_json(path)
    return found


def described(recipe: Recipe, run: Run) -> dict[str, Any] | None:
    """What the manifest says of the teacher; None where there is none."""
    if recipe.teacher is None:
        return None
    content = read_json(run.folder / FILE)
    return {key: content[key] for key in Teacher.model_fields}


def _taught(recipe: Recipe, teacher: TeacherSection, run: Run, task: Task, rows: Sequence[Case]) -> dict[str, Any]:
    """The teacher's probabilities of every label for every row, how its parts are weighed, and how good it is."""
    parts: dict[str, Floats] = {name: _cross_fitted(name, recipe, run, task, rows) for name in teacher.systems}
    if teacher.run is not None:
        of, logp = asked(Run(Path(teacher.run)), recipe, rows)
        parts[teacher.run] = logp[:, _columns(of, list(task.labels))]
    right = _columns(task.labels, [row.label for row in rows])
    logp = np.stack(list(parts.values()))
    weights = log_linear.fit(logp, right)
    mixed = log_linear.mix(logp, weights)
    weighed = dict(zip(parts, weights.round(4).tolist(), strict=True))
    content = {
        "weights": weighed,
        "accuracy": round(float((mixed.argmax(1) == right).mean()), 4),
        "log_loss": round(-float(mixed[np.arange(len(right)), right].mean()), 4),
        "run": None if teacher.run is None else plain(Run(Path(teacher.run)).ancestor()),
    }
    named = ", ".join(f"{name} × {weight:.2f}" for name, weight in weighed.items())
    if PartialState().is_main_process:
        print(f"teacher     {named}: accuracy {content['accuracy']:.3f} on the training rows", flush=True)
    return {**content, "probabilities": np.exp(mixed).round(6).tolist()}


def _cross_fitted(name: str, recipe: Recipe, run: Run, task: Task, rows: Sequence[Case]) -> Floats:
    """Log-probabilities, (rows, labels), of the classifier ``name``, fitted on the rows of other folds each time."""
    folds = log_linear.grouped_folds([row.unit for row in rows], FOLDS)
    logp = np.zeros((len(rows), len(task.labels)))
    for fold in np.unique(folds):
        baseline = load_baseline(name, task, run, recipe.seed, recipe.data)
        asked = [row for row, of in zip(rows, folds, strict=True) if of == fold]
        others = [row for row, of in zip(rows, folds, strict=True) if of != fold]
        baseline.fit(lambda others=others: others)  # type: ignore[misc]
        rankings = baseline.rank(asked, "training")
        logp[folds == fold] = _table(name, recipe, task.labels, ((one.labels, one.probabilities) for one in rankings))
    return logp


def asked(run: Run, recipe: Recipe, rows: Sequence[Case]) -> tuple[list[str], Floats]:
    """What the model of a finished ``run`` says of ``rows``, on the device of ``recipe``: its labels, and their
    log-probabilities, (rows, labels)."""
    of, device_map = run.recipe(), choose_device_map(recipe)
    task = load_task(find_tasks(of.path) / of.task.name, of.task.panel)
    model = load_tuned(of.base, run.adapter_path, device_map).eval()
    scorer = scorer_named(of.evaluation.scorer, model, load_tokenizer(of.base), task)
    prompts = [scorer.encode(row) for row in rows]
    answers: dict[int, Any] = {}
    with tqdm(
        total=len(rows), desc=f"{run.folder} answers", unit=" cases", disable=not PartialState().is_main_process
    ) as bar:
        for batch in batches(prompts, BATCH):
            given = scorer.answer([prompts[i] for i in batch], [rows[i] for i in batch])
            answers |= dict(zip(batch, given, strict=True))
            bar.update(len(batch))
    ordered = [answers[i] for i in range(len(rows))]
    said = ((one.ranked, one.probabilities) for one in ordered)
    return list(task.labels), _table(str(run.folder), recipe, task.labels, said)


def _table(
    name: str,
    recipe: Recipe,
    labels: Mapping[str, str],
    answers: Iterable[tuple[Sequence[str], Sequence[float] | None]],
) -> Floats:
    """Log-probabilities, (answers, labels); a label that is not ranked has the mean of those that are: no opinion."""
    table = []
    for ranked, probabilities in answers:
        if probabilities is None:
            raise InputError(
                f"{recipe.path}: teacher: {name} gives no probabilities: too few training cases; leave it out"
            )
        own = np.log(np.maximum(probabilities, FLOOR))
        line = np.full(len(labels), own.mean())
        line[_columns(labels, ranked)] = own
        table.append(line)
    return np.array(table)


def _columns(labels: Iterable[str], named: Sequence[str]) -> np.ndarray:
    """The places of the ``named`` labels among ``labels``, in the order in which the head has them."""
    place = {label: index for index, label in enumerate(labels)}
    return np.array([place[name] for name in named])
