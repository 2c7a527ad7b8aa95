#!/usr/bin/env python3
"""Try the settings of a recipe's `search:` on validation: scripts/search.py RECIPE [KEY=VALUE…]

The best of them become the recipe's next version (qlora-v1.yaml: qlora-v2.yaml), with its study (qlora-v2.study.json)
beside it. The same command goes on after a kill; `search.minutes=120` gives it more time. No test case is answered.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.errors import exit_status
from osler.recipe import load_recipe
from osler.runs import check_installed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="a YAML file under recipes/ with a section search:")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="such as search.minutes=30; also for the trials"
    )
    parser.add_argument("--output", type=Path, help="the folder of the trials (default: runs/<name>/search-<version>)")
    arguments = parser.parse_intermixed_args()  # overrides may follow options

    recipe = load_recipe(arguments.recipe, arguments.overrides)
    check_installed(recipe)
    from osler.search import search

    search(recipe, arguments.output or Path("runs") / recipe.name / f"search-{recipe.version}")
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
