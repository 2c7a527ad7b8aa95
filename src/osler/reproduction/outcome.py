"""What came of a reproduction: which numbers came out again, and what differs; ``reproduction.json``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pydantic import JsonValue

from osler.reproduction.differences import Difference
from osler.reproduction.expected import MIN_RUNS, Depth, Verdict
from osler.reproduction.rescoring import Agreement
from osler.reproduction.target import Target
from osler.runs import Environment, describe_environment, tuned_name
from osler.storage import Contract, FileContract, validated, write_model

EXACT = 1e-12  # what is computed from the same rows in the same way may differ by


@dataclass(frozen=True)
class Figure:
    """One number, as ``expected`` and as ``got`` here. Without a ``tolerance`` only the same number is inside."""

    split: str
    system: str
    metric: str
    expected: float
    tolerance: float | None
    got: float | None

    @property
    def inside(self) -> bool | None:
        """Whether it came out again; None where nobody can say: it was not computed, or its spread is not known."""
        if self.got is None or (self.tolerance is None and self.got != self.expected):
            return None
        return abs(self.got - self.expected) <= (self.tolerance or 0.0) + EXACT


@dataclass(frozen=True)
class Reproduction:
    """A target reproduced at one depth. ``answers``: the published predictions beside those given here."""

    target: Target
    depth: Depth
    differences: list[Difference]
    figures: list[Figure] = field(default_factory=list)
    answers: list[Agreement] = field(default_factory=list)
    environment: Environment = field(default_factory=describe_environment)

    @property
    def decisive(self) -> Difference | None:
        """The first difference that decides a number."""
        return next((difference for difference in self.differences if difference.content), None)

    @property
    def verdict(self) -> Verdict:
        """``differs``: not of the same files and data, so that no number says anything; ``undecided``: a figure was not
        computed, or is another and nobody measured its spread."""
        inside = [*(figure.inside for figure in self.figures), *map(same_answers, self.answers)]
        return _verdict(self.decisive is not None, inside)


class ReproducedRecipe(Contract):
    """The recipe that was reproduced."""

    name: str
    version: str
    sha256: str


class DifferenceRecord(Contract):
    """A :class:`~osler.reproduction.differences.Difference`."""

    what: str
    was: JsonValue
    now: JsonValue
    content: bool


class AnswersRecord(Contract):
    """An :class:`~osler.reproduction.rescoring.Agreement`, and whether all rankings are the ``same``."""

    split: str
    system: str
    n: int
    same_first_label: int
    same_ranking: int
    max_probability_difference: float | None
    first: str | None
    same: bool


class FigureRecord(Contract):
    """A :class:`Figure`, and whether it is ``inside``."""

    split: str
    system: str
    metric: str
    expected: float
    tolerance: float | None
    got: float | None
    inside: bool | None


class ReproductionFile(FileContract):
    """``reproduction.json``."""

    depth: Depth
    target: str
    revision: str | None
    commit: str | None
    recipe: ReproducedRecipe
    date: str
    environment: Environment
    differences: tuple[DifferenceRecord, ...]
    answers: tuple[AnswersRecord, ...]
    table: tuple[FigureRecord, ...]
    verdict: Verdict


def same_answers(agreement: Agreement) -> bool:
    """Whether all rankings are the same and no probability has moved by more than the bound."""
    return agreement.same_ranking == agreement.n and agreement.holds


def verdict_of(made: ReproductionFile) -> Verdict:
    """The verdict that the rows of a ``reproduction.json`` come to. One that contradicts itself is not inside."""
    inside: list[bool | None] = []
    for row in made.table:
        figure = Figure(row.split, row.system, row.metric, row.expected, row.tolerance, row.got)
        inside.append(figure.inside if row.inside is figure.inside else False)
    inside += [answer.same_ranking == answer.n and answer.first is None and answer.same for answer in made.answers]
    return _verdict(any(difference.content for difference in made.differences), inside)


def _verdict(differs: bool, inside: Collection[bool | None]) -> Verdict:
    if differs:
        return "differs"
    return "missed" if False in inside else "undecided" if None in inside or not inside else "reproduced"


def write(made: Reproduction, folder: Path) -> Path:
    """Write ``reproduction.json`` into ``folder``; returns its path."""
    path, target = folder / "reproduction.json", made.target
    content = {
        "schema": 1,
        "depth": made.depth,
        "target": target.name,
        "revision": target.revision,
        "commit": target.commit,
        "recipe": {"name": target.recipe.name, "version": target.recipe.version, "sha256": target.recipe.sha256},
        "date": date.today().isoformat(),
        "environment": made.environment.model_dump(mode="json"),
        "differences": [vars(difference) for difference in made.differences],
        "answers": [{**vars(agreement), "same": same_answers(agreement)} for agreement in made.answers],
        "table": [{**vars(figure), "inside": figure.inside} for figure in made.figures],
        "verdict": made.verdict,
    }
    write_model(path, validated(ReproductionFile, content, str(path)))
    return path


def render(made: Reproduction) -> str:
    """Plain text: what differs, the first thing first; the answers; the figures of the tuned model and all others that
    are not inside; the verdict."""
    recipe = made.target.recipe
    lines = [f"differs: {one}{'' if one.content else ' (environment)'}" for one in made.differences]
    lines += map(_answers, made.answers)
    shown = [figure for figure in made.figures if figure.system == tuned_name(recipe) or not figure.inside]
    if shown:
        rows = [["split", "system", "metric", "expected", "tolerance", "got", "inside"]]
        for figure in shown:
            numbers = ("–" if n is None else f"{n:.4f}" for n in (figure.expected, figure.tolerance, figure.got))
            inside = {True: "yes", False: "NO", None: "?"}[figure.inside]
            rows.append([figure.split, figure.system, figure.metric, *numbers, inside])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, f"{recipe.name}@{recipe.version}, {made.depth}: {made.verdict}: {_reason(made)}"])


def _answers(agreement: Agreement) -> str:
    moved = agreement.max_probability_difference
    by = "" if moved is None else f", probabilities differ by {moved:.1e} at most"
    by += "" if agreement.first is None else f"; {agreement.first}"
    return f"{agreement.split}, {agreement.system}: {agreement.same_ranking} of {agreement.n} rankings are the same{by}"


def _reason(made: Reproduction) -> str:
    """What the verdict rests on."""
    if made.decisive:
        return str(made.decisive)
    if missed := [figure for figure in made.figures if figure.inside is False]:
        return f"{len(missed)} of {len(made.figures)} figures, first {missed[0].metric} on {missed[0].split}"
    if made.verdict == "missed":
        return "the same weights answer otherwise"
    if absent := [figure.split for figure in made.figures if figure.got is None]:
        where = f"see tasks/{made.target.recipe.task.name}/README.md for the data"
        return f"not computed here: {', '.join(dict.fromkeys(absent))} ({where})"
    if made.verdict == "undecided":
        runs = len(made.target.expected().runs)
        return (
            f"no tolerance recorded: {runs} run{'s' if runs > 1 else ''}, and a spread takes {MIN_RUNS};"
            " scripts/record_expected.py RECIPE RUN RUN… takes this one, too"
        )
    return f"{len(made.figures)} figures{', bit for bit' if made.depth == 'scores' else ''}"
