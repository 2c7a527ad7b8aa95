"""Try what strangers' models, files and machines do to the numbers, and write docs/robustness.md: make robustness.

What a script cannot try here is in the tests. ``../shared/cases`` has to be there; all takes some ten minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import architectures
import fuzzing
import kill_points
import own_numbers
import patterns
import public_cases
from conftest import save_tiny_base
from finished import make_run
from project import ROOT
from tqdm import tqdm

from osler.models.loading import load_tokenizer
from osler.rendering import code, markdown_table
from osler.runs.environment import describe_environment

PAGE = ROOT / "docs" / "robustness.md"
MUTATIONS, USES = 1000, 40  # of each type of file; the scripts' work is done with these many of them
SLOWEST = 20  # patterns that are listed


def main() -> int:
    if not public_cases.CASES.is_dir():
        print(f"error: {public_cases.CASES} is not here", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    packages = describe_environment().packages
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "trl", "peft"))
    parts = [section() for section in (numbers, files, kills, expressions, situations)]
    PAGE.write_text("\n\n".join([HEAD.format(versions=versions), *parts]) + "\n", encoding="utf-8")
    print(PAGE)
    return 0


HEAD = """# Robustness

What strangers' models, files and machines do to Osler's numbers. Made by `make robustness`, with {versions};
a short form of each table is in `make test`. A row is right, or refused with words; none is wrong without a word."""


def numbers() -> str:
    """Every architecture, scored and trained on."""
    rows, ways = [], Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = load_tokenizer(save_tiny_base(folder / "base"))
        for architecture in tqdm(architectures.ARCHITECTURES, desc="architectures"):
            score = own_numbers.score_difference(architecture)
            losses = [own_numbers.loss_difference(architecture, loss, folder, tokenizer) for loss in own_numbers.LOSSES]
            ways[score.how] += 1
            rows.append([code(architecture), score.how, *(_off(one.off) for one in (score, *losses))])
    head = ["architecture", "labels are scored", "largest |Δp|", "loss: completion, off by", "loss: label_trie, off by"]
    missing = ", ".join(f"`{name}` ({why})" for name, why in architectures.NOT_BUILT.items())
    return f"""## Scores and losses are the model's own

Tiny random models of all {len(rows)} architectures that `AutoModelForCausalLM` can build here, in float32. Each label's
probability, and the loss of a batch, beside those of one call of the model for each label or row, alone.
{ways["shared"]} score all labels in one shared pass, {ways["plain"]} each label in a pass of its own (slower),
{ways["refused"]} are refused. `completion` is TRL's own loss, refused for what it computes wrongly.
Not built: {missing}.

{markdown_table(head, rows)}"""


def files() -> str:
    """Every type of file, with something wrong in it."""
    with tempfile.TemporaryDirectory() as name:
        make_run(Path(name))
        os.environ["OSLER_DATA_DIR"] = str(Path(name) / "data")
        made = fuzzing.rows(Path(name), MUTATIONS, USES)
        del os.environ["OSLER_DATA_DIR"]
    rows = [[code(row.file), str(row.mutations), str(row.refused), str(row.tracebacks), str(row.hangs)] for row in made]
    return f"""## Files that are wrong somewhere inside

A value exchanged for one of another kind, left out, added or wrapped; the text cut off or broken. Each file is read,
and up to {USES} of each type go through what the scripts do with it. Refused means one line and exit status 2; the
others are let in.

{markdown_table(["file", "mutations", "refused", "tracebacks", "hangs"], rows)}"""


def kills() -> str:
    """Every point at which a training is killed."""
    with tempfile.TemporaryDirectory() as name:
        made = kill_points.kill_points(Path(name), save_tiny_base(Path(name) / "base"))
    rows = [
        [row.point, str(row.resumed_from_step or "the start"), str(row.steps), ", ".join(row.differing) or "nothing"]
        for row in made
    ]
    return f"""## Trainings that are killed

A tiny training is killed (SIGKILL) and started again, and compared with one that was left alone: adapter, losses,
steps, files.

{markdown_table(["killed", "goes on from step", "steps", "differs"], rows)}"""


def expressions() -> str:
    """Every regular expression, on its worst text."""
    made = patterns.rows()
    rows = [[code(row.place), f"{row.seconds:.2f}"] for row in made[:SLOWEST]]
    return f"""## Texts that take long

{len(made)} regular expressions, each on {patterns.LENGTH:,} characters that are made from it to take long: the slowest
{SLOWEST}, in seconds of one core.

{markdown_table(["expression", "seconds"], rows)}"""


def situations() -> str:
    """Every file of the public situations."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for file in tqdm(public_cases.EXPECTED, desc="situations"):
            _, expected, words = public_cases.EXPECTED[file]
            found = public_cases.outcome(file, Path(name))
            as_it_should = found.rows == expected and words in found.said
            happens = f"{found.rows} rows" if found.rows else "refused"
            rows.append([code(file), f"{happens}; “{words}”" if as_it_should else f"WRONG: {found.said[:200]}"])
    return f"""## Situations from bug reports and real files

Rebuilt small, prepared by `scripts/prepare_data.py`: the rows that are kept, and words from what it prints.

{markdown_table(["file", "what happens"], rows)}"""


def _off(difference: float | None) -> str:
    return "refused" if difference is None else f"{difference:.0e}"


if __name__ == "__main__":
    raise SystemExit(main())
