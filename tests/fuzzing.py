"""Valid files changed at random and read as Osler reads them: each ends well, or in one line on what is wrong."""

from __future__ import annotations

import copy
import importlib.util
import json
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from project import ROOT

from osler.errors import InputError, exit_status
from osler.evaluation import report, results, summary
from osler.publishing import card, checks
from osler.publishing import folder as publication
from osler.publishing.about import read_about
from osler.recipe import load_recipe
from osler.reproduction import outcome, readme_tables, recording, reproduction, target
from osler.reproduction.expected import read_expected
from osler.runs import Run, check_trained, checkpoints, read_predictions
from osler.runs.results import Robustness
from osler.storage import read_model, write_json
from osler.tasks import load_task

HANG = 5.0  # seconds of processor time for one case
LONG = 1000  # characters of a line that nobody reads
RUN = Path("runs/tiny-made-up/1.0.0")
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2.5, 1e308, 10**30, -(10**30), float("nan"), float("inf")),
    *("", " ", "\0", "\ud800", "\u202e", "☃", "../../x", "/etc/passwd", "<script>", "{{ x }}", "no\nline", "x" * 300),
    *([], {}, [[]], [None], ["a", "a"], {"": ""}, {"a": 1}, {"kind": "x"}, [[[[[]]]]], list(range(50))),
)
# Put into the text somewhere.
BROKEN = (
    *('"\\UFFFFFFFF"', '"\\ud800"', '"\\x"', "&a", "*a", "!!python/object:os.system", "\0", "\ufeff", "\x1b", "\t"),
    *("NaN", "1" * 5000, "[" * 3000, "{", "]", ":", "- ", "\n", "'", '"', "? ", "%", "@", "---\n", "<<: "),
)


@dataclass(frozen=True)
class Row:
    """What came of the mutations of one type of file. ``first`` is the end of the first traceback, or the hang."""

    file: str
    mutations: int
    refused: int
    tracebacks: int
    hangs: int
    first: str = ""


@dataclass(frozen=True)
class Kind:
    """A type of file: where it is in the project, what reads every mutation, and what is then done with some."""

    path: Path
    read: Callable[[], object]
    use: Sequence[Callable[[], object]] = ()


def rows(project: Path, mutations: int, uses: int, seed: int = 0) -> list[Row]:
    """A row for each type of file of a finished run's ``project`` (of :mod:`finished`), which is changed meanwhile.

    Every mutation is read; of those that are let in, the scripts' work is done with the first ``uses`` of a type, which
    takes up to a second each. ``$OSLER_DATA_DIR`` has to be the project's, and ``$HF_HUB_OFFLINE`` set.
    """
    return [
        fuzz(name, kind, mutations, uses, random.Random(f"{seed} {name}")) for name, kind in kinds_of(project).items()
    ]


def fuzz(name: str, kind: Kind, mutations: int, uses: int, draw: random.Random) -> Row:
    valid = kind.path.read_bytes()
    contents = read_contents(kind.path)
    kind.read()
    for use in kind.use:
        use()
    refused, used, hangs, ends = 0, 0, 0, list[str]()
    try:
        for _ in range(mutations):
            kind.path.write_bytes(mutated(valid.decode(), contents, draw))
            end = ended(kind.read)
            if end is None and kind.use and used < uses:
                end = ended(draw.choice(kind.use))
                used += 1
            refused += end == ""
            hangs += end == "hang"
            ends += [end] if end else []
    finally:
        kind.path.write_bytes(valid)
    return Row(name, mutations, refused, len(ends) - hangs, hangs, ends[0] if ends else "")


def ended(action: Callable[[], object]) -> str | None:
    """None for well, the empty text where a script would end with one line and status 2, else what went wrong."""
    said = StringIO()
    try:
        with bounded(), redirect_stdout(StringIO()), redirect_stderr(said):
            status = exit_status(lambda: (action() and 0) or 0)
    except Hang:
        return "hang"
    except Exception:
        return traceback.format_exc(limit=-3)
    if status == 0:
        return None
    lines = said.getvalue().splitlines()
    short = lines and all(line.startswith("error: ") and len(line) < LONG for line in lines)  # a line a fault
    return "" if short else f"not short lines: {lines[:3]}"


