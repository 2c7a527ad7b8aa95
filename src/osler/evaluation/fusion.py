"""The system ``fused``: what a run's classifiers, rankers and tuned model say, mixed. Needs no model and no torch.

log p = Σ wᵢ · log pᵢ + constant (:mod:`osler.statistics.log_linear`), over all labels that a part ranks anywhere. The
weights are fitted on ``validation`` for all splits, also those of unseen wording: one system answers them all, and one
that was fitted on the wording it is tested in would not have found it unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from osler.evaluation.answers import Answers, Splits, check_same_cases, read_splits
from osler.recipe import FUSED, FUSIBLE, Recipe
from osler.runs import FittedOn, Fusion, Prediction, Run, tuned_name, write_predictions
from osler.statistics import Floats, log_linear

VALIDATION = "validation"  # the split that weights, temperatures and thresholds are chosen on
FOLDS = 5  # of its groups: a case is answered with weights that others were fitted on
# The least probability that a part has a say with: one that is wrong and too sure of itself (naive Bayes gives 1e-30)
# can be outvoted.
FLOOR = 1e-6
DECIMALS = 4  # of a weight: the weights in results.json are the ones used, and the same on every machine


@dataclass(frozen=True)
class Fused:
    """What came of fusing: ``answers`` by split, each in the order of the tuned model's file."""

    fusion: Fusion
    answers: dict[str, list[Prediction]]


def fuse(splits: Splits, tuned: str) -> Fused | None:
    """Mix the answers of ``tuned`` and of the systems of ``FUSIBLE`` among ``splits``, which are of one task.

    A part is what gives probabilities for every answer in every split; others are ``left_out``. A label that a part
    never ranks (a classifier that had no case of it) has the mean log-probability of those it ranks: no opinion. A part
    that ranks other labels from case to case, as of thousands of diseases, has none left for the others: they have the
    least of those it ranks. A label that no part ranks in a case is no answer to it.
    A case of validation whose label no part ranks tells nothing of the weights, and plays no part in them. None where
    there is no ``validation``, or where ``tuned`` and one more are not parts. Raises :class:`~osler.errors.InputError`
    where the systems answered other cases.
    """
    tasks = {task for task, _ in splits}
    assert len(tasks) == 1, f"one task is fused, not {sorted(tasks)}"
    by_split = {split: systems for (_, split), systems in splits.items()}
    for systems in by_split.values():
        check_same_cases(systems)
    candidates = [name for name in (tuned, *FUSIBLE) if any(name in systems for systems in by_split.values())]
    parts = [name for name in candidates if all(_probable(systems.get(name)) for systems in by_split.values())]
    if VALIDATION not in by_split or tuned not in parts or len(parts) < 2:
        return None
    labels = sorted(
        {label for systems in by_split.values() for part in parts for row in systems[part].rows for label in row.ranked}
    )
    tables = {split: _tables([systems[part] for part in parts], labels) for split, systems in by_split.items()}
    logp = {split: table for split, (table, _) in tables.items()}
    rows = by_split[VALIDATION][parts[0]].rows
    column = {label: position for position, label in enumerate(labels)}
    targets = np.array([column.get(row.label, -1) for row in rows])
    units = [row.group or row.case_id for row in rows]

    def fitted(cases: np.ndarray) -> Floats:
        among = np.flatnonzero(cases & (targets >= 0))
        return log_linear.fit(logp[VALIDATION][:, among], targets[among]).round(DECIMALS)

    weights = fitted(np.full(len(rows), True))
    mixed = {split: log_linear.mix(of_split, weights) for split, of_split in logp.items()}
    folds = log_linear.grouped_folds(units, FOLDS)
    for fold in np.unique(folds):
        own = folds == fold
        mixed[VALIDATION][own] = log_linear.mix(logp[VALIDATION][:, own], fitted(~own))
    fusion = Fusion(
        weights=dict(zip(parts, weights.tolist(), strict=True)),
        floor=FLOOR,
        fitted_on=FittedOn(split=VALIDATION, n=len(rows)),
        groups=len(set(units)),
        left_out=tuple(name for name in candidates if name not in parts),
    )
    return Fused(
        fusion,
        {
            split: _answers(systems[parts[0]], labels, mixed[split], tables[split][1])
            for split, systems in by_split.items()
        },
    )


