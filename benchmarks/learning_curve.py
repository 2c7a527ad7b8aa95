#!/usr/bin/env python3
"""Learning curves: a recipe trained on fewer patients, or told of them less often, beside classifiers on the same rows.

python benchmarks/learning_curve.py RECIPE [--shares 0.25 0.5 1] [--tellings 1 2 4] [--run RUN] [--output DIR]

Every point is a run of its own, by scripts/train.py with `data.share` or `data.tellings` and scripts/evaluate.py, on
validation splits alone. So the rate of every run is decayed to its end, which is what one gets for that budget;
checkpoints within one run, whose rate was meant to go on, are no points. What is in --output already is not done again.

Beside the recipe it writes `<recipe>.learning-curve.json` and its plot, `.svg`, and shows both in recipes/README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from osler.errors import InputError, exit_status
from osler.recipe import TEXT_BASELINES, Recipe, load_recipe
from osler.runs import Run
from osler.storage import write_atomically, write_model

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.25, 0.5, 1.0], help="with the recipe's tellings")
    parser.add_argument("--tellings", nargs="+", type=int, default=[1, 2, 4], help="with the recipe's share")
    parser.add_argument(
        "--baselines", nargs="+", default=[*TEXT_BASELINES], metavar="NAME", help="default: %(default)s"
    )
    parser.add_argument(
        "--run", type=Path, help="an evaluated run of the recipe as it stands, which is not trained once more"
    )
    parser.add_argument("--output", type=Path, help="folder of the runs (default: runs/learning-curve/<name>)")
    arguments = parser.parse_args()

    from osler.reproduction import learning_curve, readme_tables  # imports metrics, as --help need not

    recipe = load_recipe(arguments.recipe)
    if int(recipe.train.get("max_steps", -1)) > 0:
        raise InputError(f"{recipe.path}: train.max_steps makes every budget the same; write train.num_train_epochs")
    if not {*arguments.baselines} & {*learning_curve.CLASSIFIERS}:
        raise InputError(f"--baselines: none to compare with; expected one of {', '.join(learning_curve.CLASSIFIERS)}")
    output = arguments.output or Path("runs") / "learning-curve" / recipe.name
    asked = {"splits": learning_curve.SPLITS, "baselines": arguments.baselines}
    evaluation = [f"evaluation.{key}=[{', '.join(names)}]" for key, names in asked.items()]
    planned = plan(recipe, arguments.shares, arguments.tellings, evaluation)
    runs = {folder: Run(output / folder) for folder in planned}
    if arguments.run:
        own = Run(arguments.run)
        own.check(recipe)
        (point,) = learning_curve.measure(recipe, [own]).points  # refuses what is no point
        runs[place(point.share, point.tellings)] = own
        planned.pop(place(point.share, point.tellings), None)
    for folder, overrides in planned.items():  # what is wrong is said before the first is trained
        runs[folder].check(load_recipe(arguments.recipe, overrides))
    for number, (folder, overrides) in enumerate(planned.items(), 1):
        print(f"{number} of {len(planned)}: {output / folder}", flush=True)
        run([ROOT / "scripts" / "train.py", arguments.recipe, *overrides, "--output", output / folder])
        run([ROOT / "scripts" / "evaluate.py", output / folder])
    curve = learning_curve.measure(recipe, [*runs.values()])
    path = learning_curve.curve_path(arguments.recipe)
    write_model(path, curve)
    write_atomically(path.with_suffix(".svg"), learning_curve.plot(curve))
    if path.resolve().is_relative_to(ROOT):
        for page, text in readme_tables.pages(ROOT).items():
            write_atomically(page, text)
    print(f"{readme_tables.curve_table(curve)}\n\n{path}")
    return 0


def plan(
    recipe: Recipe, shares: Sequence[float], tellings: Sequence[int], evaluation: Sequence[str]
) -> dict[str, list[str]]:
    """Folder → overrides of each run, the cheapest first. Raises :class:`InputError` for a task without shares."""
    whole = load_recipe(recipe.path, ["data.share=1"]).data  # refuses a task that has none
    assert whole is not None
    assert recipe.data is not None
    points = {(share, recipe.data.tellings) for share in shares} | {(recipe.data.share, times) for times in tellings}
    return {
        place(share, times): [f"data.share={share}", f"data.tellings={times}", *evaluation]
        for share, times in sorted(points, key=lambda point: (point[0] * point[1], point))
    }


def place(share: float, tellings: int) -> str:
    """The folder of a point."""
    return f"share-{float(share)!r}-tellings-{tellings}"


def run(command: Sequence[object]) -> None:
    """Run one of the scripts. Raises :class:`InputError` where it fails: it has said why."""
    if subprocess.run([sys.executable, *map(str, command)]).returncode:
        raise InputError(f"{Path(str(command[0])).name} failed; what is done so far is kept")


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