class Hang(BaseException):
    """A case took too long."""


@contextmanager
def bounded() -> Iterator[None]:
    """Raise :class:`Hang` after :data:`HANG` seconds of processor time."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# ── mutations ────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_contents(path: Path) -> list[Any]:
    """What a file holds: one value, or one a line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return [yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)]


def mutated(text: str, contents: Sequence[Any], draw: random.Random) -> bytes:
    """The text of a file with one change, of its letters or of a value in it."""
    if draw.random() < 0.15:
        place = draw.randrange(len(text) + 1)
        broken = draw.choice((text[:place], text[:place] + draw.choice(BROKEN) + text[place + draw.randrange(3) :]))
        return broken.encode("utf-8", "surrogatepass")
    number = draw.randrange(len(contents))
    values = [*contents[:number], changed(contents[number], draw), *contents[number + 1 :]]
    return "".join(f"{json.dumps(value)}\n" for value in values).encode()  # YAML reads JSON, too


def changed(content: Any, draw: random.Random) -> Any:
    """A copy with one value exchanged, left out, added, wrapped or put twice."""
    content = copy.deepcopy(content)
    inside, key = _place(content, draw)
    change = draw.choice(("exchange", "exchange", "exchange", "leave out", "add", "wrap", "other"))
    if change == "leave out":
        del inside[key]
    elif change == "wrap":
        inside[key] = draw.choice(([inside[key]], {"x": inside[key]}, str(inside[key])))
    elif change == "other":
        other, place = _place(content, draw)
        inside[key] = copy.deepcopy(other[place])
    elif change == "add" and isinstance(inside, dict):
        inside[draw.choice(("new", "", "\ud800", "schema ", "x" * 300))] = draw.choice(STRANGE)
    elif change == "add":
        inside.append(draw.choice((*STRANGE, inside[key])))
    else:
        inside[key] = draw.choice(STRANGE)
    return content


def _place(content: Any, draw: random.Random) -> tuple[Any, Any]:
    """A mapping or list, and a key in it: at every depth as likely, however much there is below."""
    while True:
        key = draw.choice(list(content) if isinstance(content, dict) else range(len(content)))
        if not isinstance(content[key], dict | list) or not content[key] or draw.random() < 0.25:
            return content, key
        content = content[key]


# ── files, and what is done with them ────────────────────────────────────────────────────────────────────────────────