def fuse_files(files: Sequence[Path], tuned: str) -> Fused | None:
    """:func:`fuse` of the answers in prediction files."""
    return fuse(read_splits(files), tuned)


def write(
    run: Run, recipe: Recipe, files: Sequence[Path], limit: int | None = None
) -> tuple[Fusion | None, list[Path]]:
    """Fuse the answers in ``files``, prediction files of ``run``; returns what came of it and the new files.

    They are written anew every time, which takes no time: they are never of other answers than there are. Where nothing
    can be fused, it is said why.
    """
    fused = fuse_files(files, tuned_name(recipe))
    if fused is None:
        print(
            f"{FUSED}: left out: needs {VALIDATION} among the splits, and probabilities of the model and one baseline"
        )
        return None, []
    for name in fused.fusion.left_out:
        print(f"{FUSED}: without {name}, which gives no probabilities; are its files old? delete them, evaluate again")
    paths = {split: run.prediction_path(recipe.task.name, split, FUSED, limit) for split in fused.answers}
    for split, path in paths.items():
        write_predictions(path, fused.answers[split])
    return fused.fusion, list(paths.values())


def _probable(answers: Answers | None) -> bool:
    """Whether a system gives probabilities for all of a split."""
    return answers is not None and all(row.parsed and row.probabilities is not None for row in answers.rows)


def _tables(parts: Sequence[Answers], labels: Sequence[str]) -> tuple[Floats, np.ndarray]:
    """Log-probabilities, (parts, cases, labels), from log ``FLOOR`` upwards; and which labels some part ranks, (cases,
    labels)."""
    column = {label: position for position, label in enumerate(labels)}
    logp = np.full((len(parts), len(parts[0].rows), len(labels)), np.log(FLOOR))
    places = [[[column[label] for label in row.ranked] for row in answers.rows] for answers in parts]
    ranked = np.zeros(logp.shape[1:], dtype=bool)
    for of_part in places:
        for case, of_case in enumerate(of_part):
            ranked[case, of_case] = True
    for part, answers in enumerate(parts):
        closed = len({frozenset(of_case) for of_case in places[part]}) == 1
        for case, row in enumerate(answers.rows):
            own = np.log(np.maximum(np.array(row.probabilities), FLOOR))
            logp[part, case, ranked[case]] = own.mean() if closed else own.min()
            logp[part, case, places[part][case]] = own
    return logp, ranked


def _answers(tuned: Answers, labels: Sequence[str], mixed: Floats, ranked: np.ndarray) -> list[Prediction]:
    """The answers with log-probabilities ``mixed`` (cases, labels) to the cases of ``tuned``, of the labels that are
    ``ranked`` (cases, labels); ties by label."""
    answers = []
    for row, logp, among in zip(tuned.rows, mixed, ranked, strict=True):
        order = np.flatnonzero(among)[np.argsort(-logp[among], kind="stable")]
        p = np.exp(logp[order])
        answers.append(
            Prediction(
                case_id=row.case_id,
                task=row.task,
                split=row.split,
                system=FUSED,
                label=row.label,
                ranked=tuple(labels[i] for i in order),
                probabilities=tuple((p if among.all() else p / p.sum()).tolist()),
                subgroups=row.subgroups,
                group=row.group,
                case_sha256=row.case_sha256,
            )
        )
    return sorted(answers, key=lambda answer: tuned.lines[answer.case_id])


def parts_of(fusion: Fusion | None, systems: Mapping[str, object]) -> list[str]:
    """The parts of ``fused``, where it is among ``systems``."""
    return list(fusion.weights) if fusion is not None and FUSED in systems else []
