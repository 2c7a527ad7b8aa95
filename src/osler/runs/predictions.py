"""``predictions/*.jsonl``: one line a case, the same for every system (LLM, baseline, peer)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from osler.errors import InputError, nearest, show
from osler.storage import repeated, write_atomically

MAX_NAME = 300  # characters of a case's id, a task, a split, a system


@dataclass(frozen=True)
class Prediction:
    """What one system answered to one case. Raises ``ValueError`` for what no prediction can be.

    Attributes:
        case_id, task, split, system: which answer this is; not empty.
        label: the label the case has. This and ``ranked`` are read in Unicode's composed form (NFC).
        ranked: labels, best first, each once; empty only where the answer could not be parsed.
        probabilities: of the ranked labels, parallel to ``ranked``, in [0, 1], falling, summing to one (a label that is
            not ranked has none); None where a system gives none.
        text: what a free-text system wrote; None for the others.
        parsed: False where no label could be read from the answer. The case then counts as wrong.
        subgroups: name to value, for example ``{"sex": "female"}``.
        group: what the case shares with others that are not independent of it (its publication, its family); None
            where it stands alone.
        prompt_sha256: of the prompt template the system was asked with; None where it has none.
        case_sha256: of the case's text, options and label; None where other software did not write it.
    """

    case_id: str
    task: str
    split: str
    system: str
    label: str
    ranked: tuple[str, ...]
    probabilities: tuple[float, ...] | None = None
    text: str | None = None
    parsed: bool = True
    subgroups: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    prompt_sha256: str | None = None
    case_sha256: str | None = None

    def __post_init__(self) -> None:
        for name in ("case_id", "task", "split", "system", "label"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(f"{name} is {show(getattr(self, name))}; it must be a string that is not empty")
            if name != "label" and len(getattr(self, name)) > MAX_NAME:
                raise ValueError(f"{name} is {show(getattr(self, name))}; it may have {MAX_NAME} characters")
        if not isinstance(self.ranked, tuple) or not set(map(type, self.ranked)) <= {str} or "" in self.ranked:
            raise ValueError(f"ranked is {show(self.ranked)}; it must list labels (strings that are not empty)")
        if (twice := repeated(self.ranked)) is not None:
            raise ValueError(f"ranked names {show(twice)} twice; every label has one rank")
        if not isinstance(self.parsed, bool):
            raise ValueError(f"parsed is {show(self.parsed)}; it must be true or false")
        if self.parsed and not self.ranked:
            raise ValueError("ranked is empty but parsed is true; an answer without a label has parsed: false")
        if self.probabilities is not None:
            self._check_probabilities(self.probabilities)
        if not (self.text is None or isinstance(self.text, str)):
            raise ValueError(f"text is {show(self.text)}; it must be a string or null")
        if not isinstance(self.subgroups, dict) or not all(
            isinstance(name, str) and isinstance(value, str) for name, value in self.subgroups.items()
        ):
            raise ValueError(f"subgroups is {show(self.subgroups)}; it must map names to strings")
        for name in ("group", "prompt_sha256", "case_sha256"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ValueError(f"{name} is {show(value)}; it must be a string that is not empty, or null")

    def _check_probabilities(self, probabilities: tuple[float, ...]) -> None:
        if not isinstance(probabilities, tuple):
            raise ValueError(f"probabilities is {show(probabilities)}; it must be a list of numbers or null")
        if len(probabilities) != len(self.ranked):
            raise ValueError(
                f"ranked has {len(self.ranked)} labels and probabilities {len(probabilities)}; one belongs to each"
            )
        for label, value in zip(self.ranked, probabilities, strict=True):
            if type(value) not in (float, int) or not 0 <= value <= 1:
                raise ValueError(f"the probability of {show(label)} is {show(value)}; it must be a number from 0 to 1")
        # Probabilities in the order of the panel beside a sorted ranking are the mistake these two catch. The
        # tolerances leave room for bf16 and for files rounded to a few digits.
        if list(probabilities) != sorted(probabilities, reverse=True) and any(
            after > before + 1e-6 for before, after in pairwise(probabilities)
        ):
            raise ValueError("probabilities rise along ranked; both must be best first")
        if probabilities and abs(sum(probabilities) - 1) > 0.01:
            raise ValueError(
                f"probabilities sum to {sum(probabilities):.4f}; they must sum to one over the ranked labels (divide"
                " likelihoods by their sum, rank all labels), or be null"
            )

    @property
    def answer(self) -> str:
        """The label given to the case; the empty string, equal to no label, where none could be parsed."""
        return self.ranked[0] if self.parsed else ""

    @property
    def correct(self) -> bool:
        """Whether the answer is the label of the case; what could not be parsed is wrong."""
        return self.answer == self.label


FIELDS = tuple(column.name for column in fields(Prediction))
# Predictions of other software may leave out the fields that have a default.
REQUIRED = tuple(c.name for c in fields(Prediction) if c.default is MISSING and c.default_factory is MISSING)


def read_predictions(path: Path) -> list[Prediction]:
    """Read and check a prediction file.

    Raises :class:`~osler.errors.InputError`, naming file, line and fault, for a file that cannot be read, holds no
    line, or has a line that is not JSON, misses a field, has an unknown one or one twice, holds a value
    :class:`Prediction` refuses, or repeats a case of a system; where the file is of several tasks, or a system of
    several prompts or with probabilities for a part of its answers only.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a prediction file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a prediction file: {error}") from None
    cut_off = lines[-1] != ""  # every line we write ends with a newline, and a file is written whole
    if not cut_off:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: holds no predictions; one JSON object a line is needed")
    predictions = []
    for number, line in enumerate(lines, start=1):
        try:
            predictions.append(_parse(line))
        except ValueError as error:
            cut = "; the file ends within this line: write it again" if cut_off and number == len(lines) else ""
            raise InputError(f"{path}:{number}: {error}{cut}") from None
    try:
        _check_unique(predictions)
        _check_alike(predictions)
    except ValueError as error:
        raise InputError(f"{path}:{error}") from None
    return predictions


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write one line a prediction, all or nothing. Raises ``ValueError`` for a case repeated for a system."""
    rows = list(predictions)
    _check_unique(rows)
    write_atomically(path, "".join(map(_line, rows)))


def open_part(path: Path, process: int) -> BinaryIO:
    """Open, to append lines to, where one process collects its share of ``path`` until all of it is there.

    A line that a kill cut short is taken off first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.part-{process}").open("ab+")
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    return file