def kinds_of(project: Path) -> dict[str, Kind]:
    """Every type of file that one stage hands to another, or that a user writes, with what the scripts do with it."""
    run, recipe = Run(project / RUN), project / "recipes" / "tiny.yaml"
    task = project / "tasks" / "made_up"
    expected = recording.record([run], recipe)
    made = reproduction.scores(target.find(str(run.folder), "scores"))
    reproduced = outcome.write(made, run.folder)
    robustness = run.robustness_path(run.recipe(), "test")
    write_json(robustness, robustness_content(run))
    checkpoint = project / "checkpoint"
    checkpoint.mkdir()
    write_json(checkpoint / "trainer_state.json", {"global_step": 2})
    checkpoints.mark_complete(checkpoint, 1, "0" * 64, 1)
    about = project / "about.yaml"
    about.write_bytes((ROOT / "docs" / "about.yaml").read_bytes())
    predictions = run.predictions_path / "made_up-test-majority.jsonl"
    others = sorted(run.predictions_path.glob("*.jsonl"))
    check_recipes = _script("check_recipes")

    def record() -> None:
        before = expected.read_bytes()
        try:
            recording.record([run], recipe)
            readme_tables.overview(project)
        finally:
            expected.write_bytes(before)

    def record_reproduction() -> None:
        before = expected.read_bytes()
        try:
            recording.record_reproduction(reproduced, recipe)
            readme_tables.reproductions(project)
        finally:
            expected.write_bytes(before)

    def reproduce() -> None:
        outcome.render(reproduction.scores(target.find(str(run.folder), "scores")))

    def publish() -> None:
        problems = checks.check_run(run)
        checks.table(problems, {}, built=False)
        if not {problem.check for problem in problems} & set(checks.UNBUILT):
            publication.build(run, run.folder / "publication", "jane/tiny", {}, {})

    def render_card() -> str:
        return card.render(run, "jane/tiny", "1.0.0", read_about(about), {})

    def evaluate() -> None:
        output = project / "scored" / "results.json"
        scored = results.score(others, output, resamples=20)
        report.write(output, scored, others)
        summary.render_table(scored)

    def tables() -> None:
        read = run.read_results()
        summary.render_table(read)
        summary.markdown_table(read.records)

    def resume() -> None:
        shutil.rmtree(run.checkpoints_path, ignore_errors=True)
        shutil.copytree(checkpoint, run.checkpoints_path / "checkpoint-2")
        _, damaged = checkpoints.newest_whole(run.checkpoints_path)
        if damaged:
            raise InputError("; ".join(damaged.values()))

    def compare() -> None:
        readme_tables.overview(project)
        target.find(str(recipe), "training").expected().mean_over_runs("test", "accuracy")

    def check() -> None:
        check_recipes.check_recipe(recipe, [], {})

    def check_expected() -> None:
        read_expected(expected)
        check()

    return {
        "results.json": Kind(run.results_path(), tables, (record, reproduce, publish, render_card)),
        "manifest.json": Kind(
            run.manifest_path, lambda: check_trained(run, run.recipe()), (record, reproduce, publish, render_card)
        ),
        "data_report.json": Kind(run.data_report_path, run.read_data_report, (reproduce, publish, render_card)),
        "expected.json": Kind(expected, check_expected, (record_reproduction, reproduce, publish, compare)),
        "reproduction.json": Kind(reproduced, record_reproduction, (publish,)),
        "robustness.json": Kind(
            robustness,
            lambda: summary.render_robustness(read_model(robustness, Robustness)),
            (record, render_card, publish),
        ),
        "predictions/*.jsonl": Kind(predictions, lambda: read_predictions(predictions), (evaluate, reproduce)),
        "task.yaml": Kind(
            task / "task.yaml", lambda: load_recipe(recipe), (check, lambda: load_task(task), render_card)
        ),
        "recipe.yaml": Kind(recipe, check, (record,)),
        "complete.json": Kind(checkpoint / "complete.json", resume),
        "about.yaml": Kind(about, lambda: read_about(about), (render_card,)),
    }


MEASURED = ("original_accuracy", "accuracy", "change", "top_1_flip_rate")


def robustness_content(run: Run) -> dict[str, Any]:
    """A ``robustness.json`` of the run's tuned model."""
    record = run.read_results().records[0]
    system = next(name for name in record.systems if not name.endswith("-merged") and "@" in name)
    share = {"value": 0.5, "low": 0.3, "high": 0.7, "method": "wilson"}
    row = {
        "perturbation": "typos",
        "strength": 0.1,
        "seed": 0,
        "n": 24,
        "unchanged": 0,
        "original_accuracy": share,
        "accuracy": share,
        "change": {"difference": 0.0, "low": -0.2, "high": 0.2, "method": "newcombe_paired"},
        "top_1_flip_rate": share,
    }
    hashes = {"original": record.predictions_sha256[system], "typos": "7" * 64}
    return {
        "schema": 1,
        "task": record.task,
        "split": record.split,
        "records": {system: [row, {**row, "n": 0, **dict.fromkeys(MEASURED)}]},
        "predictions_sha256": {system: hashes},
    }


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
