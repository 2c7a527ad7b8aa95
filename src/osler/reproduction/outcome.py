"""What came of a reproduction: which numbers came out again, and what differs; ``reproduction.json``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal

from osler.reproduction import expected as recorded
from osler.reproduction.differences import Difference
from osler.reproduction.rescoring import Agreement
from osler.reproduction.target import Depth, Target
from osler.runs import describe_environment, tuned_name
from osler.storage import write_json

EXACT = 1e-12  # what is computed from the same rows in the same way may differ by

Verdict = Literal["reproduced", "missed", "undecided", "differs"]


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
    environment: Mapping[str, Any] = field(default_factory=describe_environment)

    @property
    def decisive(self) -> Difference | None:
        """The first difference that decides a number."""
        return next((found for found in self.differences if found.content), None)

    @property
    def verdict(self) -> Verdict:
        """``differs``: not of the same files and data, so that no number says anything; ``undecided``: a figure was not
        computed, or is another and nobody measured its spread."""
        inside = [*(figure.inside for figure in self.figures), *map(same_answers, self.answers)]
        return _verdict(self.decisive is not None, inside)

    def to_dict(self) -> dict[str, Any]:
        """``reproduction.json``."""
        recipe = self.target.recipe
        return {
            "schema": 1,
            "depth": self.depth,
            "target": self.target.name,
            "revision": self.target.revision,
            "commit": self.target.commit,
            "recipe": {"name": recipe.name, "version": recipe.version, "sha256": recipe.sha256},
            "date": date.today().isoformat(),
            "environment": self.environment,
            "differences": [asdict(found) for found in self.differences],
            "answers": [{**asdict(of_split), "same": same_answers(of_split)} for of_split in self.answers],
            "table": [{**asdict(figure), "inside": figure.inside} for figure in self.figures],
            "verdict": self.verdict,
        }


def same_answers(agreement: Agreement) -> bool:
    """Whether all rankings are the same and no probability has moved by more than the bound."""
    return agreement.same_ranking == agreement.n and agreement.holds


def of_record(made: Mapping[str, Any]) -> Verdict:
    """The verdict that the rows of a ``reproduction.json`` come to. One that contradicts itself is not inside."""
    inside: list[bool | None] = []
    for row in made["table"]:
        of_row = Figure(**{of.name: row.get(of.name) for of in fields(Figure)}).inside
        inside.append(of_row if row.get("inside") is of_row else False)
    inside += [
        of["same_ranking"] == of["n"] and of.get("first") is None and of.get("same") is True for of in made["answers"]
    ]
    return _verdict(any(of["content"] for of in made["differences"]), inside)


def _verdict(differs: bool, inside: Collection[bool | None]) -> Verdict:
    if differs:
        return "differs"
    return "missed" if False in inside else "undecided" if None in inside or not inside else "reproduced"


def write(made: Reproduction, folder: Path) -> Path:
    """Write ``reproduction.json`` into ``folder``; returns its path."""
    path = folder / "reproduction.json"
    write_json(path, made.to_dict())
    return path


def render(made: Reproduction) -> str:
    """Plain text: what differs, the first thing first; the answers; the figures of the tuned model and all others that
    are not inside; the verdict."""
    recipe = made.target.recipe
    lines = [f"differs: {found}{'' if found.content else ' (environment)'}" for found in made.differences]
    lines += [_answers(of_split) for of_split in made.answers]
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


def _answers(of: Agreement) -> str:
    moved = of.max_probability_difference
    by = "" if moved is None else f", probabilities differ by {moved:.1e} at most"
    by += "" if of.first is None else f"; {of.first}"
    return f"{of.split}, {of.system}: {of.same_ranking} of {of.n} rankings are the same{by}"


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
        expected = made.target.expected()
        if "runs" not in expected:
            return (
                f"{made.target.expected_file.name} has no runs to compute a tolerance from, so none is believed;"
                " scripts/record_expected.py RECIPE RUN RUN… records it anew"
            )
        runs = len(expected["runs"])
        return (
            f"no tolerance recorded: {runs} run{'s' if runs > 1 else ''}, and a spread takes {recorded.MIN_RUNS};"
            " scripts/record_expected.py RECIPE RUN RUN… takes this one, too"
        )
    return f"{len(made.figures)} figures{', bit for bit' if made.depth == 'scores' else ''}"