def append_predictions(file: BinaryIO, predictions: Iterable[Prediction]) -> None:
    """Add lines to an open part, at once."""
    file.write("".join(map(_line, predictions)).encode("utf-8"))
    file.flush()


def read_parts(path: Path) -> dict[str, Prediction]:
    """Case id → prediction, of everything the processes of this run, or of one that was killed, have collected.

    Raises :class:`~osler.errors.InputError` for a line that is whole and no prediction.
    """
    predictions = {}
    for part in sorted(path.parent.glob(f".{path.name}.part-*")):
        for number, line in enumerate(part.read_bytes().split(b"\n")[:-1], start=1):  # what ends in no \n was cut off
            try:
                row = _parse(line.decode("utf-8"))
            except ValueError as error:
                raise InputError(
                    f"{part}:{number}: {error}; delete this file, and its cases are answered anew"
                ) from None
            predictions[row.case_id] = row
    return predictions


def join_parts(path: Path, case_ids: Iterable[str]) -> None:
    """Write ``path`` from its parts, in the order of ``case_ids``, and remove them."""
    predictions = read_parts(path)
    write_predictions(path, [predictions[case_id] for case_id in case_ids])
    for part in path.parent.glob(f".{path.name}.part-*"):
        part.unlink()


def _line(row: Prediction) -> str:
    return json.dumps(asdict(row), ensure_ascii=False) + "\n"


def _parse(line: str) -> Prediction:
    try:
        row: Any = json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deep for a prediction") from None
    if "\\ud" in line.lower() and any(0xD800 <= ord(c) < 0xE000 for c in json.dumps(row, ensure_ascii=False)):
        raise ValueError("holds half a surrogate pair, which is no character; write UTF-8")
    if not isinstance(row, dict):
        raise ValueError(f"holds a {type(row).__name__}; a JSON object is needed")
    for name in row:
        if name not in FIELDS:
            hint = nearest(name, FIELDS) or f"; allowed are {', '.join(FIELDS)}"
            raise ValueError(f"the field {show(name)} is unknown{hint}")
    for name in REQUIRED:
        if name not in row:
            raise ValueError(f"the field {name!r} is missing; needed are {', '.join(REQUIRED)}")
    for name in ("ranked", "probabilities"):
        if isinstance(row.get(name), list):
            row[name] = tuple(row[name])
    if isinstance(row["label"], str):
        row["label"] = _composed(row["label"])
    if isinstance(row["ranked"], tuple):
        row["ranked"] = tuple(_composed(label) if isinstance(label, str) else label for label in row["ranked"])
    return Prediction(**row)


def _composed(label: str) -> str:
    """In Unicode's composed form (NFC), as the labels of a task are; other software may write é as two characters."""
    return unicodedata.normalize("NFC", label)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict, which would keep the last of two values and say nothing."""
    if (twice := repeated([name for name, _ in pairs])) is not None:
        raise ValueError(f"the field {show(twice)} is there twice")
    return dict(pairs)


def _check_unique(predictions: list[Prediction]) -> None:
    seen: dict[tuple[str, str, str, str], int] = {}
    for number, row in enumerate(predictions, start=1):
        first = seen.setdefault((row.task, row.split, row.system, row.case_id), number)
        if first != number:
            raise ValueError(
                f"{number}: case_id {show(row.case_id)} of system {show(row.system)} is on line {first} already"
            )


def _check_alike(predictions: list[Prediction]) -> None:
    """One task a file; one prompt a system; probabilities for all answers of a system that could be parsed, or none."""
    systems: dict[str, tuple[int, Prediction]] = {}
    given: dict[str, tuple[int, bool]] = {}
    for number, row in enumerate(predictions, start=1):
        if row.task != predictions[0].task:
            raise ValueError(
                f"{number}: task is {show(row.task)}, on line 1 {show(predictions[0].task)}; one file, one task"
            )
        first, other = systems.setdefault(row.system, (number, row))
        if row.prompt_sha256 != other.prompt_sha256:
            raise ValueError(
                f"{number}: prompt_sha256 of system {show(row.system)} is {show(row.prompt_sha256)}, on line {first} "
                f"{show(other.prompt_sha256)}; predict all cases with one prompt"
            )
        if row.parsed:
            has = row.probabilities is not None
            first, had = given.setdefault(row.system, (number, has))
            if has != had:
                raise ValueError(
                    f"{number}: system {show(row.system)} gives {'' if has else 'no '}probabilities here and "
                    f"{'some' if had else 'none'} on line {first}; give them for all answers or for none"
                )
