#!/usr/bin/env python3
"""What each augmentation is worth: a recipe trained with and without it, several seeds, on the same held-out cases.

python benchmarks/augmentation.py RECIPE --output runs/ablation --augment synonyms=0.5 dropout=0.25,copies=2 …
       [--seeds 0 1 2] [--systems tfidf_svm tuned] [--splits test …] [KEY=VALUE…]

Each --augment is one line of the table: keys of the recipe's `augment:` and their values. `tuned` is the recipe's
model, trained by scripts/train.py; the classifiers take seconds. What is in --output already is not done again.

A difference is accuracy with the augmentation minus without, on the same cases and with the same seeds, with its 95%
interval over cases and seeds. Intervals are not adjusted for the number of lines.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from osler.baselines import load_baseline
from osler.data import load_training_rows
from osler.errors import InputError, exit_status
from osler.recipe import Recipe, find_tasks, load_recipe
from osler.runs import Prediction, Run, read_predictions, tuned_name, write_predictions
from osler.statistics import Resamples, intervals, number_groups, resample_counts
from osler.tasks import Task, load_task

ROOT = Path(__file__).resolve().parents[1]
NONE = "none"
CLASSIFIERS = ("tfidf_svm", "tfidf_char_svm")
TUNED = "tuned"


@dataclass(frozen=True)
class Trained:
    """One line of the table with one seed: its recipe, how to get it from the file again, and where its run is."""

    recipe: Recipe
    overrides: tuple[str, ...]
    run: Run

    def prediction_path(self, system: str, split: str) -> Path:
        """The prediction file of a system for a split."""
        name = tuned_name(self.recipe) if system == TUNED else system
        return self.run.prediction_path(self.recipe.task.name, split, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of the recipe, for all lines")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--augment", nargs="+", required=True, metavar="NAME=STRENGTH[,KEY=VALUE…]")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", choices=[*CLASSIFIERS, TUNED], default=["tfidf_svm"])
    parser.add_argument("--splits", nargs="+", help="default: the first that the recipe evaluates")
    arguments = parser.parse_intermixed_args()

    def trained(line: str, seed: int) -> Trained:
        augment = "null" if line == NONE else "{" + line.replace("=", ": ").replace(",", ", ") + "}"
        systems = "evaluation.baselines=[majority]"  # the classifiers answer here
        overrides = (*arguments.overrides, f"augment={augment}", f"train.seed={seed}", systems)
        folder = arguments.output / re.sub(r"[^\w.,=-]", "_", line) / f"seed-{seed}"
        return Trained(load_recipe(arguments.recipe, overrides), overrides, Run(folder))

    lines = {line: [trained(line, seed) for seed in arguments.seeds] for line in [NONE, *arguments.augment]}
    recipe = lines[NONE][0].recipe
    splits = arguments.splits or recipe.evaluation.splits[:1]
    for split in splits:
        if split not in recipe.evaluation.splits:
            raise InputError(f"--splits {split}: the recipe evaluates {', '.join(recipe.evaluation.splits)}")
    chosen = load_task(find_tasks(arguments.recipe) / recipe.task.name, recipe.task.panel)
    for runs in lines.values():
        for one in runs:
            answer(one, chosen, arguments.recipe, arguments.systems, splits)
    print(table(lines, arguments.systems, splits, recipe.evaluation.resamples))
    return 0


def answer(one: Trained, chosen: Task, recipe: Path, systems: Sequence[str], splits: Sequence[str]) -> None:
    """Write the predictions that are not there yet."""
    one.run.open(one.recipe)  # refuses a folder that holds something else
    missing = {
        system: [split for split in splits if not one.prediction_path(system, split).is_file()] for system in systems
    }
    if missing.pop(TUNED, None):
        scripts = ROOT / "scripts"
        run([scripts / "train.py", recipe, *one.overrides, "--output", one.run.folder])
        run([scripts / "evaluate.py", one.run.folder, *(word for split in splits for word in ("--split", split))])
    if any(missing.values()):
        training_cases = load_training_rows(one.recipe, chosen).rows
        for system, lacking in missing.items():
            baseline = load_baseline(system, chosen, one.run, one.recipe.seed, one.recipe.data)
            baseline.fit(lambda: training_cases)
            for split in lacking:
                write_predictions(
                    one.prediction_path(system, split), baseline.predict(chosen.source.split(split), split)
                )
        print(f"{one.run.folder}: {', '.join(missing)} trained on {len(training_cases):,} cases", flush=True)


def run(command: Sequence[object]) -> None:
    """Run one of the scripts. Raises :class:`InputError` where it fails: it has said why."""
    if subprocess.run([sys.executable, *map(str, command)], cwd=Path.cwd()).returncode:
        raise InputError(f"{Path(str(command[0])).name} failed; what is done so far is kept")


def table(lines: dict[str, list[Trained]], systems: Sequence[str], splits: Sequence[str], resamples: int) -> str:
    """One Markdown table for each split."""
    text = []
    for split in splits:
        text += ["", f"**{split}**", "", "| system | augmentation | accuracy | difference [95%] |", "|---|---|---|---|"]
        for system in systems:
            answers = {
                line: [read_predictions(one.prediction_path(system, split)) for one in lines[line]] for line in lines
            }
            for line, augmented in answers.items():
                accuracy = np.mean([[row.correct for row in rows] for rows in augmented])
                found = (
                    "" if line == NONE else "{:+.3f} [{}, {}]".format(*difference(augmented, answers[NONE], resamples))
                )
                text.append(f"| {system} | {line} | {accuracy:.3f} | {found} |")
    return "\n".join(text[1:])


def difference(
    augmented: Sequence[Sequence[Prediction]], plain: Sequence[Sequence[Prediction]], resamples: int
) -> tuple[float, str, str]:
    """The mean difference in accuracy of runs with the same seeds and its interval, "–" where cases come in too few
    groups for one. Raises :class:`InputError` where the cases are not the same."""
    cases = {row.case_id: row.group for row in sorted(plain[0], key=lambda row: row.case_id)}

    def correct(runs: Sequence[Sequence[Prediction]]) -> np.ndarray:
        if any({row.case_id for row in rows} != cases.keys() for rows in runs):
            raise InputError("the runs answered different cases; name another --output and start again")
        return np.array([[{r.case_id: r.correct for r in rows}[case] for case in cases] for rows in runs], dtype=float)

    groups = number_groups(cases)
    drawn = Resamples.draw(len(cases), resamples, 0, groups)
    seeds = resample_counts(len(plain), resamples, 1)
    units = None if groups is None else drawn.units
    change, low, high = intervals.paired_difference_over_runs(
        correct(augmented), correct(plain), drawn.counts, seeds, units
    )
    return change, *(("–", "–") if drawn.too_few else (f"{low:+.3f}", f"{high:+.3f}"))


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
