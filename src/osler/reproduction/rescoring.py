"""Published weights asked once more: are these the answers that were published? For publishing and for reproducing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osler.errors import InputError
from osler.evaluation import parity
from osler.recipe import BaseSection, Recipe
from osler.runs import Prediction, Run, merged_name, read_predictions, tuned_name
from osler.storage import stable_unit

if TYPE_CHECKING:  # osler.tasks.task imports transformers
    from osler.tasks import Case, Task

BOUND = 1e-3  # of the difference between two probabilities of a label
SAMPLE = 8  # cases of a split that a download is tried on


@dataclass(frozen=True)
class Agreement:
    """How the published answers of one system to one split compare with its answers now.

    Attributes:
        split, system: whose answers these are.
        n: the cases compared.
        same_first_label, same_ranking: of how many the first label, and all of the ranking, is what it was.
        max_probability_difference: of any label of any case; None for a system without probabilities.
        first: the first case that differs by more than may be, and how, in one line; None where the answers agree: no
            probability has moved by more than :data:`BOUND`, within which labels may change places. Without
            probabilities every ranking, and always every text, has to be the same.
    """

    split: str
    system: str
    n: int
    same_first_label: int
    same_ranking: int
    max_probability_difference: float | None
    first: str | None

    @property
    def holds(self) -> bool:
        """Whether the answers agree."""
        return self.first is None


def rescore(
    run: Run,
    recipe: Recipe,
    task: Task,
    system: str,
    splits: Sequence[str],
    limit: int | None = None,
    plain: bool = False,
) -> list[Agreement]:
    """Have ``system`` answer the cases of ``splits`` again and compare with the run's prediction files, split by split.

    ``system`` is the tuned model (adapter on the base) or the merged one; its weights are those in ``run``, which may
    be a downloaded version. Nothing is written into it. With ``limit`` only that many cases of a split are answered,
    those that a stable hash of the case id puts first. A split whose data is not on this machine is left out.
    ``plain`` scores each label in a forward pass of its own, so that the answers do not agree because both are wrong.

    Raises:
        InputError: a prediction file, the weights, or a published case is not there; the case has another label, or
            the task another prompt, than was published.
    """
    published, cases = _asked(run, task, system, splits, limit)
    if not published:
        return []
    from osler.evaluation import prediction  # imports torch
    from osler.scoring import WAYS

    assert system in (tuned_name(recipe), merged_name(recipe)), f"{system} has no weights in {run.folder}"
    models = prediction.run_models(run, recipe)
    model = prediction.language_model(system, recipe, task, models, ("plain",) if plain else WAYS)
    agreements = []
    with tempfile.TemporaryDirectory() as folder:
        for split, rows in cases.items():
            path = Path(folder) / "asked again" / f"{split}.jsonl"
            model.answer(rows, split, path)
            agreements.append(compare(published[split], read_predictions(path)))
    return agreements


def _asked(
    run: Run, task: Task, system: str, splits: Sequence[str], limit: int | None
) -> tuple[dict[str, list[Prediction]], dict[str, list[Case]]]:
    """Split → the published answers to compare with, and the cases themselves: in the same order, that of the file."""
    published, cases = {}, {}
    for split in splits:
        here = {row.case_id: row for row in task.source.split(split)}
        if not here:
            continue
        path = run.prediction_path(task.name, split, system)
        rows = read_predictions(path)
        chosen = {row.case_id for row in sorted(rows, key=lambda row: stable_unit(f"rescore/{row.case_id}"))[:limit]}
        published[split] = [row for row in rows if row.case_id in chosen]
        for row in published[split]:
            if row.case_id not in here or here[row.case_id].label != row.label:
                raise InputError(
                    f"{path}: {row.case_id} with the label {row.label!r} is not in the data of {split} on this machine:"
                    " other data than was published"
                )
            if row.prompt_sha256 != task.prompt.sha256:
                raise InputError(
                    f"{path}: asked with the prompt {(row.prompt_sha256 or 'none')[:12]}, and tasks/{task.name} has"
                    f" {task.prompt.sha256[:12]}: bring the published one back"
                )
        cases[split] = [here[row.case_id] for row in published[split]]
    return published, cases


def compare(published: Sequence[Prediction], again: Sequence[Prediction]) -> Agreement:
    """Hold two systems' answers to the same cases of one split, in the same order, against each other."""
    counted = parity.compare(published, again, BOUND)
    differences = (_difference(*pair) for pair in zip(published, again, strict=True))
    return Agreement(
        published[0].split,
        published[0].system,
        counted["n"],
        counted["same_first_label"],
        counted["same_ranking"],
        counted["max_probability_difference"],
        next((text for text in differences if text), None),
    )


def _difference(was: Prediction, now: Prediction) -> str | None:
    """What is not the same of one case, beyond :data:`BOUND`."""
    agreement = parity.compare([was], [now], BOUND)
    where, moved = f"{was.split}, {was.case_id}", agreement["max_probability_difference"]
    if was.text != now.text:
        return f"{where}: another text is written than was published"
    if not agreement["holds"] and moved is not None:
        return f"{where}: a probability differs by {moved:.2g} from the published one, more than {BOUND:g}"
    if not agreement["holds"]:
        return f"{where}: ranked first is {now.answer!r}, published {was.answer!r}, or another label further down"
    return None


class Differs(InputError):
    """A published version does not answer as its prediction files say."""


def other_tokenizer(folder: Path, base: BaseSection) -> str | None:
    """In what the tokenizer in ``folder`` is another than that of ``base``, which answers are computed with; None if it
    is the same. Readers of a card take the one in the folder."""
    from transformers import AutoTokenizer

    from osler.models import load_tokenizer

    ours, theirs = load_tokenizer(base), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    for name in ("chat_template", "eos_token", "pad_token"):
        if getattr(ours, name) != getattr(theirs, name):
            return name.replace("_", " ")
    parts = [json.loads(tokenizer.backend_tokenizer.to_str()) for tokenizer in (ours, theirs)]
    # The last two are what a call was last asked for.
    return next(
        (key for key in parts[0] if parts[0][key] != parts[1][key] and key not in ("padding", "truncation")), None
    )


def verify(downloaded: Path, task_folder: Path) -> None:
    """Load the adapter and the merged model of a downloaded version and ask each :data:`SAMPLE` cases of every split.

    ``task_folder`` is that of the recipe's task on this machine, whose data may be beside it.

    Raises:
        Differs: an answer is not the published one, or no case could be asked.
        InputError: as :func:`rescore`; or the recipe does not load from the folder.
    """
    from osler.tasks import load_task

    run = Run(downloaded)
    recipe = run.recipe()
    task = load_task(task_folder, recipe.task.panel)
    systems = [tuned_name(recipe), *([merged_name(recipe)] if run.merged_path.is_dir() else [])]
    splits = [
        split for split in recipe.evaluation.splits if run.prediction_path(task.name, split, systems[0]).is_file()
    ]
    for folder in (run.adapter_path, run.merged_path):
        if folder.is_dir() and (other := other_tokenizer(folder, recipe.base)):
            raise Differs(f"{folder.name}: the tokenizer is not the one that was trained with: its {other} differs")
    for system in systems:
        agreements = rescore(run, recipe, task, system, splits, SAMPLE, plain=True)
        if not agreements:
            raise Differs(f"none of the data of {task.name} is on this machine: no answer of {system} could be tried")
        for agreement in agreements:
            if agreement.first:
                raise Differs(f"what was uploaded does not answer as was published: {system}, {agreement.first}")
        print(f"{system}: answers {sum(agreement.n for agreement in agreements)} cases from the Hub as published")
