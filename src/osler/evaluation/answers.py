"""What several systems answered to the same cases: read from prediction files, and held against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from osler.errors import InputError
from osler.runs import Prediction, read_predictions
from osler.statistics import Ints, number_groups


@dataclass(frozen=True)
class Answers:
    """One system's predictions for one split, sorted by case id, and the line of ``file`` each case is on."""

    file: Path
    rows: list[Prediction] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def place(self, case_id: str) -> str:
        """Where a case was read: ``file:line``."""
        return f"{self.file}:{self.lines[case_id]}"


Splits = dict[tuple[str, str], dict[str, Answers]]
"""(task, split) to system to its answers."""


def read_splits(files: Sequence[Path]) -> Splits:
    """The answers in ``files``, in their order.

    Raises :class:`~osler.errors.InputError` where there is no file, one is refused by
    :func:`~osler.runs.predictions.read_predictions`, a system's predictions for a split are in two, or those for its
    splits were made with different prompts.
    """
    if not files:
        raise InputError("no prediction files given")
    splits: Splits = {}
    prompts: dict[tuple[str, str], tuple[Path, str]] = {}
    for file in dict.fromkeys(files):
        for number, row in enumerate(read_predictions(file), start=1):
            answers = splits.setdefault((row.task, row.split), {}).setdefault(row.system, Answers(file))
            if answers.file != file:
                raise InputError(
                    f"{file}:{number}: system {row.system!r} ({row.task}, {row.split}) is in {answers.file} already"
                )
            if row.prompt_sha256:  # baselines have none
                other, prompt = prompts.setdefault((row.task, row.system), (file, row.prompt_sha256))
                if row.prompt_sha256 != prompt:
                    raise InputError(
                        f"{file}:{number}: prompt_sha256 of system {row.system!r} is {row.prompt_sha256!r}, in {other} "
                        f"{prompt!r}; predict all splits with one prompt"
                    )
            answers.rows.append(row)
            answers.lines[row.case_id] = number
    for systems in splits.values():
        for answers in systems.values():
            # Neither the values nor the resamples may depend on the order of the lines.
            answers.rows.sort(key=lambda row: row.case_id)
    return splits


def check_same_cases(systems: Mapping[str, Answers]) -> None:
    """Raise :class:`~osler.errors.InputError` unless all systems answer the same cases, with the same labels."""
    first, *others = systems
    for other in others:
        for having, lacking in ((first, other), (other, first)):
            missing = systems[having].lines.keys() - systems[lacking].lines.keys()
            if missing:
                raise InputError(
                    f"{systems[having].place(min(missing))}: system {lacking!r} has no prediction for case "
                    f"{min(missing)!r} ({len(missing)} missing in all), which {having!r} has; every system must answer "
                    "the same cases"
                )
        for ours, theirs in zip(systems[first].rows, systems[other].rows, strict=True):
            if theirs.label != ours.label:
                raise InputError(
                    f"{systems[other].place(ours.case_id)}: the label of case {ours.case_id!r} is {ours.label!r} for "
                    f"{first!r} and {theirs.label!r} for {other!r}; predict both on the same version of the task"
                )


def group_numbers(systems: Mapping[str, Answers]) -> Ints | None:
    """The group of each case, number_groups from 0; None where every case stands alone.

    Systems that know no group leave the word to the others. Raises :class:`~osler.errors.InputError` where two name
    different groups for a case.
    """
    names: dict[str, str | None] = {}
    for system, answers in systems.items():
        for row in answers.rows:
            known = names.get(row.case_id)
            if None not in (known, row.group) and known != row.group:
                raise InputError(
                    f"{answers.place(row.case_id)}: the group of case {row.case_id!r} is {row.group!r} for {system!r} "
                    f"and {known!r} for another system; predict both on the same version of the task"
                )
            names[row.case_id] = known or row.group
    return number_groups(names)
