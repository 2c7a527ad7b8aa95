"""``plan.json``: what a successor has to show, written before it is trained; ``decision.json``: what it showed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from osler.storage import Contract, FileContract

Margin = Annotated[float, Field(ge=0, le=1)]


class Rules(Contract):
    """What is asked of a successor.

    Attributes:
        margin: its accuracy on the frozen test may be lower than the champion's by less than this, with 97.5%
            confidence (non-inferiority). 150 cases that both models answer alike show 0.025, 75 show 0.05.
        new_margin: the same on the new cases, which are fewer.
        calibration_margin: the same of its Brier score, which may be higher by less.
        calibration_floor: its mean confidence on the frozen test may be off its accuracy by this at most.
        level: of the tests for losses in subgroups and labels, all of them together (Holm).
        forgotten: a label of which the champion gets so many cases right, and the successor none, is forgotten.
    """

    margin: Margin = 0.05
    new_margin: Margin = 0.1
    calibration_margin: Margin = 0.05
    calibration_floor: Margin = 0.1
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    forgotten: Annotated[int, Field(ge=1)] = 3


class Contestant(Contract):
    """A model that is compared: its recipe's name and version, the run and the hash of its weights."""

    name: str
    version: str
    run: str
    weights_sha256: str


class Plan(FileContract):
    """What is about to be trained and asked, before anything of it is known.

    Attributes:
        champion: the model in use.
        task, task_version: the successor's task; its split ``test`` holds the champion's cases, and nothing else.
        rules: what is asked.
        start, start_reason: what the training starts from, and why.
        rows: split to its number of cases.
        added: of these, the ones with a verdict of experts.
        left_out: why verdicts were not taken, with how many.
        data_sha256: split to the hash of the file that holds its cases.
        cases_sha256: of ``test`` and ``new``: case id to the hash of its text and label.
        planned_at: when.
    """

    champion: Contestant
    task: str
    task_version: int
    rules: Rules
    start: Literal["base", "last run"]
    start_reason: str
    rows: dict[str, int]
    added: dict[str, int]
    left_out: dict[str, int]
    data_sha256: dict[str, str]
    cases_sha256: dict[str, dict[str, str]]
    planned_at: AwareDatetime


class Check(Contract):
    """One thing asked of a successor: whether it ``passed``, and what was found, in a line."""

    name: str
    passed: bool
    found: str


class Decision(FileContract):
    """Whether a successor takes the champion's place.

    Attributes:
        champion, challenger: the two models.
        task, task_version: the successor's task, whose split ``test`` is the champion's.
        rules, plan_sha256: what was asked, and the hash of the plan that said so before the training.
        checks: all of them, also those that passed.
        accepted: whether every check passed.
        reason: the checks that failed, in a line; null where it is accepted.
        predictions_sha256: file name to the hash of the answers that were compared.
        decided_at: when they were compared.
        signed_by, signed_at: the person who answers for it; null until somebody does.
        ledger_head: the hash of the entry that the signature is in the ledger.
        ledger: that ledger's path, from the folder of the decision.
    """

    champion: Contestant
    challenger: Contestant
    task: str
    task_version: int
    rules: Rules
    plan_sha256: str
    checks: tuple[Check, ...]
    accepted: bool
    reason: str | None
    predictions_sha256: dict[str, str]
    decided_at: AwareDatetime
    signed_by: str | None = None
    signed_at: AwareDatetime | None = None
    ledger_head: str | None = None
    ledger: str | None = None
