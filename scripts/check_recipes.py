"""Check recipes without the base's weights, torch or a network: all of recipes/, or the named.

    scripts/check_recipes.py
    scripts/check_recipes.py recipes/smollm2-135m/rare_disease/qlora-v2.yaml train.learning_rate=1e-4

Keys, values, what goes together, pins, packages, licences. `scripts/train.py RECIPE --plan` loads the base, and also
checks the layers that lora: names, and that this machine can do what train: asks for.

Exit status: 0 all fine, 1 a recipe was changed after its results were published, 2 a recipe is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from osler.errors import InputError, exit_status, print_error
from osler.governance import licences
from osler.recipe import load_recipe
from osler.runs import check_installed
from osler.storage import read_record


def published_sha256(path: Path) -> str | None:
    """The hash of the recipe that the results in ``<recipe>.expected.json`` came from; None if there are none yet."""
    expected = path.with_name(f"{path.stem}.expected.json")
    return str(read_record(expected, "recipe_sha256")["recipe_sha256"]) if expected.exists() else None


def check_recipe(path: Path, overrides: list[str], seen: dict[str, Path]) -> int:
    """Print one line about a recipe; its exit status."""
    loaded = load_recipe(path, overrides)
    check_installed(loaded)
    title = f"{loaded.name}@{loaded.version}"
    if path != seen.setdefault(title, path):
        raise InputError(f"{path}: version: {title} is taken by {seen[title]}")
    published = None if overrides else published_sha256(path)
    if published not in (None, loaded.sha256):
        print(
            f"changed: {path}: was published with hash {published[:12]}, is {loaded.sha256[:12]}; make -v2",
            file=sys.stderr,
        )
        return 1
    of_a_run = "trained" if path.with_name("manifest.json").is_file() else "not run yet"
    state = "overridden" if overrides else "published" if published else of_a_run
    print(f"ok  {path}  {title}  {loaded.sha256[:12]}  {state}")
    for conflict in licences.conflicts(loaded, licences.task_licences(loaded)):
        print(f"    scripts/publish.py will refuse it: {conflict.removeprefix(f'{path}: ')}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = "recipes (all of recipes/ if none is named), and values to check them with, as scripts/train.py takes them"
    parser.add_argument("given", nargs="*", metavar="FILE | KEY=VALUE", help=text)
    given = parser.parse_args().given
    overrides = [argument for argument in given if "=" in argument and not os.path.exists(argument)]
    paths = [Path(argument) for argument in given if argument not in overrides] or sorted(
        Path("recipes").glob("**/*.yaml")
    )
    if not paths:
        raise InputError("recipes/: no recipe here; name a file, or start from the root of the repository")
    status, seen = 0, dict[str, Path]()
    for path in paths:
        try:
            status = max(status, check_recipe(path, overrides, seen))
        except InputError as error:
            print_error(error)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(exit_status(main))
